"""A drawing of a result: as a picture, as text for a page, and as data with a script for gnuplot.

Colours are of Okabe and Ito's palette, which the colour-blind can tell apart, in an order in which neighbours differ in
grey; lines differ by marker and bars by hatch as well.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tmemstore.errors import EnvironmentLacks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73")
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "//", "", "..", "xx", "\\\\")

_INCHES = (8, 4.6)
_DPI = 150
Cell = float | int | str | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """``name``: of its files. ``caption``: what a reader sees in it. ``draw``: onto a figure of matplotlib.

    ``columns``, ``rows``: what is drawn, the first column along the x axis; None where there is nothing. ``kind``: how
    gnuplot is to draw it; "steps": the columns behind the first are pairs, of x and of y.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Figure], None]
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    kind: Literal["lines", "bars", "steps"] = "lines"
    log_x: bool = False

    def svg(self) -> str:
        """Return the picture as an SVG element, to stand in a page. Raises EnvironmentLacks without matplotlib."""
        text = io.StringIO()
        with self._figure() as figure:
            figure.savefig(text, format="svg", metadata={"Date": None})
        return text.getvalue()[text.getvalue().index("<svg") :]

    def save(self, folder: Path) -> list[Path]:
        """Write NAME.svg and NAME.png into a folder, or neither; return their paths.

        Raises EnvironmentLacks, OSError.
        """
        paths = [folder / f"{self.name}.svg", folder / f"{self.name}.png"]
        try:
            with self._figure() as figure:
                figure.savefig(paths[0], metadata={"Date": None})
                figure.savefig(paths[1], dpi=_DPI)
        except OSError:
            for path in paths:
                path.unlink(missing_ok=True)
            raise
        return paths

    def save_data(self, folder: Path) -> list[Path]:
        """Write NAME.dat and NAME.gp, which draws it, into a folder; return their paths. Raises OSError."""
        data, script = folder / f"{self.name}.dat", folder / f"{self.name}.gp"
        lines = [self.columns, *self.rows]
        data.write_text("".join("\t".join(map(_cell, line)) + "\n" for line in lines), encoding="utf-8")
        script.write_text(self._script(), encoding="utf-8")
        return [data, script]

    def _script(self) -> str:
        style, using, by = {
            "lines": ("set style data linespoints\n", "u 1:{0}", 1),
            "bars": (
                "set style data histograms\nset style fill pattern border\nset xtics rotate by -30\n",
                "u {0}:xtic(1)",
                1,
            ),
            "steps": ("set style data steps\n", "u {0}:{1}", 2),
        }[self.kind]
        series = ", ".join(
            f"'{self.name}.dat' {using.format(number, number + 1)} t columnheader({number})"
            for number in range(2, len(self.columns) + 1, by)
        )
        return (
            f"# gnuplot {self.name}.gp > {self.name}.svg\n"
            "set terminal svg size 800,460 noenhanced\n"
            "set datafile separator '\\t'\nset datafile missing '-'\nset key left top\nset grid y\nset yrange [0:*]\n"
            f"set title {_quoted(self.title)}\nset xlabel {_quoted(self.columns[0])}\n"
            f"{'set logscale x' + chr(10) if self.log_x else ''}{style}plot {series}\n"
        )

    @contextmanager
    def _figure(self) -> Iterator[Figure]:
        try:
            import matplotlib as mpl
            from matplotlib.figure import Figure
        except ImportError as error:
            raise EnvironmentLacks(
                "no pictures without matplotlib; install it with: pip install 'tmemstore[plot]'"
            ) from error
        # Building a font cache is not the user's business.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        style: Any = {
            "font.size": 11,
            "svg.hashsalt": self.name,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
        with mpl.rc_context(style):
            figure = Figure(figsize=_INCHES, layout="constrained")
            self.draw(figure)
            yield figure


def log_scale(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with 0.1, 1, 10 along it and not powers."""
    from matplotlib.ticker import FuncFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _cell(value: Cell) -> str:
    return "-" if value is None else str(value).replace("\t", " ")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
