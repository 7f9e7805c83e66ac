"""Drawings of `tune`: what is saved and how long an allocation takes, by the ratio; what any region would serve."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmemstore.report.drawing import COLOURS, MARKERS, Cell, Drawing, log_scale
from tmemstore.report.tables import size_text
from tmemstore.report.tune import ratio_text, recommended_line, shown_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Document = Mapping[str, Any]
Row = Mapping[str, Any]

_MS = 1_000_000
_S = 1_000_000_000
_MIB = 1 << 20
_KINDS = ("cleancache", "frontswap")
_TICKS = 11


def tune_drawings(document: Document) -> Iterator[Drawing]:
    """Give the drawings of a ``tmemstore.tune/1`` document."""
    rows = [row for row in shown_rows(document) if row["impossible"] is None]
    if rows:
        yield _ratios(document, rows)
    kinds = [kind for kind in _KINDS if document["curves"][kind]["accesses"]]
    if kinds:
        yield _curves(document, kinds)


# ---- by the ratio --------------------------------------------------------------------------------------------


def _ratios(document: Document, rows: Sequence[Row]) -> Drawing:
    by_policy: dict[str, list[Row]] = {}
    for row in rows:
        by_policy.setdefault(row["writeback"], []).append(row)
    percents = sorted({row["frontswap_percent"] for row in rows})
    at = {(row["writeback"], row["frontswap_percent"]): row for row in rows}
    table: list[list[Cell]] = []
    for percent in percents:
        line: list[Cell] = [percent]
        for policy in by_policy:
            found = at.get((policy, percent))
            longest_ns = found["elapsed"]["max_ns"] if found else None
            line += [found["saved_ns"] / _S if found else None, None if longest_ns is None else longest_ns / _MS]
        table.append(line)
    return Drawing(
        "tune",
        recommended_line(document),
        "Above, device time saved against a machine without the store, for each write policy; below, the longest "
        "allocation, on a logarithmic scale, and its deadline. Crosses are settings that do not hold it.",
        lambda figure: _draw_ratios(figure, document, by_policy),
        [
            "percent of frames with frontswap",
            *(f"{policy} {what}" for policy in by_policy for what in ("saved s", "ms")),
        ],
        table,
    )


def _draw_ratios(figure: Figure, document: Document, by_policy: Mapping[str, Sequence[Row]]) -> None:
    saved, times = figure.subplots(2, 1, sharex=True)
    for number, (policy, rows) in enumerate(by_policy.items()):
        # Policies that do the same lie on each other: those below show at the edges.
        style: dict[str, Any] = {"linewidth": 4 - 1.2 * number, "markersize": 9 - 2 * number, "marker": MARKERS[number]}
        style |= {"color": COLOURS[number], "label": f"writeback {policy}"}
        percents = [row["frontswap_percent"] for row in rows]
        saved.plot(percents, [row["saved_ns"] / _S for row in rows], **style)
        times.plot(percents, [_ms(row["elapsed"]["max_ns"]) for row in rows], **style)
        failed = [row for row in rows if not row["holds"]]
        for axes, value in (
            (saved, lambda row: row["saved_ns"] / _S),
            (times, lambda row: _ms(row["elapsed"]["max_ns"])),
        ):
            axes.plot(
                [row["frontswap_percent"] for row in failed],
                [value(row) for row in failed],
                color=COLOURS[4], marker="x", markersize=10, markeredgewidth=2, linestyle="none",
            )  # fmt: skip
    deadline_ms = document["arguments"]["contract"]["deadline_ns"] / _MS
    times.axhline(deadline_ms, color="black", linewidth=1, linestyle=":", label="deadline")
    log_scale(times, "y")
    _mark(saved, document)
    saved.set_ylabel("device time saved (s)")
    times.set_ylabel("longest allocation (ms)")
    times.set_xlabel("cleancache:frontswap (percent of the region's frames)")
    percents = sorted({row["frontswap_percent"] for rows in by_policy.values() for row in rows})
    ticks = percents[:: max(1, -(-len(percents) // _TICKS))]
    times.set_xticks(ticks, [ratio_text({"frontswap_percent": percent}) for percent in ticks])
    for axes in (saved, times):
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
    handles = dict(zip(*reversed(times.get_legend_handles_labels()), strict=True))
    chosen = dict(zip(*reversed(saved.get_legend_handles_labels()), strict=True))
    entries = {**chosen, **handles}
    figure.legend(entries.values(), entries.keys(), frameon=False, loc="outside right upper")
    saved.set_title(recommended_line(document), loc="left", fontsize=10)


def _mark(axes: Axes, document: Document) -> None:
    recommended = document["recommended"]
    if recommended is not None:
        place = [recommended["frontswap_percent"]], [recommended["saved_ns"] / _S]
        style: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": "black", "linestyle": "none"}
        axes.plot(*place, marker="o", markersize=13, markeredgewidth=1.5, label="recommended", **style)


def _ms(time_ns: int | None) -> float:
    return math.nan if time_ns is None else time_ns / _MS


# ---- by the size of the region -------------------------------------------------------------------------------


def _curves(document: Document, kinds: Sequence[str]) -> Drawing:
    points = {kind: document["curves"][kind]["points"] for kind in kinds}
    sizes = sorted({point["size_bytes"] for kind in kinds for point in points[kind]})
    at = {kind: {point["size_bytes"]: point["hit_ratio"] for point in points[kind]} for kind in kinds}
    return Drawing(
        "tune-curves",
        "What a region of any size would serve, all of it for one kind",
        "The share of gets of clean pages, and of loads of anonymous ones, that a region of that size serves under "
        "LRU; shaded, the error of the sample of pages. The dotted line is the region that was swept.",
        lambda figure: _draw_curves(figure, document, points),
        ["MiB", *kinds],
        [[size / _MIB, *(at[kind].get(size) for kind in kinds)] for size in sizes],
        log_x=True,
    )


def _draw_curves(figure: Figure, document: Document, points: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    axes = figure.add_subplot()
    for number, (kind, curve) in enumerate(points.items()):
        sizes = [point["size_bytes"] / _MIB for point in curve]
        ratios = [100 * point["hit_ratio"] for point in curve]
        errors = [100 * point["error"] for point in curve]
        style = "-" if number == 0 else "--"
        axes.plot(sizes, ratios, color=COLOURS[number], linewidth=2, linestyle=style, label=kind)
        low = [max(0.0, ratio - error) for ratio, error in zip(ratios, errors, strict=True)]
        high = [min(100.0, ratio + error) for ratio, error in zip(ratios, errors, strict=True)]
        axes.fill_between(sizes, low, high, color=COLOURS[number], alpha=0.25, linewidth=0)
    region_bytes = document["arguments"]["region_bytes"]
    axes.axvline(
        region_bytes / _MIB, color="black", linewidth=1, linestyle=":", label=f"region, {size_text(region_bytes)}"
    )
    log_scale(axes, "x")
    axes.set_ylim(0, 102)
    axes.set_xlabel("size of the region (MiB)")
    axes.set_ylabel("percent served by the region")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper left")
    axes.set_title("All of the region for one kind, LRU", loc="left", fontsize=10)
