"""The cost model: how long it takes to empty a window, from a few coefficients.

    T(window) = t0 + frames * frame + clean pages * clean + drops * drop + zeroed frames * zero
                + max(cpu lane, device lane)
    cpu lane    = moved * move + moved bytes * move_ps + compressed * compress + written * object
    device lane = written bytes * byte_ps + spread(written bytes)

native/include/tmemstore_contig.h has the same as `struct tms_cost`; the core splits the objects and computes the times,
for an estimate as for an allocation, so that the two cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tmemstore._binding import ffi, lib

SPREAD_BYTES: Final = tuple(lib.TMS_SPREAD_FIRST_BYTES << i for i in range(lib.TMS_SPREAD_POINTS))
"""The sizes of a write that `CostModel.spread_ns` has an entry for."""

_SCALED: Final = (
    "t0_ns",
    "frame_ns",
    "clean_ns",
    "drop_ns",
    "move_ns",
    "move_ps",
    "compress_ns",
    "object_ns",
    "zero_ns",
)


_WHOLE: Final = (*_SCALED, "byte_ps", "compress_permille")
_NAMES: Final = (*_WHOLE, "spread_ns", "source")


@dataclass(frozen=True, slots=True)
class CostModel:
    """Coefficients, in ns (`*_ps`: picoseconds a byte as kept). `source`: "measured" or "assumed".

    `t0_ns`: an allocation of one free frame. `frame_ns`: isolating and claiming each frame. `clean_ns`: giving up one
    clean page. `drop_ns`: dropping one frontswap page that has a copy. `move_ns`, `move_ps`: migrating one object, and
    each byte of it. `compress_ns`, `compress_permille`: making one object smaller, and what is left of it (1000:
    nothing is gained). `object_ns`: gathering one object for a write. `byte_ps`: the device, a byte. `zero_ns`: zeroing
    one frame. `spread_ns`: what a write of 64 KiB, 128 KiB, ... 2 GiB may take beyond that (16 values; empty: nothing).
    """

    t0_ns: int = 5_000
    frame_ns: int = 25
    clean_ns: int = 5
    drop_ns: int = 100
    move_ns: int = 300
    move_ps: int = 150
    compress_ns: int = 20_000
    compress_permille: int = 1000
    object_ns: int = 500
    byte_ps: int = 8_000
    zero_ns: int = 400
    spread_ns: tuple[int, ...] = ()
    source: str = "assumed"

    def __post_init__(self) -> None:
        """Refuses coefficients that are negative or no whole numbers."""
        for name in _WHOLE:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
            if not 0 <= value < 2**48:
                raise ValueError(f"{name} must be from 0 to 2**48 - 1, not {value}")
        if len(self.spread_ns) not in {0, len(SPREAD_BYTES)}:
            raise ValueError(f"spread_ns has {len(SPREAD_BYTES)} values or none, not {len(self.spread_ns)}")

    def changed(self, changes: Mapping[str, Any]) -> CostModel:
        """With these values instead; itself where they are those it has."""
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        # dataclasses.replace takes five times as long, and an allocation asks for some of these.
        values: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        return CostModel(**(values | dict(changes)))

    def cpu_scaled(self, factor: float) -> CostModel:
        """The times of the CPU multiplied by `factor`, rounded up."""
        return self.changed({name: math.ceil(getattr(self, name) * factor) for name in _SCALED})

    def device_ns(self, written_bytes: int) -> int:
        """The time of the device lane for so many bytes, as the core computes it."""
        return int(lib.tms_device_ns(self.to_c(), written_bytes))

    def device_bytes(self, time_ns: int) -> int:
        """How many bytes the device lane takes within a time; 2**64 - 1 where there is no end."""
        return int(lib.tms_device_bytes(self.to_c(), max(0, time_ns)))

    def to_c(self) -> Any:
        """A `struct tms_cost`."""
        raw = ffi.new("struct tms_cost *")
        self.fill(raw)
        return raw

    def fill(self, raw: Any) -> None:
        """Writes the coefficients into a `struct tms_cost`."""
        for name in _WHOLE:
            setattr(raw, name, getattr(self, name))
        for i, value in enumerate(self.spread_ns):
            raw.spread_ns[i] = value


@dataclass(frozen=True, slots=True)
class Costs:
    """The same coefficients at three levels: expected (p50), p99, and at the confidence asked for.

    `p99_allowance_ns`, `allowance_ns`: what the last two allow for interruptions and locks, whatever is in the window;
    part of their `t0_ns`.
    """

    expected: CostModel
    p99: CostModel
    bound: CostModel
    confidence: float
    p99_allowance_ns: int = 0
    allowance_ns: int = 0
    _raw: list[Any] = field(default_factory=list, repr=False, compare=False)

    def fill(self, request: Any) -> None:
        """Writes all three into a `struct tms_alloc_request`."""
        if not self._raw:
            self._raw.extend((self.expected.to_c(), self.p99.to_c(), self.bound.to_c()))
        request.cost, request.p99, request.bound = (raw[0] for raw in self._raw)
