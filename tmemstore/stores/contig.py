"""Contiguous allocations: a request for the core, and its answer as a range or an exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from tmemstore._binding import check, ffi, lib, owning, text
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
    "recovering": "the contract is recovering",
    "room": "no room was left where its pages could be moved to; allow a higher effort, or a larger escape reserve",
    "time": "something was slower than its model",
    "spill": "the spill file failed or is full",
    "memory": "no memory for the bookkeeping",
    "closed": "the store was closed meanwhile",
}


class Costs(Protocol):
    """Coefficients at three levels, that can write themselves into a `struct tms_alloc_request`."""

    def fill(self, request: Any) -> None:
        """Writes them into `cost`, `p99` and `bound`."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one allocation asks for. `start_pfn` None: the cheapest window; `refuse`: if the bound exceeds the deadline.

    `covered`: by a contract, which is recovering if it must be refused for time. `no_wait`: the plan is to wait on no
    write. `batch_bytes`: of one write, 0 for the largest.
    """

    frames: int
    costs: Costs
    effort: Effort
    align_frames: int = 1
    start_pfn: int | None = None
    deadline_ns: int = 60_000_000_000
    refuse: bool = False
    covered: bool = False
    no_wait: bool = False
    batch_bytes: int = 0
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
        raw.covered = self.covered
        raw.no_wait = self.no_wait
        raw.batch_bytes = self.batch_bytes
        raw.zero = bool(self.zero)
        self.costs.fill(raw)
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
    store.region.handle  # noqa: B018 - raises where it is closed, and nothing was dropped yet
    raw = ffi.new("struct tms_report *")
    asked = request.to_c()
    asked.lease = lease = owning(ffi.new("struct tms_lease *"), lib.tms_lease_end)
    check(lib.tms_alloc_contig(handle, asked, raw), str(request))
    slack_ns = max(_STARVED_FLOOR_NS, request.deadline_ns - raw.window.predicted_ns)
    if store.virtual_time:  # which nobody can be kept from
        slack_ns = request.deadline_ns
    report = ReclaimReport.from_c(raw, text(lib.tms_reason_name(raw.reason)), slack_ns)
    if report.ending is Ending.REFUSED:
        raise _refused(request, report)
    if report.ending is Ending.ABORTED:
        after = format_time_ns(report.elapsed_ns)
        raise AllocationAborted(
            f"{request} was aborted after {after}: {_WHY[report.reason]}; no persistent page is lost, try again", report
        )
    return ContigRange(store.region, report, lease)


def _refused(request: Request, report: ReclaimReport) -> AllocationRefused:
    times = ""
    if report.reason == "deadline":
        times = f" (bound {format_time_ns(report.bound_ns)}, deadline {format_time_ns(report.deadline_ns)})"
    return AllocationRefused(f"{request} was refused: {_WHY[report.reason]}{times}", report)
