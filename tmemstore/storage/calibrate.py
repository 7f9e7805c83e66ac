"""Calibration: a profile of this machine and this spill path, measured within a time and a number of bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tmemstore.errors import SpillError
from tmemstore.mounts import IN_MEMORY
from tmemstore.quantiles import nearest_rank
from tmemstore.storage.cells import Bench, Cell
from tmemstore.storage.cpu import measure_cpu
from tmemstore.storage.fit import fit_lane
from tmemstore.storage.identity import DeviceId, device_of
from tmemstore.storage.plan import DEFAULT_BUDGET_NS, DEFAULT_LIMIT_BYTES, LANE_DEPTHS, Plan, plan, planned_bytes
from tmemstore.storage.profile import LANES, Lane, StorageProfile
from tmemstore.storage.target import Target, open_target
from tmemstore.units import format_size

__all__ = ["Calibration", "calibrate", "measure", "planned_bytes"]

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the whole that is behind."""

_FILL_SHARE: Final = 0.12
_SYNC_SHARE: Final = 0.04
_QUICK_BELOW_NS: Final = 5_000_000_000
"""With less time than this the CPU gets the short measurement as well."""

_LARGE_FROM_BYTES: Final = 256 << 10
_SMALL_UP_TO_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a calibration found. `direct`: O_DIRECT was in use; `written_bytes`: all that was written."""

    profile: StorageProfile
    cells: tuple[Cell, ...]
    direct: bool
    written_bytes: int
    elapsed_ns: int

    def measurements(self) -> dict[str, Any]:
        """The measured grid, for a result document."""
        return {
            "direct": self.direct,
            "written_bytes": self.written_bytes,
            "elapsed_ns": self.elapsed_ns,
            "cells": [cell.to_document() for cell in self.cells],
        }


def calibrate(
    spill: str | os.PathLike[str],
    *,
    budget_ns: int = DEFAULT_BUDGET_NS,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> StorageProfile:
    """The profile of a spill path and of this machine, measured now.

    `spill`: a file (nothing of it is touched: a scratch file beside it is used), a folder, or a block device that
    holds our header, or anything with `overwrite`. `budget_ns`: about how long it takes, overrun by the requests under
    way. `limit_bytes`: at least 16 MiB; `planned_bytes` says what is written at most. Raises `ValueError` for a
    smaller limit or no time, `SpillError` for a path that cannot be used or fails.
    """
    return measure(spill, budget_ns=budget_ns, limit_bytes=limit_bytes, overwrite=overwrite, progress=progress).profile


def measure(
    spill: str | os.PathLike[str],
    *,
    budget_ns: int = DEFAULT_BUDGET_NS,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Calibration:
    """As `calibrate`, with the measured grid."""
    if budget_ns <= 0:
        raise ValueError(f"a calibration needs time: a budget of {budget_ns} ns is none")
    begin_ns = time.perf_counter_ns()
    whole = plan(limit_bytes)
    say = progress or (lambda _text, _fraction: None)
    with open_target(spill, whole.area_bytes, overwrite=overwrite) as target:
        say("memory and codecs", 0.0)
        cpu = measure_cpu(quick=budget_ns < _QUICK_BELOW_NS)
        bench = Bench(target)
        say("laying out", _behind(begin_ns, budget_ns))
        bench.fill(whole.fill, round(budget_ns * _FILL_SHARE))
        syncs = bench.syncs(whole.syncs, round(budget_ns * _SYNC_SHARE))
        cells = _cells(whole, bench, begin_ns, budget_ns, say)
        device = device_of(spill)
        lanes = {name: _lane(name, cells) for name in LANES}
        profile = StorageProfile(
            name=str(device),
            source="measured",
            **lanes,
            sync_ns=(nearest_rank(syncs, 0.5), nearest_rank(syncs, 0.99)) if syncs else None,
            cpu=cpu,
            device=device,
            notes=_notes(target, bench, device),
        )
        say("done", 1.0)
        return Calibration(profile, cells, target.direct, bench.written_bytes, time.perf_counter_ns() - begin_ns)


def _behind(begin_ns: int, budget_ns: int) -> float:
    return min(1.0, (time.perf_counter_ns() - begin_ns) / budget_ns)


def _cells(whole: Plan, bench: Bench, begin_ns: int, budget_ns: int, say: Progress) -> tuple[Cell, ...]:
    """Each cell gets its share of what is left, so that one that overran or was quick changes all that follow."""
    cells = []
    weight_left = sum(cell.weight for cell in whole.cells)
    for cell in whole.cells:
        say(str(cell), _behind(begin_ns, budget_ns))
        left_ns = max(0, begin_ns + budget_ns - time.perf_counter_ns())
        measured = bench.run(cell, left_ns * cell.weight // weight_left)
        weight_left -= cell.weight
        if measured is not None:
            cells.append(measured)
    return tuple(cells)


def _lane(name: str, cells: tuple[Cell, ...]) -> Lane:
    """The lane at its depth; its spread is that of the sizes that the store uses there."""
    of_lane = [cell for cell in cells if cell.plan.pattern == name and cell.plan.depth == LANE_DEPTHS[name]]
    if not of_lane:
        raise SpillError(f"nothing could be measured of {name.replace('_', ' ')}s; allow more time or a higher limit")
    random = name.startswith("random")
    usual = [
        cell
        for cell in of_lane
        if (cell.plan.block_bytes <= _SMALL_UP_TO_BYTES if random else cell.plan.block_bytes >= _LARGE_FROM_BYTES)
    ]
    return fit_lane(
        [(cell.plan.block_bytes, nearest_rank(sorted(cell.shares_ns), 0.5)) for cell in of_lane],
        [(cell.plan.block_bytes, share_ns) for cell in usual or of_lane for share_ns in cell.shares_ns],
    )


def _notes(target: Target, bench: Bench, device: DeviceId) -> tuple[str, ...]:
    notes = [
        "writes were measured with 4 requests under way, as the store's I/O threads send them, reads with one",
        "times of a request are what it adds to the time of all",
        f"requests lay within {format_size(bench.filled_bytes)}; random ones over a larger area may take longer",
        "the spread of sequential lanes is that of requests of 256 KiB and more, of random lanes up to 16 KiB",
        "migrating is the copy alone, from random places",
        "gathering an object into a write is a copy of 4 KiB, and about 350 ns for its checksum, which is an estimate",
    ]
    if device.filesystem in IN_MEMORY:
        notes.append(f"{device.filesystem} keeps its files in memory: these are the figures of RAM, not of storage")
    if not target.direct:
        notes.append("no O_DIRECT here: each write includes an fdatasync, and reads may come from the page cache")
    return tuple(notes)
