"""One page of results: the sentence that matters, the pictures, the tables, machine and method. It needs no network."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tmemstore.report.baseline_drawing import refused_share
from tmemstore.report.baselines import baselines_table
from tmemstore.report.copy import copy_table
from tmemstore.report.deadline import deadline_table
from tmemstore.report.drawing import Drawing
from tmemstore.report.ops import ops_table
from tmemstore.report.published import published_table
from tmemstore.report.result_drawings import drawings_of
from tmemstore.report.tables import device_text, eviction_table, nearest_percent, size_text

Document = Mapping[str, Any]

_MS = 1_000_000
_TABLES = {
    "tmemstore.bench.eviction/1": eviction_table,
    "tmemstore.bench.ops/1": ops_table,
    "tmemstore.bench.copy/1": copy_table,
    "tmemstore.bench.deadline/1": deadline_table,
}
_STYLE = """
body { font: 16px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; color: #111; background: #fff;
       max-width: 54rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; line-height: 1.3 } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc }
figure { margin: 1.5rem 0 } figure svg { width: 100%; height: auto }
figcaption, .small { color: #444; font-size: .9rem }
pre { overflow-x: auto; font-size: .8rem; line-height: 1.35; background: #f6f6f6; padding: .8rem }
table { border-collapse: collapse; font-size: .9rem } td, th { text-align: left; padding: .15rem 1rem .15rem 0;
       vertical-align: top } .remark { border-left: 4px solid #D55E00; padding-left: .8rem }
@media print { body { max-width: none } pre { white-space: pre-wrap } }
"""


def report_page(documents: Sequence[tuple[str, Document]]) -> str:
    """Return the page of result documents, each with the name of its file.

    Raises KeyError for a document that lacks a key of its schema, EnvironmentLacks without matplotlib.
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
    met = [row["met"] for row in document["rows"] if row["met"] is not None]
    return f"Of {len(met)} operations {sum(met)} reach the goal that is set by what this machine does at best."


def _eviction_headline(document: Document) -> str | None:
    sizes = list(dict.fromkeys(row["size_bytes"] for row in document["rows"]))
    rows = [row for row in document["rows"] if row["size_bytes"] == sizes[0] and row["elapsed_ns"]["max"] is not None]
    if not rows:
        return None
    low = min(rows, key=lambda row: row["frontswap_percent"])
    high = max(rows, key=lambda row: row["frontswap_percent"])
    size = size_text(sizes[0])
    percent = nearest_percent(document)
    middle = next((row for row in rows if row["frontswap_percent"] == percent), high)
    refused = refused_share(document, sizes[0])
    other = ""
    if refused is not None:
        other = f" CMA with 32 scattered pins refuses {100 * refused:.0f} % of such calls (a model)."
    return (
        f"At {_ratio(middle)} cleancache:frontswap this device ({device_text(document)}) gives back {size} in "
        f"{_time(middle['elapsed_ns']['max'])}, the longest of {middle['repeats']}; at {_ratio(low)} in "
        f"{_time(low['elapsed_ns']['max'])}, at {_ratio(high)} in {_time(high['elapsed_ns']['max'])}.{other}"
    )


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
    yield f"<details><summary>All figures</summary>\n<pre>{_text(_table(document))}</pre></details>\n"
    yield _method(document)


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
