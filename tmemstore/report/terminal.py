"""Plots in plain text, at most 80 columns: blocks where the terminal's encoding has them, ASCII where not."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tmemstore.trace.histogram import Histogram
from tmemstore.units import PAGE_SIZE

_WIDTH: Final = 80
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_KINDS: Final = ("cleancache", "frontswap")
_ROWS: Final = 16
_LEFT: Final = 6
_BAR: Final = _WIDTH - 29
_COLUMNS: Final = _WIDTH - _LEFT - 2
_WHOLE: Final = 99.95
"""Numbers from here on need no point for three digits."""


class _Marks(NamedTuple):
    """What curves are drawn with."""

    one: Sequence[str]
    both: str
    error: str
    corner: str
    side: str
    bottom: str


_ASCII: Final = _Marks(("c", "f"), "*", ".", "+", "|", "-")
_BLOCKS: Final = _Marks(("●", "○"), "◉", "░", "└", "│", "─")


def distance_plot(histogram: Histogram, *, page_bytes: float = PAGE_SIZE, encoding: str | None = None) -> str:
    """The re-use distances as bars, one for each doubling: at what size of a cache its next hits come.

    `page_bytes`: what a page takes of the cache. `encoding`: of what it is written to; None: of standard output.
    """
    lines = [_accesses_line(histogram)]
    if not histogram.accesses:
        return lines[0] + "\n"
    octaves = histogram.octaves()
    # Shares of what they add up to: what a sample leaves in doubt must not show as a bar beyond 100 %.
    total = max(histogram.cold + sum(count for _, _, count in octaves), 1e-300)
    rows = [(_bytes_text(high * page_bytes), count / total) for _, high, count in octaves]
    while rows and not rows[0][1]:
        rows.pop(0)
    most = max(share for _, share in [*rows, ("never", histogram.cold / total)])
    lines.append(f"{'up to':>9} {'share':>8} {'so far':>8}")
    served = 0.0
    for label, share in rows:
        served += share
        drawn = bar(share / most, _BAR, encoding)
        lines.append(f"{label:>9} {100 * share:>6.1f} % {100 * served:>6.1f} %  {drawn}".rstrip())
    never = histogram.cold / total
    lines.append(f"{'never':>9} {100 * never:>6.1f} % {'':>8}  {bar(never / most, _BAR, encoding)}".rstrip())
    return "\n".join(lines) + "\n"


def curve_plot(document: Mapping[str, Any], *, encoding: str | None = None) -> str:
    """The hit ratios of both kinds over the size of the region, from the document of a `Curves`.

    What is shaded is within the error of a sample. `encoding`: of what it is written to; None: of standard output.
    Raises KeyError for a document that lacks a key.
    """
    marks = _BLOCKS if _can_write("".join(_BLOCKS.one) + "".join(_BLOCKS[1:]), encoding) else _ASCII
    shown = [(mark, document[kind]) for mark, kind in zip(marks.one, _KINDS, strict=True)]
    drawn = [(mark, curve["points"]) for mark, curve in shown if curve["accesses"]]
    lines = ["Served by a region of that size, all for one kind"]
    for (mark, curve), kind in zip(shown, _KINDS, strict=True):
        lines.append(f"  {mark} {kind}: {_curve_text(curve)}")
    if not drawn:
        return "\n".join(lines) + "\n"
    sizes = [point["size_bytes"] for _, points in drawn for point in points]
    low, high = min(sizes), max(*sizes, min(sizes) + 1)
    grid = _grid(drawn, (low, high), marks)
    for row, cells in enumerate(grid):
        share = f"{100 - 100 * row // (_ROWS - 1)} %" if row % 3 == 0 else ""
        lines.append(f"{share:>{_LEFT}} {marks.side}{''.join(cells)}".rstrip())
    lines.append(" " * (_LEFT + 1) + marks.corner + marks.bottom * _COLUMNS)
    lines.append(_size_axis(low, high))
    return "\n".join(lines) + "\n"


def _accesses_line(histogram: Histogram) -> str:
    if not histogram.accesses:
        return "Re-use distances: no accesses"
    sample = "all pages" if histogram.rate >= 1 else f"{100 * histogram.rate:.3g} % of the pages"
    return f"Re-use distances of {histogram.accesses} accesses, from {sample}"


def _curve_text(curve: Mapping[str, Any]) -> str:
    if not curve["accesses"]:
        return "no accesses"
    most = curve["points"][-1]
    error = f" +- {100 * most['error']:.1f}" if most["error"] else ""
    reached = f"{100 * most['hit_ratio']:.1f}{error} % of {curve['accesses']} at {_bytes_text(most['size_bytes'])}"
    return reached + ("" if curve["rate"] >= 1 else f", from {100 * curve['rate']:.3g} % of the pages")


def _grid(drawn: Sequence[tuple[str, Any]], span: tuple[int, int], marks: _Marks) -> list[list[str]]:
    """Rows from the top, one character a cell."""
    grid = [[" "] * _COLUMNS for _ in range(_ROWS)]
    for layer in ("error", "curve"):
        for mark, points in drawn:
            for column in range(_COLUMNS):
                ratio, error = _at(points, _size_at(column, span))
                if layer == "curve":
                    row = _row(ratio)
                    grid[row][column] = marks.both if grid[row][column] in {*marks.one, marks.both} else mark
                elif error > 0:
                    for row in range(_row(min(1.0, ratio + error)), _row(max(0.0, ratio - error)) + 1):
                        grid[row][column] = marks.error
    return grid


def _row(ratio: float) -> int:
    return round((1 - ratio) * (_ROWS - 1))


def _size_at(column: int, span: tuple[int, int]) -> float:
    low, high = span
    return math.exp(math.log(low) + math.log(high / low) * column / (_COLUMNS - 1))


def _at(points: Sequence[Mapping[str, Any]], size: float) -> tuple[float, float]:
    """The hit ratio and error at a size: between two points by a line, beyond the last one as there."""
    before = {"size_bytes": 0, "hit_ratio": 0.0, "error": 0.0}
    for point in points:
        if point["size_bytes"] >= size:
            part = (size - before["size_bytes"]) / (point["size_bytes"] - before["size_bytes"])
            ratio, error = (before[name] + part * (point[name] - before[name]) for name in ("hit_ratio", "error"))
            return ratio, error
        before = dict(point)
    return before["hit_ratio"], before["error"]


def _size_axis(low: int, high: int) -> str:
    """Sizes below the bottom line, on a scale of their logarithms."""
    axis = [" "] * _WIDTH
    for fifth in range(5):
        column = round(fifth * (_COLUMNS - 1) / 4)
        text = _bytes_text(_size_at(column, (low, high)))
        start = min(max(0, _LEFT + 2 + column - len(text) // 2), _WIDTH - len(text))
        axis[start : start + len(text)] = text
    return "".join(axis).rstrip()


def _bytes_text(size_bytes: float) -> str:
    """A size with three digits, in its largest unit: "1.46 MiB"."""
    power = min(4, int(math.log2(max(size_bytes, 1)) // 10))
    value = size_bytes / (1 << 10 * power)
    digits = f"{value:.0f}" if value >= _WHOLE else f"{value:.3g}"
    return f"{digits} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def bar(share: float, width: int, encoding: str | None = None) -> str:
    """A bar that is a share, in [0, 1], of so many columns."""
    if not _can_write(_EIGHTHS, encoding):
        return "#" * round(share * width)
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _can_write(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
