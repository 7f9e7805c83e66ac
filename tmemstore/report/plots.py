"""Drawings of `bench eviction`: time against the ratio, how often how soon, by which way pages left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmemstore.report.baseline_drawing import baseline_drawings
from tmemstore.report.drawing import COLOURS, HATCHES, MARKERS, Cell, Drawing, log_scale
from tmemstore.report.sizes_drawing import is_of_sizes, sizes_drawing
from tmemstore.report.tables import device_text, size_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MS = 1_000_000
_MIB = 1 << 20
_PREDICTED = "predicted by the cost model"
_BOUND = "bound of the cost model"
_MOST_CURVES = 6

Document = Mapping[str, Any]


def eviction_drawings(document: Document) -> Iterator[Drawing]:
    """Give all drawings of a ``tmemstore.bench.eviction/1`` document."""
    yield eviction_drawing(document)
    if is_of_sizes(document):
        yield from baseline_drawings(document)
        return
    sizes = list(dict.fromkeys(row["size_bytes"] for row in document["rows"]))
    for size_bytes in sizes:
        if any(row["elapsed_samples_ns"] for row in _of_size(document, size_bytes)):
            yield _distribution(document, size_bytes)
    yield _routes(document, sizes[0])
    yield from baseline_drawings(document)


def _title(document: Document) -> str:
    arguments = document["arguments"]
    return f"{size_text(arguments['region_bytes'])} region, {arguments['codec']}, {device_text(document)}"


def _of_size(document: Document, size_bytes: int) -> list[Mapping[str, Any]]:
    rows = [row for row in document["rows"] if row["size_bytes"] == size_bytes]
    return sorted(rows, key=lambda row: int(row["frontswap_percent"]))


def _ratio(percent: int) -> str:
    return f"{100 - percent}:{percent}"


def _ms(time_ns: int | None) -> float:
    return math.nan if time_ns is None else time_ns / _MS


# ---- time against the ratio ----------------------------------------------------------------------------------


def eviction_drawing(document: Document) -> Drawing:
    """Return eviction time against the ratio; of one ratio and several sizes, against the size."""
    if is_of_sizes(document):
        return sizes_drawing(document, "eviction", _title(document))
    sizes = list(dict.fromkeys(row["size_bytes"] for row in document["rows"]))
    ratios = sorted({row["frontswap_percent"] for row in document["rows"]})
    names: tuple[str, ...] = ("p50", "max", "predicted")
    if any(row.get("bound_ns") for row in document["rows"]):  # older results lack it
        names += ("bound",)
    by_ratio = {size: {row["frontswap_percent"]: row for row in _of_size(document, size)} for size in sizes}
    rows: list[list[Cell]] = []
    for ratio in ratios:
        line: list[Cell] = [ratio]
        for size in sizes:
            row = by_ratio[size].get(ratio)
            times: Sequence[int | None] = (None,) * len(names)
            if row:
                elapsed = row["elapsed_ns"]
                times = (elapsed["p50"], elapsed["max"], row["predicted_ns"], row.get("bound_ns"))[: len(names)]
            line += [None if time_ns is None else time_ns / _MS for time_ns in times]
        rows.append(line)
    return Drawing(
        "eviction",
        _title(document),
        "How long it took to get a range back, against the share of frames that held frontswap pages: from the median "
        "to the largest of all repeats, what the cost model had predicted, and its bound where the result holds it.",
        lambda figure: _draw(figure, document),
        ["percent of frames with frontswap", *(f"{size_text(size)} {name} ms" for size in sizes for name in names)],
        rows,
    )


def _draw(figure: Figure, document: Document) -> None:
    axes = figure.add_subplot()
    for number, size_bytes in enumerate(dict.fromkeys(row["size_bytes"] for row in document["rows"])):
        whole = size_bytes == document["arguments"]["region_bytes"]
        _draw_size(axes, _of_size(document, size_bytes), size_text(size_bytes), number, whole=whole)
    _draw_axes(axes, document)


def _draw_size(axes: Axes, rows: Sequence[Mapping[str, Any]], size: str, number: int, *, whole: bool) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    ratios = [row["frontswap_percent"] for row in rows]
    median = [_ms(row["elapsed_ns"]["p50"]) for row in rows]
    what = "whole region" if whole else "dearest window"
    largest = [_ms(row["elapsed_ns"]["max"]) for row in rows]
    label = f"{size}, {what}, p50 to max"
    axes.plot(ratios, median, color=colour, marker=marker, markersize=5, linewidth=2, label=label)
    axes.fill_between(ratios, median, largest, color=colour, alpha=0.25, linewidth=0)
    if not whole:
        cheapest = [_ms(row["cheapest_ns"]["p50"]) for row in rows]
        axes.plot(ratios, cheapest, color=colour, linewidth=1.4, linestyle="--", label=f"{size}, cheapest window, p50")
    predicted = [_ms(row["predicted_ns"]) for row in rows]
    axes.plot(ratios, predicted, color="black", marker="x", markersize=6, linestyle="none", label=_PREDICTED)
    if all(row.get("bound_ns") for row in rows):  # older results lack it
        bounds = [_ms(row["bound_ns"]) for row in rows]
        axes.plot(ratios, bounds, color="black", marker="_", markersize=12, linestyle="none", label=_BOUND)


def _draw_axes(axes: Axes, document: Document) -> None:
    arguments = document["arguments"]
    ratios = sorted({row["frontswap_percent"] for row in document["rows"]})
    axes.set_xticks(ratios, [_ratio(ratio) for ratio in ratios])
    axes.set_xlabel("cleancache:frontswap (percent of the region's frames)")
    axes.set_ylabel("time to get the range back (ms)")
    axes.set_ylim(bottom=0)
    if arguments["deadline_ns"] is not None:
        axes.axhline(_ms(arguments["deadline_ns"]), color="black", linewidth=1, linestyle=":", label="deadline")
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))
    for last in (_PREDICTED, _BOUND):
        if last in entries:
            entries[last] = entries.pop(last)
    axes.legend(entries.values(), entries.keys(), frameon=False, loc="upper left")
    axes.set_title(_title(document), loc="left", fontsize=11)


# ---- how often how soon --------------------------------------------------------------------------------------


def _distribution(document: Document, size_bytes: int) -> Drawing:
    """Of some ratios, evenly chosen, the share of allocations that were over by then."""
    rows = [row for row in _of_size(document, size_bytes) if row["elapsed_samples_ns"]]
    step = max(1, -(-len(rows) // _MOST_CURVES))
    curves = {
        _ratio(row["frontswap_percent"]): sorted(sample / _MS for sample in row["elapsed_samples_ns"])
        for row in (*rows[:-1:step], *rows[-1:])
    }
    size = size_text(size_bytes)
    longest = max((len(samples) for samples in curves.values()), default=0)
    table: list[list[Cell]] = [
        [number + 1, *(samples[number] if number < len(samples) else None for samples in curves.values())]
        for number in range(longest)
    ]
    return Drawing(
        f"distribution-{size.replace(' ', '')}",
        f"{size}: allocations that were over by then",
        f"The share of all allocations of {size} that had ended by a time, for some ratios of cleancache:frontswap; "
        f"{longest} allocations of each.",
        lambda figure: _draw_distribution(figure, curves, size),
        ["allocation, from the fastest on", *(f"{name} ms" for name in curves)],
        table,
    )


def _draw_distribution(figure: Figure, curves: Mapping[str, Sequence[float]], size: str) -> None:
    axes = figure.add_subplot()
    for number, (name, samples) in enumerate(curves.items()):
        shares = [(at + 1) / len(samples) for at in range(len(samples))]
        marker = MARKERS[number % len(MARKERS)] if len(samples) <= 30 else None  # noqa: PLR2004 - more hide the line
        colour = COLOURS[number % len(COLOURS)]
        axes.step([samples[0], *samples], [0, *shares], where="post", color=colour, marker=marker, label=name)
    log_scale(axes, "x")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("time until the range was handed over (ms)")
    axes.set_ylabel("share of the allocations")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    figure.legend(frameon=False, loc="outside right upper", title="cleancache:\nfrontswap")
    axes.set_title(f"{size}, dearest window", loc="left", fontsize=11)


# ---- by which way --------------------------------------------------------------------------------------------


def _routes(document: Document, size_bytes: int) -> Drawing:
    rows = _of_size(document, size_bytes)
    names = [_ratio(row["frontswap_percent"]) for row in rows]
    ways = {"dropped": [row["pages_dropped"] for row in rows], "paged out": [row["pages_paged_out"] for row in rows]}
    size = size_text(size_bytes)
    return Drawing(
        "routes",
        f"{size}: how its pages left",
        f"Pages that left a window of {size}: dropped, because their data is in a file, or written first. Compressed "
        "pages share frames, so there may be more of them than the window has frames.",
        lambda figure: _draw_routes(figure, names, ways, size),
        ["cleancache:frontswap", *(f"pages {way}" for way in ways)],
        [[name, *counts] for name, *counts in zip(names, *ways.values(), strict=True)],
        kind="bars",
    )


def _draw_routes(figure: Figure, names: Sequence[str], ways: Mapping[str, Sequence[int]], size: str) -> None:
    axes = figure.add_subplot()
    bottom = [0] * len(names)
    for number, (way, counts) in enumerate(ways.items()):
        colour, hatch = COLOURS[number], HATCHES[number]
        axes.bar(names, counts, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", label=way)
        bottom = [below + count for below, count in zip(bottom, counts, strict=True)]
    axes.set_xlabel("cleancache:frontswap (percent of the region's frames)")
    axes.set_ylabel("pages")
    axes.legend(frameon=False, loc="upper left")
    axes.set_title(f"{size}, dearest window", loc="left", fontsize=11)
