"""What became of a replay: one JSON document, the same to the byte for the same trace, settings and seed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, cast

from tmemstore.controller.cost import CostModel
from tmemstore.quantiles import nearest_rank
from tmemstore.stats import Ending, ReclaimReport, Stats
from tmemstore.trace.replay import Progress, Replay, events_of
from tmemstore.trace.schedule import Records
from tmemstore.trace.settings import Settings
from tmemstore.units import PAGE_SIZE

if TYPE_CHECKING:
    from tmemstore.controller.thrash import Thrash

SCHEMA: Final = "tmemstore.replay/1"
_DAY_NS: Final = 86_400 * 10**9
_PERMILLE: Final = ((500, "p50_ns"), (990, "p99_ns"), (999, "p999_ns"))


def replay(
    blocks: Callable[[], Iterable[Records]],
    settings: Settings,
    *,
    origin: Mapping[str, Any],
    say: Progress | None = None,
) -> dict[str, Any]:
    """Runs a trace and tells what became of it.

    `blocks`: gives RECORD[n] arrays from the start of the trace, each time it is called. `origin`: the header's; a true
    "fill" makes it a trace of references. Times are ns, sizes bytes. `wall_ns` alone depends on the machine, unless
    `settings.real`. Raises `TraceError` for a broken trace, `ValueError` for settings that no store can have.
    """
    events = events_of(blocks, settings)
    with Replay(settings, fill=bool(origin.get("fill"))) as running:
        began_ns = time.perf_counter_ns()
        running.run(events, say)
        wall_ns = time.perf_counter_ns() - began_ns
        stats = running.tm.stats()
        return {
            "schema": SCHEMA,
            "trace": dict(origin),
            "arguments": settings.arguments(),
            "operations": running.events,
            "wall_ns": wall_ns,
            "trace_ns": running.now_ns,
            "late_ns": int(running.raw.late_ns),
            "percent_in_force": running.tm.ratio.frontswap,
            "knob": [
                {"time_ns": event.time_ns - int(running.raw.start_ns), "percent": event.percent, "reason": event.reason}
                for event in running.tm.events
            ],
            "cleancache": _cleancache(stats),
            "frontswap": _frontswap(stats, running),
            "thrash": _thrash(running),
            "spill": _spill(stats, running.now_ns),
            "device": device_time(stats, settings),
            "allocations": _allocations(running.reports),
            "end": _end(stats),
        } | ({"model": _model(running.tm.cost)} if settings.real else {})


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _cleancache(stats: Stats) -> dict[str, Any]:
    rejected = sum(stats.clean_rejects.values())
    return {
        "puts": stats.clean_puts + rejected,
        "admitted": stats.clean_puts,
        "rejects": dict(stats.clean_rejects),
        "gets": stats.clean_gets,
        "hits": stats.clean_hits,
        "hit_ratio": _share(stats.clean_hits, stats.clean_gets),
        "evicted": stats.clean_evicted,
        "invalidated": stats.clean_flushes,
    }


def _frontswap(stats: Stats, running: Replay) -> dict[str, Any]:
    refused = sum(stats.swap_rejects.values())
    hits = stats.swap_hits_region + stats.swap_hits_spill
    return {
        "stores": stats.swap_stores + refused,
        "refused": refused,
        "rejects": dict(stats.swap_rejects),
        "loads": stats.swap_loads,
        "hits_region": stats.swap_hits_region,
        "hits_spill": stats.swap_hits_spill,
        "misses": stats.swap_loads - hits - int(running.raw.errors),
        "hit_ratio": _share(stats.swap_hits_region, stats.swap_loads),
        "errors": int(running.raw.errors),
        "spill_load_p50_ns": running.load_quantile_ns(0.5),
        "spill_load_p99_ns": running.load_quantile_ns(0.99),
        "invalidated": stats.swap_flushes,
    }


def _thrash(running: Replay) -> dict[str, Any]:
    thrash = cast("Thrash", running.tm.thrash())  # a replay watches from its beginning on
    return {
        "refaults": thrash.clean + thrash.swap,
        "cleancache": thrash.clean,
        "frontswap": thrash.swap,
        "per_admitted": round(thrash.per_admitted, 6),
        "lost_ns": thrash.lost_ns,
        "best_percent": thrash.best_percent,
        "warning": thrash.warning,
    }


def _written(stats: Stats) -> int:
    return sum(size for cause, size in stats.written_by_cause.items() if cause != "measure")


def _spill(stats: Stats, passed_ns: int) -> dict[str, Any]:
    written = _written(stats)
    return {
        "bytes_written": written,
        "bytes_written_a_day": written * _DAY_NS // max(1, passed_ns),
        "written_by_cause": {cause: size for cause, size in stats.written_by_cause.items() if cause != "measure"},
        "bytes_read": stats.spill_bytes_read,
    }


def device_time(stats: Stats, settings: Settings) -> dict[str, int]:
    """Device time against a machine without the store.

    There a page of a file that was dropped is read again, a store is a sequential write and a load a random read.
    """
    read_ns, write_ps = settings.read_ns(), settings.write_ps()
    reads_saved = stats.clean_hits + stats.swap_hits_region
    writes_saved = stats.swap_stores * PAGE_SIZE - _written(stats)
    return {
        "read_ns": read_ns,
        "reads_saved": reads_saved,
        "write_bytes_saved": writes_saved,
        "saved_ns": reads_saved * read_ns + writes_saved * write_ps // 1000,
    }


def quantiles(samples: Sequence[int]) -> dict[str, int | None]:
    """p50, p99, p99.9 and the largest, by nearest rank; None without samples, and for a quantile of too few."""
    ordered = sorted(samples)
    told: dict[str, int | None] = {}
    for permille, name in _PERMILLE:
        enough = ordered and len(ordered) * (1000 - permille) >= 1000  # noqa: PLR2004 - one of them lies beyond it
        told[name] = nearest_rank(ordered, permille / 1000) if enough else None
    return told | {"max_ns": ordered[-1] if ordered else None}


def _allocations(reports: Sequence[ReclaimReport]) -> dict[str, Any]:
    ran = [report for report in reports if report.ending is not Ending.REFUSED]
    met = [report for report in reports if report.ending is Ending.MET]
    return {
        "count": len(reports),
        **{str(ending): sum(report.ending is ending for report in reports) for ending in Ending},
        "reasons": dict(sorted(Counter(report.reason for report in reports).items())),
        "late": sum(report.commit_ns > report.deadline_ns for report in met),
        "elapsed": quantiles([report.elapsed_ns for report in ran]),
        "predicted": quantiles([report.window.predicted_ns for report in ran]),
        "bound": quantiles([report.window.bound_ns for report in ran]),
        "clean_dropped": sum(report.clean_dropped for report in ran),
        "copied_dropped": sum(report.copied_dropped for report in ran),
        "migrated": sum(report.migrated_inside + report.migrated_reserve for report in ran),
        "compressed": sum(report.compressed for report in ran),
        "paged_out": sum(report.paged_out for report in ran),
        "bytes_written": sum(report.bytes_written for report in ran),
    }


def _model(cost: CostModel) -> dict[str, int]:
    """What the model came to know of the device and the CPU."""
    names = (field.name for field in fields(cost) if field.name not in {"spread_ns", "source"})
    return {name: getattr(cost, name) for name in names}


def _end(stats: Stats) -> dict[str, int]:
    names = ("frames", "frames_free", "frames_clean", "frames_frontswap", "pages_spilled", "pages_fill", "bytes_kept")
    return {name: getattr(stats, name) for name in names}
