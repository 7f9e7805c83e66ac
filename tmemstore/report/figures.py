"""Reading result documents for a comparison: rows by what they are of, and the figures of each with their noise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tmemstore.errors import ProfileError
from tmemstore.quantiles import carries
from tmemstore.report import noise
from tmemstore.report.tables import size_text
from tmemstore.storage.document import Fields, read_json

WANTED = "a result of bench eviction, bench deadline, bench ops, bench copy, replay or tune"
_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_SCHEMA = re.compile(r"(tmemstore\.(?:bench\.\w+|tune|replay|traces|peers))/(\w+)")


class ResultError(ValueError):
    """A file that is no result document, or one that is not whole; a sentence that names the file."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value. ``unit``: "ns", "bytes", "count", "fraction", "percent" or what `bench ops` names.

    ``noise``: where another run of the same would likely lie, in that unit; None where the result does not say.
    """

    value: float | int
    unit: str
    noise: noise.Interval | None = None
    less_is_worse: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured, as a text and as fields, and the figures by name."""

    name: str
    identity: Mapping[str, Any]
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Result:
    """A result document. ``rows``: by name; the rest as it stands there, None or empty where it says nothing."""

    path: str
    schema: str
    rows: Mapping[str, Row]
    facts: Mapping[str, Mapping[str, Any]]
    commit: str | None
    remarks: tuple[str, ...]


def read(path: str, wanted: str = WANTED) -> Result:
    """Read a result document, of this version of its schema or an older state of it.

    ``wanted``: what the message asks for instead of a file that is none. Raises ResultError, naming file and field.
    """
    try:
        return _result(path, read_json(path, wanted), wanted)
    except ProfileError as error:
        raise ResultError(str(error)) from error


def _result(path: str, values: Any, wanted: str) -> Result:
    document = Fields(values, path)
    if "schema" not in document:
        raise ResultError(f"{path} names no schema; name {wanted}")
    schema = document.text("schema")
    if schema not in _READERS:
        match = _SCHEMA.fullmatch(schema)
        known = match and next((known for known in _READERS if known.startswith(f"{match[1]}/")), None)
        if known:
            raise ResultError(f"{path} is of schema {schema!r}, and only {known!r} is known here")
        raise ResultError(f"{path} is of schema {schema[:60]!r}; name {wanted}")
    facts = _FACTS.get(schema, ("arguments", "machine", "pages"))
    for name in facts:
        document.group(name)
    rows: dict[str, Row] = {}
    for row in _READERS[schema](document):
        if row.name in rows:
            raise ResultError(f"{path} has two rows of {row.name}")
        rows[row.name] = row
    commit = document.value("commit", "a string") if "commit" in document else None
    return Result(
        path,
        schema,
        rows,
        {name: values[name] if name in facts else {} for name in ("arguments", "machine", "pages")},
        commit if isinstance(commit, str) else None,
        document.texts("remarks") if "remarks" in document else (),
    )


# ---- bench eviction ----


def _eviction(document: Fields) -> Iterator[Row]:
    for row in document.groups("rows"):
        size_bytes, percent = row.whole("size_bytes"), row.whole("frontswap_percent", 100)
        for window, elapsed, before in (("dearest", "elapsed", ""), ("cheapest", "cheapest", "cheapest_")):
            name = f"{size_text(size_bytes)} at {100 - percent}:{percent}, {window} window"
            identity = {"size_bytes": size_bytes, "frontswap_percent": percent, "window": window}
            figures = dict(_quantiles(row, elapsed))
            written = (row.group("cheapest") if before else row).figure("bytes_written")
            if written is not None:
                figures["bytes_written"] = Figure(written, "bytes")
            endings = row.group(f"{before}endings")
            figures |= dict(_endings(endings, row.whole(f"{before}late")))
            yield Row(name, identity, figures)


def _quantiles(row: Fields, name: str) -> Iterator[tuple[str, Figure]]:
    spread = row.group(f"{name}_ns")
    samples = row.wholes(f"{name}_samples_ns") if f"{name}_samples_ns" in row else []
    for metric, permille in (("p50", 500), ("p99", 990), ("max", 1000)):
        value = spread.figure(metric)
        if value is not None:
            yield metric, Figure(value, "ns", noise.of_quantile(samples, permille))


def _endings(endings: Fields, late: int) -> Iterator[tuple[str, Figure]]:
    counts = {name: endings.whole(name) for name in ("met", "refused", "aborted")}
    total, missed = sum(counts.values()), counts["refused"] + counts["aborted"]
    if total:
        yield "miss_rate", Figure(missed / total, "fraction", noise.of_rate(missed, total))
        # It has no noise: one that is late is one too many.
        yield "late", Figure(late, "count")


# ---- bench deadline ----


