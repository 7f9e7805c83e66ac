"""What the deadline bench is asked to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tmemstore.bench import supply
from tmemstore.bench.arena import PAGE
from tmemstore.bench.pages import LIVE

SCENARIOS = ("steady", "slower", "stalls", "pairs", "capacity", "unbound")
REAL_DEVICE = "real"
EMULATED = "emulate:"
CHUNK = 2 << 20

_NEEDS_EMULATION = ("slower", "stalls")
"""These make the device bad, which can be done to a model only."""
_MOST_THREADS = 64
_LONGEST_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Arguments:
    """What to run, fully resolved.  Sizes in bytes, times in ns, the confidence as a fraction.

    ``storage``: "emulate:PRESET,...", a preset or a profile's path, or "real": measured at open.  ``gap_ns``: between
    two allocations (in pairs: between the two of a pair); None: as long as the device needs, drawn from the seed.
    ``near``: a folder, in or near which the temporary spill file of a real device lies.  Raises ValueError, naming the
    argument, for what cannot be run.
    """

    scenario: str = "steady"
    allocations: int = 1000
    region_bytes: int = 256 << 20
    contract_bytes: int = 64 << 20
    deadline_ns: int = 50_000_000
    kind: Literal["soft", "hard"] = "hard"
    confidence: float = 0.999
    escape_bytes: int = 16 << 20
    codec: str = "lz4"
    writeback: Literal["back", "behind", "through"] = "behind"
    storage: str = "emulate:emmc5.1"
    virtual: bool = True
    threads: int = 4
    gap_ns: int | None = None
    seed: int = 1
    pages: str = LIVE
    near: str = "."

    def __post_init__(self) -> None:
        if self.scenario not in SCENARIOS:
            raise ValueError(f"--scenario {self.scenario!r} is none of {', '.join(SCENARIOS)}")
        if self.allocations < 1:
            raise ValueError(f"--allocations is {self.allocations}; it must be at least 1")
        if not 1 <= self.threads <= _MOST_THREADS:
            raise ValueError(f"--threads is {self.threads}; it must be from 1 to {_MOST_THREADS}")
        self._check_sizes()
        emulated = self.storage.startswith(EMULATED)
        if self.virtual and not emulated:
            raise ValueError("in virtual time the device must be emulated: --storage emulate:PRESET, or --real")
        if self.scenario in _NEEDS_EMULATION and not emulated:
            raise ValueError(
                f"--scenario {self.scenario} makes the device bad, which needs an emulated one: "
                "--storage emulate:PRESET"
            )

    def _check_sizes(self) -> None:
        for name, size in (("region", self.region_bytes), ("contract", self.contract_bytes)):
            if size < CHUNK or size % PAGE:
                raise ValueError(f"--{name} is {size} bytes; it must be a multiple of {PAGE} and at least 2 MiB")
        if self.escape_bytes < 0 or self.escape_bytes % PAGE:
            raise ValueError(f"--escape is {self.escape_bytes} bytes; it must be a multiple of {PAGE}")
        if self.contract_bytes > self.region_bytes:
            raise ValueError(
                f"--contract asks for {self.contract_bytes >> 20} MiB of a region of {self.region_bytes >> 20} MiB; "
                "take a larger --region or a smaller contract"
            )
        supply.check_region(self.region_bytes, self.escape_bytes)
        if self.deadline_ns <= 0:
            raise ValueError("--contract names no time; write for example 64MiB:50ms:hard")
        if self.deadline_ns >= _LONGEST_NS:
            raise ValueError("--contract names a time of a day or more; write for example 64MiB:50ms:hard")
        if self.gap_ns is not None and not 0 <= self.gap_ns < _LONGEST_NS:
            raise ValueError("--gap must be a time from 0 to less than a day")
