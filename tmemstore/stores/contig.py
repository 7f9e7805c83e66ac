"""Contiguous allocations: a request for the core, and its answer as a range or an exception."""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tmemstore._binding import check, ffi, lib, text
from tmemstore.errors import AllocationAborted, AllocationRefused
from tmemstore.region import ContigRange
from tmemstore.stats import Effort, Ending, ReclaimReport, Window
from tmemstore.stores.tmem import TmemStore
from tmemstore.units import PAGE_SIZE, format_size, format_time_ns

_STARVED_FLOOR_NS: Final = 1_000_000
"""Off the CPU for less than this is no starvation, however tight the deadline."""

_WHY: Final = {
    "no-window": "every window of this size has an allocated frame in it; release a range, or ask for less",
    "effort": "no window can be emptied at this effort; allow a higher one, or open the store with a spill file",
    "deadline": "the bound exceeds the deadline; allow more time, ask for less, or lower the share of frontswap",
    "time": "something was slower than its model",
    "spill": "the spill file failed or is full",
    "memory": "no memory for the bookkeeping",
    "closed": "the store was closed meanwhile",
}


class Cost(Protocol):
    """Coefficients of `struct tms_cost`."""

    @property
    def t0_ns(self) -> int:
        """An allocation that finds its window empty."""

    @property
    def frame_ns(self) -> int:
        """Isolating and claiming one frame, whatever it holds."""

    @property
    def drop_ns(self) -> int:
        """Dropping one page."""

    @property
    def object_ns(self) -> int:
        """Writing back one object, beyond its bytes."""

    @property
    def byte_ps(self) -> int:
        """Writing back one byte, as kept; picoseconds."""

    @property
    def zero_ns(self) -> int:
        """Zeroing one frame."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one allocation asks for. `start_pfn` None: the cheapest window; `refuse`: if the bound exceeds the deadline.

    `bound_permille`: the bound is the prediction times this / 1000.
    """

    frames: int
    cost: Cost
    effort: Effort
    align_frames: int = 1
    start_pfn: int | None = None
    deadline_ns: int = 60_000_000_000
    refuse: bool = False
    bound_permille: int = 1000
    zero: bool = False

    def to_c(self) -> Any:
        """A `struct tms_alloc_request`."""
        raw = ffi.new("struct tms_alloc_request *")
        raw.frames = self.frames
        raw.align_frames = self.align_frames
        raw.fixed = self.start_pfn is not None
        raw.start_pfn = self.start_pfn or 0
        raw.deadline_ns = self.deadline_ns
        raw.effort = self.effort
        raw.refuse_over_bound = self.refuse
        raw.bound_permille = self.bound_permille
        raw.zero = self.zero
        for name in ("t0_ns", "frame_ns", "drop_ns", "object_ns", "byte_ps", "zero_ns"):
            setattr(raw.cost, name, getattr(self.cost, name))
        return raw

    def __str__(self) -> str:
        where = "" if self.start_pfn is None else f" at pfn {self.start_pfn}"
        return f"{format_size(self.frames * PAGE_SIZE)}{where} at effort {self.effort.name}"


def propose(store: TmemStore, request: Request) -> Window:
    """The window an allocation would take now; touches nothing. `AllocationRefused` if there is none."""
    window = ffi.new("struct tms_window *")
    reason = ffi.new("int32_t *")
    code = check(lib.tms_propose(store.handle, request.to_c(), window, reason), str(request))
    if code == lib.TMS_ALLOC_REFUSED:
        report = ffi.new("struct tms_report *")
        report.ending = lib.TMS_REFUSED
        report.deadline_ns = request.deadline_ns
        raise _refused(request, ReclaimReport.from_c(report, text(lib.tms_reason_name(reason[0])), 0))
    return Window.from_c(window)


def allocate(store: TmemStore, request: Request) -> ContigRange:
    """One whole allocation in one call of the core. `AllocationRefused` or `AllocationAborted` if it is not met."""
    handle = store.handle
    made = ffi.new("struct tms_report *")
    # Ctrl-C may strike between the core's return and the range's constructor: until the range has an owner in Python,
    # it is given back with the report.
    lender = weakref.ref(store)
    raw = ffi.gc(made, lambda report: _give_back(lender, report.range))
    check(lib.tms_alloc_contig(handle, request.to_c(), raw), str(request))
    slack_ns = max(_STARVED_FLOOR_NS, request.deadline_ns - raw.window.predicted_ns)
    report = ReclaimReport.from_c(raw, text(lib.tms_reason_name(raw.reason)), slack_ns)
    if report.ending is Ending.REFUSED:
        raise _refused(request, report)
    if report.ending is Ending.ABORTED:
        after = format_time_ns(report.elapsed_ns)
        raise AllocationAborted(
            f"{request} was aborted after {after}: {_WHY[report.reason]}; no persistent page is lost, try again", report
        )
    contig = ContigRange(store.region, report, functools.partial(_give_back, lender, raw.range))
    raw.range = 0
    return contig


def _give_back(lender: weakref.ref[TmemStore], handed_out: int) -> None:
    # A range must not keep its store: the file is to be unlocked when the store goes, whoever looks at the memory.
    store = lender()
    if handed_out and store is not None and not store.closed:
        lib.tms_release(store.handle, handed_out)


def _refused(request: Request, report: ReclaimReport) -> AllocationRefused:
    times = ""
    if report.reason == "deadline":
        times = f" (bound {format_time_ns(report.bound_ns)}, deadline {format_time_ns(report.deadline_ns)})"
    return AllocationRefused(f"{request} was refused: {_WHY[report.reason]}{times}", report)
