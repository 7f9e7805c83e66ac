"""Estimates: what an allocation would take now, by which routes, and why it would be refused."""

from __future__ import annotations

from dataclasses import dataclass

from tmemstore.controller.cost import CostModel
from tmemstore.errors import AllocationRefused
from tmemstore.stats import Window
from tmemstore.stores.contig import Request, propose
from tmemstore.stores.tmem import TmemStore


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an allocation would take now. Times in ns.

    `p50_ns`, `p99_ns`, `bound_ns`: expected, and not exceeded at 99 % and at the confidence asked for. `by_route`: how
    many pages would be dropped, migrated, compressed (and then migrated or paged out) and paged out. `window`: which
    one, and what is in it; None if there is none. `feasible`, `reason`: whether it would be begun, and why not.
    `recovery_ns`: refused as recovering, the time until it would be met.
    """

    p50_ns: int
    p99_ns: int
    bound_ns: int
    by_route: dict[str, int]
    window: Window | None
    feasible: bool
    reason: str
    recovery_ns: int | None = None


def estimate(store: TmemStore, request: Request, drain: CostModel) -> Estimate:
    """The estimate for a request; touches nothing. `drain`: the coefficients of background writes."""
    try:
        window = propose(store, request)
    except AllocationRefused as refused:
        return Estimate(0, 0, 0, _no_routes(), None, feasible=False, reason=refused.report.reason)
    late = request.refuse and window.bound_ns > request.deadline_ns
    reason = ("recovering" if request.covered else "deadline") if late else "none"
    return Estimate(
        p50_ns=window.predicted_ns,
        p99_ns=window.p99_ns,
        bound_ns=window.bound_ns,
        by_route={
            "drop": window.frames_clean + window.objects_copied,
            "migrate": window.to_migrate,
            "compress": window.to_compress,
            "page_out": window.to_page_out,
        },
        window=window,
        feasible=not late,
        reason=reason,
        recovery_ns=recovery_ns(window, drain, request.batch_bytes) if reason == "recovering" else None,
    )


def recovery_ns(window: Window, drain: CostModel, batch_bytes: int) -> int:
    """How long the cleaner takes, as expected, to make room for what a window is short of, in whole batches."""
    whole_ns = drain.device_ns(-(-window.bytes_short // batch_bytes) * batch_bytes)
    return max(1, whole_ns - min(window.served_ns, drain.device_ns(batch_bytes)))


def _no_routes() -> dict[str, int]:
    return dict.fromkeys(("drop", "migrate", "compress", "page_out"), 0)
