"""One page of results: the sentence that matters, the pictures, the tables, machine and method. It needs no network."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tmemstore.quantiles import carries
from tmemstore.report.baseline_drawing import refused_share, shown_rows
from tmemstore.report.baselines import COSTS, baselines_table, costs
from tmemstore.report.copy import copy_table
from tmemstore.report.deadline import deadline_table
from tmemstore.report.drawing import Drawing
from tmemstore.report.ops import ops_table
from tmemstore.report.published import published_table
from tmemstore.report.result_drawings import drawings_of
from tmemstore.report.tables import device_text, eviction_table, nearest_percent, size_text
from tmemstore.report.tune import recommended_line, tune_table

Document = Mapping[str, Any]

_MS = 1_000_000
_TOLD_BYTES = 64 << 20
"""Of several sizes the one that the first sentence is about."""
_TABLES: Mapping[str, Callable[[Document], str]] = {
    "tmemstore.bench.eviction/1": eviction_table,
    "tmemstore.bench.ops/1": ops_table,
    "tmemstore.bench.copy/1": copy_table,
    "tmemstore.bench.deadline/1": deadline_table,
    "tmemstore.tune/1": functools.partial(tune_table, encoding="utf-8"),
}
SHOWN_SCHEMAS = frozenset(_TABLES)
"""Of the results that a page can hold."""
SHOWN = "a result of bench eviction, bench deadline, bench ops, bench copy or tune"
_STYLE = """
body { font: 16px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; color: #111; background: #fff;
       max-width: 54rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; line-height: 1.3 } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc }
