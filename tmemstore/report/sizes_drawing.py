"""The picture of a run at one ratio and several sizes: time against size, and beside it what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmemstore.report.drawing import COLOURS, MARKERS, Cell, Drawing, log_scale
from tmemstore.report.published import LETTERS, PAGE_BYTES, PAGES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MS = 1_000_000
_US_OF_MS = 1000
_FEWEST = 3
"""Of sizes: what is more to be seen along them than along one ratio."""


def is_of_sizes(document: Mapping[str, Any]) -> bool:
    """Return whether a ``tmemstore.bench.eviction/1`` document is of one ratio and several sizes."""
    rows = document["rows"]
    sizes = {row["size_bytes"] for row in rows if row["elapsed_samples_ns"]}
    return len({row["frontswap_percent"] for row in rows}) == 1 and len(sizes) >= _FEWEST


def sizes_drawing(document: Mapping[str, Any], name: str, title: str) -> Drawing:
    """Return the drawing: the average, and from the shortest to the longest; published ones where they were asked for.

    Raises KeyError for a document that lacks a key of the schema.
    """
    rows = sorted((row for row in document["rows"] if row["elapsed_samples_ns"]), key=lambda row: row["size_bytes"])
    percent = rows[0]["frontswap_percent"]
    pages = [row["size_bytes"] // PAGE_BYTES for row in rows]
    ours = [_spread(row["elapsed_samples_ns"]) for row in rows]
    theirs = _published() if document["arguments"].get("published") else {}
    caption = (
        f"Time to get a range back against its size, at {100 - percent}:{percent}: the average, and from the shortest "
        "to the longest."
    )
    if theirs:
        caption += (
            " Dashed: published averages (SeongJae Park, linux-mm, 2015), measured on a CuBox i4 Pro with a class 10 "
            "card while it builds a kernel; another machine, not measured here."
        )
    rows_shown: list[list[Cell]] = [
        [count, average, low, high, *(_at(averages, count) for averages in theirs.values())]
        for count, (low, high, average) in zip(pages, ours, strict=True)
    ]
    return Drawing(
        name,
        title,
        caption,
        lambda figure: _draw(figure, pages, ours, theirs, title),
        [
            "pages",
            *(f"ours {what} ms" for what in ("average", "shortest", "longest")),
            *(f"{key} ms" for key in theirs),
        ],
        rows_shown,
        log_x=True,
    )


def _spread(samples_ns: Sequence[int]) -> tuple[float, float, float]:
    return min(samples_ns) / _MS, max(samples_ns) / _MS, sum(samples_ns) / len(samples_ns) / _MS


def _at(averages: Sequence[float], pages: int) -> float | None:
    return averages[PAGES.index(pages)] if pages in PAGES else None


def _published() -> dict[str, list[float]]:
    """Return the averages of the latest letter in ms, by what a line of them is called."""
    letter = LETTERS[0]
    return {
        f"{name}, published {letter.year}": [average / _US_OF_MS for _, _, average in rows]
        for name, rows in letter.latency_us.items()
    }


def _draw(
    figure: Figure,
    pages: Sequence[int],
    ours: Sequence[tuple[float, float, float]],
    theirs: Mapping[str, Sequence[float]],
    title: str,
) -> None:
    axes = figure.add_subplot()
    low, high, average = zip(*ours, strict=True)
    axes.plot(pages, average, color=COLOURS[0], marker=MARKERS[0], linewidth=2, label="here, average")
    axes.fill_between(pages, low, high, color=COLOURS[0], alpha=0.25, linewidth=0, label="here, shortest to longest")
    for number, (name, averages) in enumerate(theirs.items(), 1):
        style: dict[str, Any] = {
            "color": COLOURS[number],
            "marker": MARKERS[number],
            "linestyle": "--",
            "linewidth": 1.4,
        }
        axes.plot(PAGES, averages, label=name, **style)
    log_scale(axes, "x")
    log_scale(axes, "y")
    axes.set_xlabel("size of the range (pages of 4 KiB)")
    axes.set_ylabel("time to get the range back (ms)")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper left")
    axes.set_title(title, loc="left", fontsize=11)