def _deadline(document: Fields) -> Iterator[Row]:
    outcome, store = document.group("outcome"), document.group("store")
    figures = dict(_times(outcome))
    endings = outcome.group("endings")
    figures |= dict(_endings(endings, outcome.whole("late")))
    ran = endings.whole("met") + endings.whole("aborted")
    if ran:
        missed = outcome.whole("bound_missed")
        figures["bound_missed"] = Figure(missed / ran, "fraction", noise.of_rate(missed, ran))
    tightness = outcome.figure("tightness")
    if tightness is not None:
        ends = outcome.ends("tightness_interval_95") if "tightness_interval_95" in outcome else (None, None)
        figures["tightness"] = Figure(tightness, "ratio", noise.of_ends(tightness, *ends))
    figures |= dict(_capacity(store, ""))
    worst = outcome.group_or_none("capacity_worst") if "capacity_worst" in outcome else None
    if worst is not None:
        figures |= dict(_capacity(worst, "_worst"))
        figures["stores_refused"] = Figure(worst.whole("refused"), "count")
    yield Row("the allocations", {}, figures)


def _times(outcome: Fields) -> Iterator[tuple[str, Figure]]:
    """Times of the quantiles that the allocations carry, with their intervals where the result has them."""
    endings = outcome.group("endings")
    ran = endings.whole("met") + endings.whole("aborted")
    intervals = outcome.group("intervals_95_ns") if "intervals_95_ns" in outcome else None
    for group, names in (
        ("elapsed", {"p50": "p50", "p99": "p99", "p999": "p999", "max": "max"}),
        ("commit_lag", {"p999": "core_lag_p999"}),
        ("interpreter_lag", {"p999": "python_lag_p999"}),
    ):
        spread = outcome.group_or_none(f"{group}_ns")
        within = intervals.group(group) if intervals else None
        for name, metric in names.items() if spread else ():
            value = spread.figure(name) if spread and carries(name, ran) else None
            if value is not None:
                ends = within.ends(name) if within and name in within else (None, None)
                yield metric, Figure(value, "ns", noise.of_ends(value, *ends))


def _capacity(shares: Fields, suffix: str) -> Iterator[tuple[str, Figure]]:
    for name, metric in (("frames_in_use_percent", "in_use"), ("frontswap_percent", "frontswap")):
        value = shares.figure(name)
        if value is not None:
            yield metric + suffix, Figure(value, "percent", less_is_worse=True)


# ---- bench ops ----


def _ops(document: Fields) -> Iterator[Row]:
    for row in document.groups("rows"):
        group, name, unit = row.text("group"), row.text("name"), row.text("unit")
        judged = row.text("judged", "ratio", "difference", "value")
        less = row.truth("at_least") or unit == "MB/s"
        figures: dict[str, Figure] = {}
        for metric in ("ours", "floor", "figure"):
            measured = "value" if metric == "figure" and judged == "value" else row.group_or_none(metric)
            if isinstance(measured, Fields):
                ratio = metric == "figure" and judged == "ratio"
                figures |= dict(_rounds(metric, measured, "ratio" if ratio else unit, less=less))
        yield Row(f"{group}: {name}", {"group": group, "name": name}, figures)


def _rounds(metric: str, measured: Fields, unit: str, *, less: bool) -> Iterator[tuple[str, Figure]]:
    value = measured.figure("p50")
    if value is None:
        return
    ends = [measured.figure(name) if name in measured else None for name in ("min", "max")]
    several = "rounds" not in measured or measured.whole("rounds") > 1
    factor = _NS.get(unit, 1)
    low, high = (None if end is None or not several else end * factor for end in ends)
    spread = None if low is None or high is None else (low, high)
    yield metric, Figure(value * factor, "ns" if unit in _NS else unit, spread, less)


# ---- bench copy ----


def _copy(document: Fields) -> Iterator[Row]:
    for row in document.groups("rows"):
        job, mode = row.text("job"), row.text("mode")
        figures = {"p99": Figure(row.whole("request_p99_ns"), "ns")}
        rate, against = row.figure("mb_per_s"), row.group("against_off")
        if rate is not None:
            figures["mb_per_s"] = Figure(rate, "MB/s", less_is_worse=True)
        ratio, low, high = (against.figure(name) for name in ("p50", "low", "high"))
        if mode != "off" and ratio is not None:
            spread = None if low is None or high is None else (low, high)
            figures["against_off"] = Figure(ratio, "ratio", spread, less_is_worse=True)
        copy_ns = row.figure("copy_ns_per_page")
        if copy_ns:
            figures["copy"] = Figure(copy_ns, "ns")
        yield Row(f"{job}, {mode}", {"job": job, "mode": mode}, figures)


# ---- tune ----


def _tune(document: Fields) -> Iterator[Row]:
    for row in document.groups("rows"):
        identity: dict[str, Any] = {"frontswap_percent": row.whole("frontswap_percent", 100)}
        identity |= {name: row.text(name) for name in ("writeback", "codec", "eviction")}
        identity["admission_filter"] = row.truth("admission_filter")
        name = "{}:{frontswap_percent}, {writeback}, {codec}, {eviction}, filter {}".format(
            100 - identity["frontswap_percent"], "on" if identity["admission_filter"] else "off", **identity
        )
        yield Row(name, identity, {} if isinstance(row.value("impossible", "a string"), str) else dict(_tuned(row)))


