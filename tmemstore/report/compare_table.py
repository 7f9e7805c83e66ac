"""The table of a comparison; it fits a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tmemstore.report.compare import REGRESSED
from tmemstore.report.tables import plain

_WIDTH = 80
_LINE = "  {:<15} {:>11} {:>11} {:>9} {:>13} {:<12}"
_TIMES = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns"))
_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
_LARGE, _HUGE = 1000, 100_000
_RULES = (
    "noise    how far another run of each would likely spread, by what its own",
    "         result holds, in percent: baseline / candidate",
    "verdict  within noise: each lies where another run of the other might; gone,",
    "         new: only one of them has it; what is 0 in both is left out",
)


def compare_table(document: Mapping[str, Any]) -> str:
    """Return the table of a ``tmemstore.compare/1`` document; KeyError for another."""
    lines = [f"Two results of {document['compared'].removeprefix('tmemstore.').partition('/')[0].replace('.', ' ')}"]
    lines += [_file(side, document[side]) for side in ("baseline", "candidate")]
    lines += ["", _LINE.format("", "baseline", "candidate", "change", "noise", "verdict").rstrip()]
    for row in document["rows"]:
        figures = [_figure(figure) for figure in row["figures"] if not _nothing(figure)]
        lines += [_clipped(plain(row["row"])), *figures] if figures else []
    lines += ["", *_RULES, *_summary(document)]
    return "\n".join(lines) + "\n"


def _clipped(text: str, width: int = _WIDTH) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _file(side: str, facts: Mapping[str, Any]) -> str:
    commit = "" if facts["commit"] is None else f", at {_clipped(plain(facts['commit']), 24)}"
    name, room = plain(facts["file"]), _WIDTH - 11 - len(commit)
    return f"{side:<10} {name if len(name) <= room else f'...{name[3 - room :]}'}{commit}"


def _nothing(figure: Mapping[str, Any]) -> bool:
    return bool(figure["baseline"] == figure["candidate"] == 0)


def _figure(figure: Mapping[str, Any]) -> str:
    before, after = figure["baseline"], figure["candidate"]
    largest = max(abs(value) for value in (before, after, 0) if value is not None)
    cells = [_cell(value, figure["unit"], largest) for value in (before, after)]
    spreads = [figure["noise_percent"][side] for side in ("baseline", "candidate")]
    spread = "-" if spreads == [None, None] else f"{' / '.join(map(_noise, spreads))} %"
    return _LINE.format(figure["metric"], *cells, _change(figure), spread, figure["verdict"]).rstrip()


def _change(figure: Mapping[str, Any]) -> str:
    change = figure["change_percent"]
    if change is None:
        return "-" if None in {figure["baseline"], figure["candidate"]} else "from 0"
    if abs(change) >= _HUGE:
        return f"x {1 + change / 100:.0e}"
    return f"{change:+.{1 if abs(change) < _LARGE else 0}f} %"


def _noise(percent: float | None) -> str:
    if percent is None:
        return "-"
    return f"{percent:.{1 if percent < 9.95 else 0}f}" if percent < _LARGE else ">999"  # noqa: PLR2004 - two digits


def _cell(value: float | None, unit: str, largest: float) -> str:
    """Return a value in the unit that suits the larger of both."""
    if value is None:
        return "-"
    scale = _TIMES if unit == "ns" else _SIZES if unit == "bytes" else None
    if scale:
        factor, name = next(((factor, name) for factor, name in scale if largest >= factor), scale[-1])
        return f"{_number(value / factor, whole=factor == 1)} {name}"
    if unit == "count":
        return str(value)
    if unit in {"fraction", "percent"}:
        return f"{_number(value * (100 if unit == 'fraction' else 1))} %"
    return f"{_number(value)} MB/s" if unit == "MB/s" else _number(value)


def _number(value: float, *, whole: bool = False) -> str:
    """Four digits, at most three of them behind the point."""
    if value == 0 or (whole and value == int(value)):
        return f"{value:.0f}"
    digits = next((digits for bound, digits in ((9.9995, 3), (99.995, 2), (999.95, 1)) if abs(value) < bound), 0)
    return f"{value:.{digits}f}" if abs(value) < 1e7 else f"{value:.3g}"  # noqa: PLR2004 - what a column holds


def _summary(document: Mapping[str, Any]) -> Iterator[str]:
    limits = document["limits_percent"]
    if not limits:
        return
    named = ", ".join(f"{name} by more than {limit:g} %" for name, limit in limits.items())
    count = document["regressed"]
    yield from textwrap.wrap(
        f"Regressed ({named}): {'nothing.' if not count else '1 figure.' if count == 1 else f'{count} figures.'}",
        _WIDTH,
    )
    for row in document["rows"]:
        for figure in row["figures"]:
            if figure["verdict"] == REGRESSED:
                yield _clipped(f"  {figure['metric']}: {plain(row['row'])}")
