"""What a replay is run with, checked, and the store that follows from it."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from tmemstore.controller.contract import Contract
from tmemstore.controller.controller import Controller
from tmemstore.controller.opening import open as open_store
from tmemstore.controller.policy import Percent
from tmemstore.region import Region
from tmemstore.storage import choose
from tmemstore.storage.emulated import EmulatedDevice
from tmemstore.storage.profile import StorageProfile
from tmemstore.trace.schedule import Allocate
from tmemstore.units import format_time_ns

KINDS: Final = ("cleancache", "frontswap")
DEFAULT_STORAGE: Final = "emmc5.1"
_NAMES_SEED: Final = re.compile(r"[:,]\s*seed\s*=")
_NEVER: Final = 10**15
"""Ns; a modelled device answers some time, however long the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A store and a load. Sizes in bytes, times in ns; what `tmemstore.open` checks is checked there.

    `storage`: a preset, a profile's path or "emulate:..."; with `real` the store has real memory and real time, over
    the file `spill` or, without one, over the emulated device. `only`: events of this kind alone. `frontswap_percent`:
    the knob, "auto" or "adaptive". `allocate`: when the area is wanted back; None: if there is a contract, its size, at
    random times (see `schedule.random`). `time_scale`: times of the trace are multiplied by it. `rate`: events a
    second, in place of the trace's own times. `seed`: of sizes, of allocations and of the device, unless `storage`
    names one. `admission_filter`: as for `tmemstore.open`. Raises `ValueError`, `TypeError`.
    """

    region_bytes: int
    storage: str = DEFAULT_STORAGE
    contract: Contract | None = None
    escape_bytes: int = 0
    codec: str = "lz4"
    eviction: str = "sieve"
    writeback: Literal["back", "behind", "through"] = "behind"
    frontswap_percent: Percent = "auto"
    admission_filter: bool = True
    only: Literal["cleancache", "frontswap"] | None = None
    allocate: Allocate | None = None
    time_scale: float = 1.0
    rate: float | None = None
    seed: int = 1
    real: bool = False
    spill: str | None = None

    def __post_init__(self) -> None:
        """Refuses what no replay could be."""
        if self.only is not None and self.only not in KINDS:
            raise ValueError(f"only {self.only!r}? choose one of {', '.join(KINDS)}")
        if not 0 < self.time_scale <= 1e9:  # noqa: PLR2004 - a factor
            raise ValueError(f"time_scale is a factor above 0, at most 1e9, not {self.time_scale}")
        if self.rate is not None and not 0 < self.rate <= 1e9:  # noqa: PLR2004 - one a ns
            raise ValueError(f"rate is a number of events a second, above 0 and at most 1e9, not {self.rate}")
        if self.rate is not None and self.time_scale != 1.0:
            raise ValueError("a rate takes the place of the times that time_scale would change; leave one of them out")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"a seed is a whole number from 0 to 2**64 - 1, not {self.seed}")
        if self.spill is not None and not self.real:
            raise ValueError("a spill file takes part in a real run only; leave it out, or ask for one")
        size_bytes = self.contract.frames << 12 if self.contract is not None else 0
        if self.allocate is not None:
            size_bytes = max(size_bytes, self.allocate.size_bytes)
        if size_bytes > self.region_bytes:
            raise ValueError(
                f"{size_bytes} bytes are wanted back of a region of {self.region_bytes}; take a larger one"
            )

    def profile(self) -> StorageProfile:
        """What is known of the device. Raises like `storage.choose`."""
        known = choose.storage(self.storage)
        return known.profile if isinstance(known, EmulatedDevice) else known

    def device(self) -> EmulatedDevice:
        """The model in the device's place."""
        known = choose.storage(self.storage)
        if not isinstance(known, EmulatedDevice):
            return EmulatedDevice(known, seed=self.seed)
        return known if _NAMES_SEED.search(self.storage) else replace(known, seed=self.seed)

    def open(self) -> Controller:
        """The store, with nothing in it. Raises like `tmemstore.open`."""
        return open_store(
            Region(self.region_bytes, escape=self.escape_bytes, without_data=not self.real),
            self.spill,
            storage=None if self.spill is not None else self.device(),
            contract=self.contract,
            codec=self.codec,
            eviction=self.eviction,
            writeback=self.writeback,
            frontswap_max_percent=self.frontswap_percent,
            admission_filter=self.admission_filter,
            virtual_time=not self.real,
            io_timeout="30s" if self.real else _NEVER,
            refault=self.read_ns(),
        )

    def read_ns(self) -> int:
        """A random read of a page."""
        return self.profile().random_read.request_time_ns(4096)

    def write_ps(self) -> int:
        """A byte of a sequential write, in ps."""
        return max(1, self.profile().write.byte_ps)

    def arguments(self) -> dict[str, Any]:
        """All of it, as it stands in a result."""
        told = asdict(self)
        contract = self.contract
        told["contract"] = None
        if contract is not None:
            told["contract"] = {
                "size_bytes": contract.frames << 12,
                "deadline_ns": contract.deadline_ns,
                "kind": contract.kind,
                "confidence": contract.confidence,
            }
        told["spill"] = None if self.spill is None else os.path.basename(self.spill)  # noqa: PTH119 - of a str
        return told

    def __str__(self) -> str:
        contract = "no contract" if self.contract is None else format_time_ns(self.contract.deadline_ns)
        return f"{self.storage}, {self.writeback}, {self.frontswap_percent}, {contract}"
