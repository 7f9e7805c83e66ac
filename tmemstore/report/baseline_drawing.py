"""The picture of all systems: which share of the calls had their range by then, those that failed included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmemstore.report.drawing import COLOURS, Cell, Drawing, log_scale
from tmemstore.report.tables import nearest_percent, size_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MS = 1_000_000
_ALL = 1 - 1e-9
_SHOWN = {
    ("tmemstore", "dearest window"): "tmemstore, dearest window",
    ("gcma", "middle cost"): "gcma",
    ("zram", "lz4"): "zram, no range",
    ("cma", "no pins, middle cost"): "cma, no pins",
    ("cma", "32 scattered permanent, middle cost"): "cma, 32 scattered pins",
    ("cma", "128 scattered transient, middle cost"): "cma, 128 that pass",
}
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 1)))

Row = Mapping[str, Any]


def baseline_drawings(document: Mapping[str, Any]) -> Iterator[Drawing]:
    """Give one drawing for each size; none for a document without baselines."""
    elements: Sequence[Row] = document.get("baselines", ())
    for size_bytes in dict.fromkeys(row["size_bytes"] for element in elements[:1] for row in element["rows"]):
        yield _drawing(document, size_bytes, nearest_percent(document))


def refused_share(document: Mapping[str, Any], size_bytes: int) -> float | None:
    """Return the share of CMA's calls that 32 scattered pins refused; None where that was not tried."""
    for element in document.get("baselines", ()):
        if _SHOWN.get((element["system"], element["setting"])) == "cma, 32 scattered pins":
            row = _row(element, size_bytes, nearest_percent(document))
            return row["failed"] / row["calls"] if row is not None and row["calls"] else None
    return None


def shown_rows(document: Mapping[str, Any], size_bytes: int) -> Iterator[tuple[str, Row]]:
    """Yield what stands in the picture of a size: a name, and the row."""
    for element in document.get("baselines", ()):
        name = _SHOWN.get((element["system"], element["setting"]))
        row = _row(element, size_bytes, nearest_percent(document))
        if name is not None and row is not None:
            yield name, row


def _row(element: Row, size_bytes: int, percent: int) -> Row | None:
    return next(
        (row for row in element["rows"] if (row["size_bytes"], row["frontswap_percent"]) == (size_bytes, percent)), None
    )


def _drawing(document: Mapping[str, Any], size_bytes: int, percent: int) -> Drawing:
    rows = {name: row for name, row in shown_rows(document, size_bytes) if row["calls"]}
    samples = [sample / _MS for row in rows.values() for sample in row["latency_samples_ns"]] or [1.0]
    curves = {name: _curve(row, 0.9 * min(samples), 2 * max(samples)) for name, row in rows.items()}
    size, ratio = size_text(size_bytes), f"{100 - percent}:{percent}"
    longest = max((len(curve.times_ms) for curve in curves.values()), default=0)
    table: list[list[Cell]] = [
        [number + 1, *(cell for curve in curves.values() for cell in curve.cells(number))] for number in range(longest)
    ]
    return Drawing(
        f"systems-{size.replace(' ', '')}",
        f"{size} at {ratio}: all systems",
        f"The share of all calls for {size} that had their range by a time, at {ratio}. A curve that ends below 1 "
        "is of a system that failed the others. Of CMA and GCMA it is a model; what it holds and leaves out stands in "
        "the result, and what the calls cost others in the table below.",
        lambda figure: _draw(figure, curves, f"{size}, {ratio}"),
        ["time (ms)", *(column for name in curves for column in (name, "share of the calls"))],
        table,
        kind="steps",
        log_x=True,
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """Times, the shortest first, and the share of all calls that had their range by each."""

    times_ms: Sequence[float]
    shares: Sequence[float]

    def cells(self, number: int) -> tuple[Cell, Cell]:
        """Return a point of it, or nothing beyond its end."""
        return (self.times_ms[number], self.shares[number]) if number < len(self.times_ms) else (None, None)


def _curve(row: Row, begin_ms: float, end_ms: float) -> Curve:
    """Return the curve of a row from one time to another; of more samples than it holds it has some at even ranks."""
    samples = row["latency_samples_ns"]
    count, gaps = row["calls"] - row["failed"], max(1, len(samples) - 1)
    ranks = [1 + number * (count - 1) // gaps for number in range(len(samples))]
    shares = [rank / row["calls"] for rank in ranks]
    times_ms = [sample / _MS for sample in samples]
    return Curve([begin_ms, *times_ms, end_ms], [0.0, *shares, shares[-1] if shares else 0.0])


def _draw(figure: Figure, curves: Mapping[str, Curve], title: str) -> None:
    axes = figure.add_subplot()
    for number, (name, curve) in enumerate(curves.items()):
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "linestyle": _STYLES[number % len(_STYLES)]}
        end = curve.shares[-1]
        label = name if end > _ALL else f"{name}:\nfailed {100 * (1 - end):.3g} %"
        axes.step(curve.times_ms, curve.shares, where="post", linewidth=1.8, label=label, **style)
    log_scale(axes, "x")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("time (ms)")
    axes.set_ylabel("share of all calls with a range by then")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    figure.legend(frameon=False, loc="outside right upper")
    axes.set_title(title, loc="left", fontsize=11)
