"""The text of `tune`: the setting in one line, what lies beside it, a table and plots of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from tmemstore.report.tables import milliseconds, size_text
from tmemstore.report.terminal import bar, curve_plot
from tmemstore.report.words import for_options
from tmemstore.units import format_time_ns

Document = Mapping[str, Any]
Row = Mapping[str, Any]

_S: Final = 1_000_000_000
_GIB: Final = 1 << 30
_WIDTH: Final = 80
_ALL: Final = 100
_SAVED_BAR: Final = 32
_TIME_BAR: Final = 20
_COLUMNS: Final = (
    *(("ratio", 7), ("policy", 7), ("bound", 7), ("p99", 7), ("max", 7), ("missed", 6), ("clean", 5), ("swap", 5)),
    *(("saved", 7), ("GiB/d", 6), ("thrash", 6)),
)
_RULES: Final = (
    "ratio      cleancache:frontswap, percent of frames; > is recommended",
    "policy     when frontswap pages are written: back, behind, through",
    "bound      the longest that was promised; p99, max: that it took, ms",
    "missed     allocations that were refused, aborted or late; ! is too many",
    "clean swap percent of gets, and of loads, that the region served",
    "saved      s of device time against no store; GiB/d: written to the flash a day",
    "thrash     refaults for 100 pages let in",
)
_OPTIONS: Final = frozenset({"codec", "escape", "storage", "time_scale", "writeback"})
"""Of the command, that what the library says may name; the ratio is none, since all are tried."""
_VARIANT: Final = ("codec", "eviction", "admission_filter")


def tune_table(document: Document, *, encoding: str | None = None) -> str:
    """Return the text of a ``tmemstore.tune/1`` document; `encoding`: of what it is written to, as for `curve_plot`.

    Raises KeyError for a document that lacks a key of the schema.
    """
    lines = [recommended_line(document), ""]
    for paragraph in _paragraphs(document):
        lines += textwrap.wrap(paragraph, _WIDTH)
    variants = [(key, list(rows)) for key, rows in groupby(document["rows"], _variant)]
    lines += ["", *textwrap.wrap(_setting_text(document), _WIDTH)]
    for key, rows in variants:
        lines += ["", _variant_text(key)] if len(variants) > 1 else []
        lines.append(_line([name for name, _ in _COLUMNS]))
        lines += _rows(rows, document)
    lines += ["", *_RULES, "", *_plot(document, encoding), "", curve_plot(document["curves"], encoding=encoding)]
    return "\n".join(lines)


def recommended_line(document: Document) -> str:
    """Return the setting in one line; or that there is none."""
    recommended = document["recommended"]
    if recommended is None:
        return f"No setting gives back {_contract_text(document)}."
    arguments = document["arguments"]
    more = [recommended["codec"]] if len(arguments["codecs"]) > 1 else []
    more += [recommended["eviction"]] if len(arguments["evictions"]) > 1 else []
    if len(arguments["admissions"]) > 1:
        more.append("admission filter " + _on(recommended["admission_filter"]))
    percent, policy = recommended["frontswap_percent"], recommended["writeback"]
    return ", ".join((f"Recommended: frontswap at most {percent} %", f"writeback {policy}", *more))


def _contract_text(document: Document) -> str:
    contract = document["arguments"]["contract"]
    odds = f" at {_ALL * contract['confidence']:.6g} %" if contract["kind"] == "soft" else " (hard)"
    return f"{size_text(contract['size_bytes'])} within {format_time_ns(contract['deadline_ns'])}{odds}"


def _setting_text(document: Document) -> str:
    arguments = document["arguments"]
    return f"region {size_text(arguments['region_bytes'])}, {arguments['storage']}, {_contract_text(document)}"


def _on(value: object) -> str:
    return "on" if value else "off"


def _variant(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _VARIANT)


def _variant_text(key: Sequence[Any]) -> str:
    codec, eviction, admission = key
    return f"codec {codec}, eviction {eviction}, admission filter {_on(admission)}"


# ---- what is said in sentences ---------------------------------------------------------------------------


def _paragraphs(document: Document) -> Iterator[str]:
    recommended, needed = document["recommended"], document["needed"]
    if recommended is not None:
        yield _gain(document)
        yield _beside(document, "down", "less")
        yield _beside(document, "up", "more")
    elif needed is not None:
        yield (
            f"A deadline of {format_time_ns(needed['deadline_ns'])} would hold, with frontswap at most "
            f"{needed['frontswap_percent']} % and writeback {needed['writeback']}."
        )
    else:
        yield "Nor does any with a deadline of up to 60 s: ask for less, or give an escape reserve or a spill device."
    if document["sample"]["allocations"]:
        yield _sample(document)
    if document["verify"] is not None:
        yield _verified(document["verify"])


def _gain(document: Document) -> str:
    row = document["rows"][document["recommended"]["row"]]
    saved, counts = row["saved_ns"] / _S, row["allocations"]
    longest_ns = row["elapsed"]["max_ns"]
    return (
        f"It {'saves' if saved >= 0 else 'costs'} {abs(saved):.3g} s of device time in {row['trace_ns'] / _S:.3g} s of "
        f"the trace and writes {row['bytes_written_a_day'] / _GIB:.3g} GiB a day. Of {counts['count']} allocations "
        f"of {_contract_text(document)} {row['missed'] or 'none'} {'was' if row['missed'] < 2 else 'were'} missed"  # noqa: PLR2004 - a plural
        + ("." if longest_ns is None else f", and the longest took {format_time_ns(longest_ns)}.")
    )


def _beside(document: Document, way: str, word: str) -> str:
    recommended = document["recommended"]
    step = recommended["next"][way]
    if step is None:
        return f"There is no step to {word} frontswap."
    points = abs(step["frontswap_percent"] - recommended["frontswap_percent"])
    head = f"{points} points {word} frontswap"
    if step["saved_change_ns"] is None:
        return f"{head} cannot be had: {for_options(step['why'], _OPTIONS)}."
    saved, longest = step["saved_change_ns"] / _S, step["longest_change_ns"]
    written = step["bytes_written_a_day_change"] / _GIB
    said = (
        f"{head} would save {_change(saved, 's')} of device time, write {_change(written, 'GiB')} a day, and take "
        f"{_change(longest / 1e6, 'ms')} at the longest"
    )
    return said + ("." if step["holds"] else f"; it does not hold: {step['why']}.")


def _change(value: float, unit: str) -> str:
    if not round(value, 3):
        return "as much"
    return f"{abs(value):.3g} {unit} {'more' if value > 0 else 'less'}"


def _sample(document: Document) -> str:
    sample = document["sample"]
    said = (
        f"{sample['allocations']} allocations of which none is missed show that at least "
        f"{_nines(sample['shows_at_most'])} % are met (with {_ALL * sample['sure']:.0f} % confidence)"
    )
    needed = sample["needed"]
    if needed is None or needed <= sample["allocations"]:
        return said + "."
    confidence = document["arguments"]["contract"]["confidence"]
    return said + f"; to show {_ALL * confidence:.6g} % takes {needed}: --allocate, or a longer trace."


def _nines(share: float) -> str:
    """A percentage, rounded down, since it is what is shown at least."""
    return f"{int(share * 1e6) / 1e4:.4g}"


def _verified(verify: Mapping[str, Any]) -> str:
    modelled, real = verify["modelled"], verify["real"]
    pace = "" if verify["speed"] == 1 else f", {verify['speed']:.3g} times as fast as the trace"
    return (
        f"Verified in real memory over the emulated device{pace}: "
        + "; ".join(f"{name} {_figures(row)}" for name, row in (("modelled", modelled), ("real", real)))
        + "."
    )


def _figures(row: Row) -> str:
    counts, times = row["allocations"], row["elapsed"]
    return (
        f"{counts['met']} of {counts['count']} met, p50 {milliseconds(times['p50_ns'])}, longest "
        f"{milliseconds(times['max_ns'])} ms, saved {row['saved_ns'] / _S:.3g} s, "
        f"{'holds' if row['holds'] else 'does not hold'}"
    )


# ---- the table -------------------------------------------------------------------------------------------


def _rows(rows: Sequence[Row], document: Document) -> Iterator[str]:
    recommended = document["recommended"]
    chosen = None if recommended is None else document["rows"][recommended["row"]]
    for (possible, _), group in groupby(rows, lambda row: (row["impossible"] is None, row["writeback"])):
        run = list(group)
        if possible:
            yield from _possible(run, chosen)
            continue
        ratios = ratio_text(run[0]) + (f" to {ratio_text(run[-1])}" if len(run) > 1 else "")
        text = f"{ratios} {run[0]['writeback']}: {for_options(run[0]['impossible'], _OPTIONS)}"
        yield from textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _possible(rows: Sequence[Row], chosen: Row | None) -> Iterator[str]:
    """Lines of rows that ran; what a contract caps runs the same at every higher share, and stands there once."""
    for _, group in groupby(rows, lambda row: (row is chosen, _figure_cells(row))):
        first, *same = group
        yield _line([("> " if first is chosen else "") + ratio_text(first), *_figure_cells(first)])
        if len(same) == 1:
            yield _line([ratio_text(same[0]), *_figure_cells(same[0])])
        elif same:
            yield f"to {ratio_text(same[-1])} the same"


def ratio_text(row: Row) -> str:
    """Return cleancache:frontswap."""
    return f"{_ALL - row['frontswap_percent']}:{row['frontswap_percent']}"


def _figure_cells(row: Row) -> list[str]:
    thrash = row["thrash"]
    return [
        row["writeback"],
        milliseconds(row["bound"]["max_ns"]),
        milliseconds(row["elapsed"]["p99_ns"]),
        milliseconds(row["elapsed"]["max_ns"]),
        f"{row['missed']}{'' if row['holds'] else '!'}",
        _percent(row["cleancache"]["hit_ratio"]),
        _percent(row["frontswap"]["hit_ratio"]),
        _three(row["saved_ns"] / _S),
        _three(row["bytes_written_a_day"] / _GIB),
        "-" if thrash is None or thrash["per_admitted"] is None else _three(_ALL * thrash["per_admitted"]),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{_ALL * share:.1f}"


def _three(value: float) -> str:
    """Three significant digits, no exponent."""
    size = abs(value)
    return f"{value:.{0 if size >= _ALL else 1 if size >= 10 else 2}f}"  # noqa: PLR2004 - digits


def _line(cells: Sequence[str]) -> str:
    return " ".join(cell.rjust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True)).rstrip()


# ---- the plot --------------------------------------------------------------------------------------------


def shown_rows(document: Document) -> list[Row]:
    """Return the rows that differ from the recommended one in ratio and write policy alone; else from the first."""
    rows: Sequence[Row] = document["rows"]
    recommended = document["recommended"]
    key = _variant(rows[0 if recommended is None else recommended["row"]])
    return [row for row in rows if _variant(row) == key]


def _plot(document: Document, encoding: str | None) -> Iterator[str]:
    """What is saved, and the longest time against the deadline, by the ratio, with the recommended write policy."""
    recommended = document["recommended"]
    deadline_ns = document["arguments"]["contract"]["deadline_ns"]
    rows = shown_rows(document)
    policy = rows[0]["writeback"] if recommended is None else recommended["writeback"]
    rows = [row for row in rows if row["writeback"] == policy and row["impossible"] is None]
    if not rows:
        yield f"With writeback {policy} nothing is possible."
        return
    most = max(1, *(row["saved_ns"] for row in rows))
    yield f"Writeback {policy}: device time saved, s; longest allocation, ms of {deadline_ns / 1e6:.6g}"
    for row in rows:
        saved = bar(min(1.0, max(0.0, row["saved_ns"] / most)), _SAVED_BAR, encoding)
        longest_ns = row["elapsed"]["max_ns"]
        longest = bar(min(1.0, (longest_ns or 0) / deadline_ns), _TIME_BAR, encoding)
        yield (
            f"{ratio_text(row):>6} {_three(row['saved_ns'] / _S):>6} {saved:<{_SAVED_BAR}} "
            f"{milliseconds(longest_ns):>6} {longest}"
        ).rstrip()
