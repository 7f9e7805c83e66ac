"""Plain text table of a run of the deadline bench; it fits a terminal of 80 columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tmemstore.quantiles import carries
from tmemstore.report.tables import milliseconds, size_text

_WIDTH = 80
_NAME_WIDTH = 20
_ROUTES = {
    "clean_dropped": "clean dropped",
    "copied_dropped": "copied dropped",
    "migrated_inside": "migrated inside",
    "migrated_reserve": "to the reserve",
    "compressed": "compressed first",
    "paged_out": "paged out",
}
_QUANTILES = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
_RULES = (
    "95 %        where the figure of many more such allocations lies, were they",
    "            independent; what too few of them carry is left out (p99: 100)",
    "missed      refused or aborted, of all; the second figure is the one-sided 95 %",
    "            upper bound of the rate (3/n for none of n)",
    "late        handed over after the deadline; starved: kept off the CPU",
    "coverage    how often the elapsed time stayed within what was predicted",
    "tightness   the bounds are so many times what would have been enough",
    "return lag  from the commit point, or the deadline of an aborted one, to the end",
    "            of the call into the core; Python: from there to the caller's code",
    "routes      pages that left by each, in all allocations",
)


def deadline_table(document: Mapping[str, Any]) -> str:
    """Return the table of a ``tmemstore.bench.deadline/1`` document.

    Raises KeyError for a document that lacks a key of the schema.
    """
    lines = [*_head(document), ""]
    for name, text in (*_endings(document), *_times(document), *_work(document)):
        lines += _wrapped(f"{name:<{_NAME_WIDTH}}", text)
    return "\n".join([*lines, "", *_RULES]) + "\n"


def _wrapped(name: str, text: str) -> list[str]:
    """Return the lines of an entry; a number and its unit stay together."""
    kept = re.sub(r"(?<=[0-9]) (?=%|ms|MiB)", "\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(kept, _WIDTH, initial_indent=name, subsequent_indent=" " * _NAME_WIDTH)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def percent(rate: float | None) -> str:
    """Return a rate in percent with three digits behind the point; "-" for None."""
    return "-" if rate is None else f"{100 * rate:.3f} %"


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    arguments = document["arguments"]
    if arguments["scenario"] == "unbound":
        promise = "without a contract"
    else:
        promise = (
            f"{size_text(arguments['contract_bytes'])} in {milliseconds(arguments['deadline_ns'])} ms, "
            f"{arguments['kind']}"
        )
    yield f"Allocations held to their time: {promise}, {100 * arguments['confidence']:g} %"
    time = "virtual time" if arguments["virtual"] else f"real time, {arguments['threads']} threads of load"
    yield from textwrap.wrap(
        f"region {size_text(arguments['region_bytes'])}, escape reserve {size_text(arguments['escape_bytes'])}, codec "
        f"{arguments['codec']}, write-{arguments['writeback']}, {arguments['storage']}, {time}, scenario "
        f"{arguments['scenario']}, seed {arguments['seed']}",
        _WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _endings(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    outcome = document["outcome"]
    total = outcome["allocations"]
    yield "allocations", str(total)
    if not total:
        return
    yield "endings", ", ".join(f"{name} {count}" for name, count in outcome["endings"].items())
    reasons = {name: count for name, count in outcome["reasons"].items() if name != "none" and count}
    if reasons:
        yield "reasons", ", ".join(f"{name} {count}" for name, count in reasons.items())
    yield "missed", f"{percent(outcome['miss_rate'])}, at most {percent(outcome['miss_rate_upper_95'])}"
    yield "late", f"{outcome['late']}, at most {percent(outcome['late_rate_upper_95'])}"
    yield "starved", f"{outcome['starved']}, of them aborted {outcome['starved_aborted']}"


def _times(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    outcome, store = document["outcome"], document["store"]
    if not outcome["elapsed_ns"]:
        return
    ran = store["allocs_run"]
    ended = outcome["endings"]["met"] + outcome["endings"]["aborted"]
    names = {"within_p50": "p50", "within_p99": "p99", "within_bound": "bound"}
    within = ", ".join(f"within {names[name]} {100 * store[name] / ran:.2f} %" for name in names) if ran else "-"
    yield "coverage", within
    yield "bound missed", f"{outcome['bound_missed']}, {percent(outcome['bound_missed_rate'])}"
    confidence = 100 * document["arguments"]["confidence"]
    yield "tightness", f"{_ratio(outcome['tightness'])} at {confidence:g} %{_tightness_ends(outcome)}"
    yield "predicted/actual", f"{_ratio(outcome['predicted_over_actual_p50'])} at the median"
    yield "elapsed", _quantiles(outcome["elapsed_ns"], tuple(_QUANTILES), ended)
    within = outcome.get("intervals_95_ns", {}).get("elapsed")
    if within:
        yield (
            "elapsed, 95 %",
            ", ".join(f"{_QUANTILES[name]} {_ends(*map(_milliseconds, ends)) or '-'}" for name, ends in within.items()),
        )
    yield "return lag, core", _quantiles(outcome["commit_lag_ns"], ("p999", "max"), ended)
    if outcome["interpreter_lag_ns"]:
        yield "return lag, Python", _quantiles(outcome["interpreter_lag_ns"], ("p999", "max"), ended)
    else:
        yield "return lag, Python", "measured in real time only"


def _work(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    outcome, store, load = document["outcome"], document["store"], document["load"]
    if outcome["routes"]:
        yield "windows", f"in use {outcome['windows_in_use_percent']:.1f} % before they were emptied"
        if outcome["ceilings_filled_percent"] is not None:
            filled = f"{outcome['ceilings_filled_percent']:.1f} %"
            yield "ceilings", f"{filled} of what they are laid out for lay without a copy (median)"
        yield "routes", ", ".join(f"{text} {outcome['routes'][name]}" for name, text in _ROUTES.items())
    seconds = outcome["seconds"]
    if seconds:
        ended = ", ".join(f"{name} {seconds[name]}" for name in outcome["endings"])
        yield "second of a pair", f"{ended} (starved {seconds['starved_aborted']})"
    named = outcome["recoveries"]
    if named["count"]:
        yield "recoveries", f"{named['count']}, within 20 % of the time that was named {named['within_20_percent']}"
    worst = outcome["capacity_worst"]
    if worst:
        kept = "held" if worst["holding"] else "not held throughout"
        refused = f"stores refused {worst['refused']}, contract {kept}"
        yield "capacity, worst", f"{_shares(worst)}, {refused} (after the first tenth of the run)"
    yield "capacity, end", _shares(store)
    for state in store["contracts"]:
        yield "contract", f"{state['contract']}: {state['state']}"
    counts = (f"{name} {load[name]}" for name in ("stored", "refused", "loaded", "put", "hits"))
    yield "load", ", ".join(counts)
    yield "verified", f"{document['pages_verified']} pages at the end, and every structure"


def _shares(figures: Mapping[str, Any]) -> str:
    return f"frames in use {figures['frames_in_use_percent']:.1f} %, by frontswap {figures['frontswap_percent']:.1f} %"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _tightness_ends(outcome: Mapping[str, Any]) -> str:
    low, high = outcome.get("tightness_interval_95", (None, None))
    told = _ends(low and _ratio(low), high and _ratio(high))
    return f", 95 %: {told}" if told else ""


def _ends(low: str | None, high: str | None) -> str:
    """Return what is known of an interval."""
    if low and high:
        return f"{low} to {high}"
    return f"from {low}" if low else f"up to {high}" if high else ""


def _milliseconds(time_ns: int | None) -> str | None:
    return None if time_ns is None else f"{milliseconds(time_ns)} ms"


def _quantiles(spread: Mapping[str, int], names: tuple[str, ...], count: int) -> str:
    """Those of them that so many samples carry."""
    return ", ".join(f"{_QUANTILES[name]} {milliseconds(spread[name])} ms" for name in names if carries(name, count))
