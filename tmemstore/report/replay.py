"""The table of a replay; it fits a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tmemstore.report.tables import milliseconds, size_text
from tmemstore.report.words import for_options

_WIDTH = 80
_NAME_WIDTH = 20
_S = 1_000_000_000
_QUANTILES = {"p50_ns": "p50", "p99_ns": "p99", "p999_ns": "p99.9", "max_ns": "max"}


def replay_table(document: Mapping[str, Any]) -> str:
    """Return the table of a ``tmemstore.replay/1`` document; KeyError for another."""
    lines = [*_head(document), ""]
    sections = (_cleancache(document), _frontswap(document), _device(document), _allocations(document))
    for section in sections:
        for name, text in section:
            lines += textwrap.wrap(
                text, _WIDTH, initial_indent=f"{name:<{_NAME_WIDTH}}", subsequent_indent=" " * _NAME_WIDTH
            )
    return "\n".join(lines) + "\n"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):,.1f} MiB"


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    arguments = document["arguments"]
    seconds = document["wall_ns"] / _S
    kind = "real" if arguments["real"] else "virtual"
    yield (
        f"{document['operations']:,} events, {document['trace_ns'] / _S:,.1f} s of {kind} time in {seconds:.2f} s: "
        f"{document['operations'] / max(seconds, 1e-9) / 1e6:.2f} million a second"
    )
    contract = arguments["contract"]
    promise = "no contract"
    if contract is not None:
        promise = (
            f"{size_text(contract['size_bytes'])} in {milliseconds(contract['deadline_ns'])} ms, {contract['kind']}"
        )
    percent = document["percent_in_force"]
    yield from textwrap.wrap(
        f"region {size_text(arguments['region_bytes'])}, {arguments['storage']}, {promise}, knob at "
        f"{100 - percent}:{percent}, write-{arguments['writeback']}, codec {arguments['codec']}, "
        f"{arguments['eviction']}, seed {arguments['seed']}",
        _WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cleancache(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    told = document["cleancache"]
    yield "cleancache", f"{told['gets']:,} gets, {told['hits']:,} hits: {_percent(told['hit_ratio'])}"
    yield "", f"{told['puts']:,} puts, {told['admitted']:,} let in{_reasons(told)}; {told['evicted']:,} evicted"


def _reasons(told: Mapping[str, Any]) -> str:
    return "".join(f", {count:,} {reason}" for reason, count in told["rejects"].items() if count)


def _frontswap(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    told = document["frontswap"]
    region = f"{told['hits_region']:,} from the region: {_percent(told['hit_ratio'])}"
    spill = f"{told['hits_spill']:,} from the spill device, {told['misses']:,} not held"
    yield "frontswap", f"{told['loads']:,} loads, {region}; {spill}"
    yield "", f"{told['stores']:,} stores, {told['refused']:,} refused{_reasons(told)}"
    if told["spill_load_p50_ns"] is not None:
        p50, p99 = (milliseconds(told[name]) for name in ("spill_load_p50_ns", "spill_load_p99_ns"))
        yield "", f"a load from the device took {p50} ms at p50, {p99} at p99"


def _device(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    told, spill = document["device"], document["spill"]
    reads = f"{told['reads_saved']:,} reads of {told['read_ns'] / 1000:.0f} us"
    writes = f"{_mib(told['write_bytes_saved'])} of writes"
    yield "device time saved", f"{told['saved_ns'] / _S:,.2f} s: {reads}, and {writes}"
    yield "written", f"{_mib(spill['bytes_written'])}, {_mib(spill['bytes_written_a_day'])} a day at this pace"
    thrash = document["thrash"]
    lost = f"{thrash['lost_ns'] / _S:,.2f} s of device time"
    yield "refaults", f"{thrash['refaults']:,}, {thrash['per_admitted']:.3f} a page let in: {lost}"
    if thrash["warning"]:
        yield "", for_options(thrash["warning"], {"ratio"})
    if document["late_ns"]:
        yield "late", f"by at most {milliseconds(document['late_ns'])} ms: events waited for the device"


def _allocations(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    told = document["allocations"]
    if not told["count"]:
        return
    reasons = "".join(f", {count} {reason}" for reason, count in told["reasons"].items() if reason != "none")
    endings = f"{told['met']} met, {told['refused']} refused, {told['aborted']} aborted"
    yield "allocations", f"{told['count']:,}: {endings}{reasons}"
    for name, title in (("elapsed", "  took, ms"), ("bound", "  bounds, ms")):
        known = {short: told[name][key] for key, short in _QUANTILES.items() if told[name][key] is not None}
        yield title, "  ".join(f"{short} {milliseconds(ns)}" for short, ns in known.items())