def _tuned(row: Fields) -> Iterator[tuple[str, Figure]]:
    saved = row.figure("saved_ns")
    if saved is not None:
        yield "saved", Figure(saved, "ns", less_is_worse=True)
    yield "bytes_written", Figure(row.whole("bytes_written"), "bytes")
    allocations, elapsed = row.group("allocations"), row.group("elapsed")
    count = allocations.whole("count")
    if count:
        missed = row.whole("missed")
        yield "miss_rate", Figure(missed / count, "fraction", noise.of_rate(missed, count))
        yield "late", Figure(allocations.whole("late"), "count")
    for name, metric in (("p50_ns", "p50"), ("p99_ns", "p99"), ("max_ns", "max")):
        value = elapsed.figure(name)
        if value is not None:
            yield metric, Figure(value, "ns")


# ---- bench/peers.py ----


def _peers(document: Fields) -> Iterator[Row]:
    for row in document.groups("rows"):
        system, order = row.text("system"), row.text("order")
        figures = dict(_run(row)) | {"hits": Figure(row.whole("hits"), "count", less_is_worse=True)}
        yield Row(f"{system}, {order}", {"system": system, "order": order}, figures)
    for row in document.groups("recorded"):
        trace = row.text("trace")
        yield Row(trace, {"trace": trace}, dict(_run(row)))


def _run(row: Fields) -> Iterator[tuple[str, Figure]]:
    low_ns, high_ns = row.whole("min_ns"), row.whole("max_ns")
    yield "cpu", Figure(row.whole("median_ns"), "ns", (low_ns, high_ns) if low_ns < high_ns else None)


# ---- replay, bench/traces.py ----


def _replay(document: Fields) -> Iterator[Row]:
    clean, swap, allocations = (document.group(name) for name in ("cleancache", "frontswap", "allocations"))
    figures = {
        "cleancache_hits": Figure(clean.whole("hits"), "count", less_is_worse=True),
        "frontswap_hits": Figure(swap.whole("hits_region"), "count", less_is_worse=True),
        "refused": Figure(swap.whole("refused"), "count"),
        "bytes_written": Figure(document.group("spill").whole("bytes_written"), "bytes"),
    }
    saved = document.group("device").figure("saved_ns")
    if saved is not None:
        figures["saved"] = Figure(saved, "ns", less_is_worse=True)
    count = allocations.whole("count")
    if count:
        missed = allocations.whole("refused") + allocations.whole("aborted") + allocations.whole("late")
        figures["miss_rate"] = Figure(missed / count, "fraction", noise.of_rate(missed, count))
    for name, metric in (("p50_ns", "p50"), ("p99_ns", "p99"), ("max_ns", "max")):
        value = allocations.group("elapsed").figure(name)
        if value is not None:
            figures[metric] = Figure(value, "ns")
    yield Row("replay", {}, figures)


def _traces(document: Fields) -> Iterator[Row]:
    """Of each region the best fixed ratio and the adaptive knob beside it; of a trace without them what is in it."""
    name = document.text("name")
    if "info" in document:
        events = document.group("info").whole("events")
        yield Row(name, {"trace": name}, {"events": Figure(events, "count", less_is_worse=True)})
    for sweep in document.groups("sweeps") if "sweeps" in document else ():
        share = sweep.number("region_share")
        figures = {
            "saved": Figure(sweep.whole("best_saved_ns"), "ns", less_is_worse=True),
            "adaptive": Figure(sweep.number("adaptive_of_best"), "fraction", less_is_worse=True),
        }
        yield Row(f"{name}, region {share:.0%}", {"trace": name, "region_share": share}, figures)
    for shift in document.groups("shifts") if "shifts" in document else ():
        phases = ", ".join(shift.texts("phases"))
        figures = {"adaptive": Figure(shift.number("adaptive_of_best"), "fraction", less_is_worse=True)}
        yield Row(phases, {"phases": phases}, figures)
    for case in document.groups("cases") if "cases" in document else ():
        title = f"{case.text('trace')}, {case.text('case')}"
        for kind in ("virtual", "real"):
            hits = case.group(kind).whole("cleancache_hits")
            figures = {"cleancache_hits": Figure(hits, "count", less_is_worse=True)}
            yield Row(f"{title}, {kind}", {"case": title, "time": kind}, figures)


_FACTS: Mapping[str, tuple[str, ...]] = {
    "tmemstore.tune/1": ("arguments", "machine"),
    "tmemstore.peers/1": ("arguments", "machine"),
    "tmemstore.replay/1": ("arguments", "machine"),
    "tmemstore.traces/1": ("machine",),
}
"""What a result says of itself, where that is less than all three."""
_READERS: Mapping[str, Callable[[Fields], Iterator[Row]]] = {
    "tmemstore.bench.eviction/1": _eviction,
    "tmemstore.bench.deadline/1": _deadline,
    "tmemstore.bench.ops/1": _ops,
    "tmemstore.bench.copy/1": _copy,
    "tmemstore.tune/1": _tune,
    "tmemstore.peers/1": _peers,
    "tmemstore.replay/1": _replay,
    "tmemstore.traces/1": _traces,
}
