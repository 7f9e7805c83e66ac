"""Pictures of result documents, through matplotlib (an optional part, imported where it is used)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmemstore.errors import EnvironmentLacks
from tmemstore.report.tables import device_text, size_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# From Okabe and Ito's palette: they differ for the colour-blind, and neighbours differ in grey.
_COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00")
_MARKERS = ("o", "s", "^", "D", "v")
_MS = 1_000_000
_PREDICTED = "predicted by the cost model"


def eviction_figure(document: Mapping[str, Any], folder: Path, name: str = "eviction") -> list[Path]:
    """Draw eviction time against the ratio; write ``name.svg`` and ``name.png`` into ``folder``, return their paths.

    Raises EnvironmentLacks, with what to install, where matplotlib is missing, and OSError where a file cannot be
    written.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EnvironmentLacks(
            "no pictures without matplotlib; install it with: pip install 'tmemstore[plot]'"
        ) from error
    # Building a font cache is not the user's business.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    style: Any = {"font.size": 10, "svg.hashsalt": name, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style):
        figure = Figure(figsize=(8, 5), layout="constrained")
        _draw(figure, document)
        paths = [folder / f"{name}.svg", folder / f"{name}.png"]
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=150)
    return paths


def _draw(figure: Figure, document: Mapping[str, Any]) -> None:
    axes = figure.add_subplot()
    rows: Sequence[Mapping[str, Any]] = document["rows"]
    for number, size_bytes in enumerate(dict.fromkeys(row["size_bytes"] for row in rows)):
        of_size = sorted(
            (row for row in rows if row["size_bytes"] == size_bytes), key=lambda row: int(row["frontswap_percent"])
        )
        whole = size_bytes == document["arguments"]["region_bytes"]
        _draw_size(axes, of_size, size_text(size_bytes), number, whole=whole)
    _draw_axes(axes, document)


def _draw_size(axes: Axes, rows: Sequence[Mapping[str, Any]], size: str, number: int, *, whole: bool) -> None:
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
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


def _draw_axes(axes: Axes, document: Mapping[str, Any]) -> None:
    arguments = document["arguments"]
    ratios = sorted({row["frontswap_percent"] for row in document["rows"]})
    axes.set_xticks(ratios, [f"{100 - ratio}:{ratio}" for ratio in ratios])
    axes.set_xlabel("cleancache:frontswap (percent of the region's frames)")
    axes.set_ylabel("time to get the range back (ms)")
    axes.set_ylim(bottom=0)
    if arguments["deadline_ns"] is not None:
        axes.axhline(_ms(arguments["deadline_ns"]), color="black", linewidth=1, linestyle=":", label="deadline")
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))
    entries[_PREDICTED] = entries.pop(_PREDICTED)
    axes.legend(entries.values(), entries.keys(), frameon=False, loc="upper left")
    axes.set_title(
        f"{size_text(arguments['region_bytes'])} region, {arguments['codec']}, {device_text(document)}",
        loc="left",
        fontsize=10,
    )


def _ms(time_ns: int | None) -> float:
    return math.nan if time_ns is None else time_ns / _MS
