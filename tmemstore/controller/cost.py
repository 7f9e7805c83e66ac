"""The cost model: how long it takes to empty a window, from a few measured coefficients.

    T(window) = t0_ns + frames * frame_ns + drops * drop_ns + objects * object_ns + bytes * byte_ps / 1000
                + zeroed frames * zero_ns

Writing and gathering overlap, so that `byte_ps`, measured over whole page-outs, stands for
the slower of the two and `object_ns` for what is left over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tmemstore._binding import check, ffi, lib
from tmemstore.region import Region
from tmemstore.stats import Effort, Ending, ReclaimReport, Window
from tmemstore.stores.contig import Request, allocate
from tmemstore.stores.tmem import TmemStore
from tmemstore.units import PAGE_SIZE

_SAMPLE_FRAMES: Final = 1024
_SAMPLES: Final = 7
_SAMPLE_WRITE_BYTES: Final = 16 << 20
_SAMPLE_WRITE_BUDGET_NS: Final = 60_000_000

_WEIGHT: Final = 0.3
"""Of a new sample against what is known: three reclaims outweigh the measurement at open."""
_DROPS_MIN: Final = 256
_WRITTEN_MIN_BYTES: Final = 1 << 20
"""Smaller reclaims say more about their overhead than about a coefficient."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """Coefficients, in ns (`byte_ps`: picoseconds a byte as kept). `source`: "measured" or "assumed".

    `t0_ns`: an allocation of one free frame. `frame_ns`: isolating and claiming each frame. `drop_ns`: dropping one
    page. `object_ns`: writing back one object, beyond its bytes. `zero_ns`: zeroing one frame.
    """

    t0_ns: int = 20_000
    frame_ns: int = 25
    drop_ns: int = 100
    object_ns: int = 0
    byte_ps: int = 8_000
    zero_ns: int = 400
    source: str = "assumed"

    def __post_init__(self) -> None:
        """Refuses coefficients that are negative or no whole numbers."""
        for name in ("t0_ns", "frame_ns", "drop_ns", "object_ns", "byte_ps", "zero_ns"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
            if not 0 <= value < 2**48:
                raise ValueError(f"{name} must be from 0 to 2**48 - 1, not {value}")

    def predict_ns(self, window: Window, *, zero: bool = False) -> int:
        """The expected time to empty the window, in ns."""
        drops = window.frames_clean + window.objects_copied + window.objects_uncopied
        return (
            self.t0_ns
            + window.frames * self.frame_ns
            + drops * self.drop_ns
            + window.objects_uncopied * self.object_ns
            + window.bytes_uncopied * self.byte_ps // 1000
            + (window.frames * self.zero_ns if zero else 0)
        )

    def refined(self, report: ReclaimReport) -> CostModel:
        """The model after a reclaim: its coefficients moved towards what was seen.

        One that ran out of time while writing says only that a byte takes at least so long.
        """
        changes: dict[str, int] = {}
        wrote = report.paged_out and report.window.bytes_uncopied >= _WRITTEN_MIN_BYTES
        beyond_objects_ns = max(0, report.write_ns - report.paged_out * self.object_ns)
        byte_ps = beyond_objects_ns * 1000 / max(1, report.window.bytes_uncopied)
        if report.ending is not Ending.MET:
            if report.reason == "time" and wrote and byte_ps > self.byte_ps:
                return replace(self, byte_ps=_moved(self.byte_ps, byte_ps))
            return self
        drops = report.clean_dropped + report.copied_dropped + report.paged_out
        if drops >= _DROPS_MIN:
            # The pass over the window looks at every frame; that share stands in frame_ns already.
            beyond_frames_ns = max(0, report.drop_ns - report.window.frames * self.frame_ns // 2)
            changes["drop_ns"] = _moved(self.drop_ns, beyond_frames_ns / drops)
        if wrote:
            changes["byte_ps"] = _moved(self.byte_ps, byte_ps)
        return replace(self, source="measured", **changes) if changes else self


def _moved(known: int, seen: float) -> int:
    return max(1, round(known + _WEIGHT * (seen - known)))


def measure_cost(store: TmemStore) -> CostModel:
    """A short measurement (below 100 ms): drops and zeroing on a small scratch region, writes on the spill file."""
    model = _measure_memory()
    if store.spill is None:
        return model
    sample = ffi.new("struct tms_write_sample *")
    check(lib.tms_measure_write(store.handle, _SAMPLE_WRITE_BYTES, _SAMPLE_WRITE_BUDGET_NS, sample))
    if not sample.bytes:
        return replace(model, source="assumed")
    # Without a complete batch this is the least that a byte can take.
    source = "measured" if sample.batches else "assumed"
    return replace(model, byte_ps=max(1, sample.elapsed_ns * 1000 // sample.bytes), source=source)


def _measure_memory() -> CostModel:
    scratch = Region(_SAMPLE_FRAMES * PAGE_SIZE)
    store = TmemStore(scratch, codec="none")
    try:
        pool = store.new_pool()
        page = bytearray(PAGE_SIZE)
        page[-1] = 1  # not same-filled
        for number in range(_SAMPLE_FRAMES):
            store.put(pool, number, 0, page)
        whole = Request(frames=_SAMPLE_FRAMES, cost=CostModel(), effort=Effort.DROP)
        dropped = _allocate(store, whole)
        empty = _median(store, whole)
        zeroed = _median(store, replace(whole, zero=True))
        single = _median(store, replace(whole, frames=1))
    finally:
        store.close()
        scratch.close()
    return CostModel(
        t0_ns=max(1, single.elapsed_ns),
        frame_ns=max(1, (empty.elapsed_ns - single.elapsed_ns) // _SAMPLE_FRAMES),
        drop_ns=max(1, (dropped.elapsed_ns - empty.elapsed_ns) // _SAMPLE_FRAMES),
        zero_ns=max(1, zeroed.zero_ns // _SAMPLE_FRAMES),
        source="measured",
    )


def _allocate(store: TmemStore, request: Request) -> ReclaimReport:
    with allocate(store, request) as contig:
        return contig.report


def _median(store: TmemStore, request: Request) -> ReclaimReport:
    reports = sorted((_allocate(store, request) for _ in range(_SAMPLES)), key=lambda report: report.elapsed_ns)
    return reports[_SAMPLES // 2]
