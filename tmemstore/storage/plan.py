"""What a calibration does: which requests, how many at most, and so how many bytes it writes at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tmemstore.storage.profile import LANES, LARGE_BYTES, SMALL_BYTES
from tmemstore.units import format_size

BLOCKS_BYTES: Final = (4 << 10, 16 << 10, 64 << 10, 256 << 10, 512 << 10)
DEPTHS: Final = (1, 4)

DEFAULT_BUDGET_NS: Final = 20_000_000_000
DEFAULT_LIMIT_BYTES: Final = 512 << 20
LIMIT_MIN_BYTES: Final = 16 << 20

LANE_DEPTHS: Final = {"write": 4, "random_write": 4, "read": 1, "random_read": 1}
"""The depth that a lane is fitted at: the store's I/O threads write side by side, a load waits for one read."""

_AREA_MAX_BYTES: Final = 64 << 20
_SYNCS_MAX: Final = 200
_READS_MAX: Final = 4096
_READ_MAX_BYTES: Final = 256 << 20
_BYTE_SHARES: Final = dict(zip(BLOCKS_BYTES, (1, 2, 4, 8, 12), strict=True))
_BATCH_SHARE: Final = 3
"""Sequential writes at the store's depth are what bounds are made of: they get three shares."""


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One cell of the grid. `pattern`: a lane's name. `requests`: at most; `weight`: its share of the time."""

    pattern: str
    block_bytes: int
    depth: int
    requests: int
    weight: int = 1

    @property
    def writes(self) -> bool:
        """True if the cell writes."""
        return self.pattern.endswith("write")

    @property
    def random(self) -> bool:
        """True if the requests lie anywhere, False if they follow each other."""
        return self.pattern.startswith("random")

    def __str__(self) -> str:
        return f"{self.pattern.replace('_', ' ')} {format_size(self.block_bytes)} x {self.depth}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`fill`: lays the area out. `cells`: in the order they are measured. `syncs`: at most, each after one write."""

    fill: CellPlan
    cells: tuple[CellPlan, ...]
    syncs: int

    @property
    def area_bytes(self) -> int:
        """The file or the part of the device that requests lie in."""
        return self.fill.requests * self.fill.block_bytes

    @property
    def written_bytes(self) -> int:
        """The bytes that are written at most, the page that tries O_DIRECT included."""
        cells: Sequence[CellPlan] = (self.fill, *self.cells)
        return sum(cell.requests * cell.block_bytes for cell in cells if cell.writes) + (1 + self.syncs) * SMALL_BYTES


def plan(limit_bytes: int = DEFAULT_LIMIT_BYTES) -> Plan:
    """The requests of a calibration that writes at most so many bytes, from 16 MiB on; else `ValueError`."""
    if limit_bytes < LIMIT_MIN_BYTES:
        raise ValueError(
            f"a calibration that may write only {format_size(max(0, limit_bytes))} tells nothing; "
            f"allow at least {format_size(LIMIT_MIN_BYTES)}"
        )
    area_bytes = min(_AREA_MAX_BYTES, limit_bytes // 8 // LARGE_BYTES * LARGE_BYTES)
    syncs = min(_SYNCS_MAX, limit_bytes // 64 // SMALL_BYTES)
    shares = sum(_BYTE_SHARES.values()) * (_BATCH_SHARE + 2 * len(DEPTHS) - 1)
    share_bytes = (limit_bytes - area_bytes - (1 + syncs) * SMALL_BYTES) // shares
    cells = [
        _cell(pattern, block_bytes, depth, share_bytes)
        for pattern in LANES
        for depth in reversed(DEPTHS)
        for block_bytes in reversed(BLOCKS_BYTES)
    ]
    fill = CellPlan("write", LARGE_BYTES, DEPTHS[-1], area_bytes // LARGE_BYTES)
    return Plan(fill, tuple(sorted(cells, key=lambda cell: not cell.writes)), syncs)


def planned_bytes(limit_bytes: int = DEFAULT_LIMIT_BYTES) -> int:
    """The bytes that a calibration with this limit writes at most. `ValueError` for a limit below 16 MiB."""
    return plan(limit_bytes).written_bytes


def _cell(pattern: str, block_bytes: int, depth: int, share_bytes: int) -> CellPlan:
    cell = CellPlan(pattern, block_bytes, depth, min(_READS_MAX, _READ_MAX_BYTES // block_bytes))
    if not cell.writes:
        return cell
    weight = _BATCH_SHARE if not cell.random and depth == LANE_DEPTHS[pattern] else 1
    requests = weight * _BYTE_SHARES[block_bytes] * share_bytes // block_bytes
    return CellPlan(pattern, block_bytes, depth, requests, weight)