figure { margin: 1.5rem 0 } figure svg { width: 100%; height: auto }
figcaption, .small { color: #444; font-size: .9rem }
pre { overflow-x: auto; font-size: .8rem; line-height: 1.35; background: #f6f6f6; padding: .8rem }
.wide { overflow-x: auto; margin-bottom: 1rem } .figures { font-variant-numeric: tabular-nums }
.figures th { font-weight: normal } .figures td, .figures tr:first-child th { text-align: right }
.figures tr { border-bottom: 1px solid #ddd }
table { border-collapse: collapse; font-size: .9rem } td, th { text-align: left; padding: .15rem 1rem .15rem 0;
       vertical-align: top }
@media (max-width: 40rem) { .figures { font-size: .75rem } .figures td, .figures th { padding-right: .3rem } }
.remark { border-left: 4px solid #D55E00; padding-left: .8rem }
@media print { body { max-width: none; font-size: 11pt } pre { white-space: pre-wrap; font-size: 7pt }
       figure, table { break-inside: avoid } h2, summary { break-after: avoid } .wide { overflow: visible }
       details::details-content { content-visibility: visible; block-size: auto } }
"""


def report_page(documents: Sequence[tuple[str, Document]]) -> str:
    """Return the page of result documents, each of a schema in `SHOWN_SCHEMAS`, with the name of its file.

    Raises KeyError for another, or one that lacks a key of its schema, EnvironmentLacks without matplotlib.
    """
    sentences = [sentence for _, document in documents if (sentence := headline(document))]
    parts = [part for name, document in documents for part in _result(name, document)]
    title = sentences[0] if sentences else "Results of tmemstore"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{_text(title)}</h1>\n"
        + "".join(f"<p>{_text(sentence)}</p>\n" for sentence in sentences[1:])
        + "".join(parts)
        + "</body>\n</html>\n"
    )


def headline(document: Document) -> str | None:
    """Return what matters in a result, in one sentence; None where it holds nothing of the kind."""
    schema = document["schema"]
    if schema == "tmemstore.bench.eviction/1":
        return _eviction_headline(document)
    if schema == "tmemstore.bench.deadline/1":
        return _deadline_headline(document)
    if schema == "tmemstore.bench.copy/1":
        return _copy_headline(document)
    if schema == "tmemstore.tune/1":
        return recommended_line(document)
    met = [row["met"] for row in document["rows"] if row["met"] is not None]
    return f"Of {len(met)} operations {sum(met)} reach the goal that is set by what this machine does at best."


def _eviction_headline(document: Document) -> str | None:
    sizes = list(dict.fromkeys(row["size_bytes"] for row in document["rows"]))
    told = _TOLD_BYTES if _TOLD_BYTES in sizes else sizes[0]
    rows = [row for row in document["rows"] if row["size_bytes"] == told and row["elapsed_ns"]["max"] is not None]
    if not rows:
        return None
    low = min(rows, key=lambda row: row["frontswap_percent"])
    high = max(rows, key=lambda row: row["frontswap_percent"])
    size = size_text(told)
    percent = nearest_percent(document)
    middle = next((row for row in rows if row["frontswap_percent"] == percent), high)
    refused = refused_share(document, told)
    ends = other = ""
    if low is not high:
        ends = f"; at {_ratio(low)} in {_time(_said(low))}, at {_ratio(high)} in {_time(_said(high))}"
    if refused is not None:
        other = f" CMA with 32 scattered pins refuses {100 * refused:.0f} % of such calls (a model)."
    return (
        f"At {_ratio(middle)} cleancache:frontswap this device ({device_text(document)}) gives back {size} in "
        f"{_time(_said(middle))}{_said_of(middle)}{ends}.{other}"
    )


def _said(row: Mapping[str, Any]) -> int:
    """Return the time that is said of a row, in ns: its p99.9 where its allocations carry one, else the longest."""
    samples: list[int] = sorted(row["elapsed_samples_ns"])
    if carries("p999", len(samples)):
        return samples[-(-len(samples) * 999 // 1000) - 1]
    longest: int = row["elapsed_ns"]["max"]
    return longest


def _said_of(row: Mapping[str, Any]) -> str:
    return " at p99.9" if carries("p999", len(row["elapsed_samples_ns"])) else f", the longest of {row['repeats']}"


def _deadline_headline(document: Document) -> str:
    outcome, arguments = document["outcome"], document["arguments"]
    endings = outcome["endings"]
    return (
        f"Of {outcome['allocations']} allocations of {size_text(arguments['contract_bytes'])} within "
        f"{_time(arguments['deadline_ns'])} ({arguments['kind']}, scenario {arguments['scenario']}) {endings['met']} "
        f"were met, {endings['refused']} refused, {endings['aborted']} aborted, and {outcome['late']} were late."
    )


def _copy_headline(document: Document) -> str | None:
    filtered = [row for row in document["rows"] if row["mode"] == "filtered"]
    if not filtered:
        return None
    worst = min(filtered, key=lambda row: row["against_off"]["p50"])
    best = max(filtered, key=lambda row: row["against_off"]["p50"])
    least, most = worst["against_off"]["p50"], best["against_off"]["p50"]
    return (
        f"With the admission filter a reading job has {least:.2f} of its throughput in the worst case ({worst['job']}) "
        f"and {most:.2f} of it in the best ({best['job']})."
    )


def _ratio(row: Mapping[str, Any]) -> str:
    return f"{100 - row['frontswap_percent']}:{row['frontswap_percent']}"


def _time(time_ns: int) -> str:
    return f"{time_ns / _MS:.3g} ms"


def _text(text: object) -> str:
    return html.escape(str(text))


# ---- one result ----------------------------------------------------------------------------------------------


def _result(name: str, document: Document) -> Iterator[str]:
    kind = document["schema"].split("/")[0].removeprefix("tmemstore.").replace(".", " ")
    yield f"<h2>{_text(kind)}: {_text(name)}</h2>\n"
    for remark in document.get("remarks", ()):
        yield f'<p class="remark">{_text(remark)}</p>\n'
    for drawing in drawings_of(document):
        yield _figure(drawing)
    for size_bytes in document["arguments"].get("sizes_bytes", ()):
        yield _costs(document, size_bytes)
    yield f"<details><summary>All figures</summary>\n<pre>{_text(_table(document))}</pre></details>\n"
    yield _method(document)


def _costs(document: Document, size_bytes: int) -> str:
    """Return what each system of the picture took and what that cost others; "" for a result that does not say it."""
    try:
        lines = [(name, costs(row)) for name, row in shown_rows(document, size_bytes)]
    except KeyError:  # a result of an earlier state of its schema
        return ""
    if not lines:
        return ""
    percent = nearest_percent(document)
    head = "".join(f"<th>{_text(name)}</th>" for name in ("", *COSTS))
    body = "".join(
        f"<tr><th>{_text(name)}</th>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>\n"
        for name, cells in lines
    )
    caption = (
        f"{size_text(size_bytes)} at {100 - percent}:{percent}: what it took, and where the cost went. Copied and "
        "written are MiB for each MiB handed over; to read again is the device's time for each, if all that left is "
        "asked for again. A p99.9 takes 1000 calls."
    )
    return (
        f'<p class="small">{_text(caption)}</p>\n<div class="wide"><table class="figures">\n'
        f"<tr>{head}</tr>\n{body}</table></div>\n"
    )


def _table(document: Document) -> str:
    try:
        tables = [_TABLES[document["schema"]](document)]
        if "baselines" in document:
            tables.append(baselines_table(document))
        if document["arguments"].get("published"):
            tables.append(published_table(document))
        return "\n".join(tables)
    except KeyError as error:  # a result of an earlier state of its schema
        return f"There is no table: the result has no {error}."


def _figure(drawing: Drawing) -> str:
    svg = drawing.svg().replace("<svg ", f'<svg role="img" aria-label="{html.escape(drawing.title)}" ', 1)
    # Names inside a picture are the picture's own; on one page they would be shared.
    for mark in ('id="', 'href="#', "url(#"):
        svg = svg.replace(mark, f"{mark}{drawing.name}-")
    return f"<figure>\n{svg}<figcaption>{_text(drawing.caption)}</figcaption>\n</figure>\n"


def _method(document: Document) -> str:
    facts: dict[str, object] = {"command": document.get("command"), "commit": document.get("commit")}
    facts |= {f"machine: {key}": value for key, value in document["machine"].items()}
    facts |= {f"argument: {key}": value for key, value in document["arguments"].items()}
    facts |= {f"pages: {key}": value for key, value in document.get("pages", {}).items()}
    lines = "".join(
        f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>\n" for key, value in facts.items() if value is not None
    )
    return f"<details><summary>Machine and method</summary>\n<table>\n{lines}</table></details>\n"
