"""The table of `bench ops`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LINE = "{:<31} {:>8} {:>8} {:>7} {:>10} {:>7} {:<3}"
_DIGITS = ((9.995, 2), (99.95, 1))
_RULES = (
    "ours, floor  medians, of a page or a call; the JSON says what the floor is",
    "figure       what the goal is about: ours over the floor (x), ours less the",
    "             floor (+), or ours alone; its median over the rounds, and spread",
)


def ops_table(document: Mapping[str, Any]) -> str:
    """Return the table of a ``tmemstore.bench.ops/1`` document, at most 80 columns; KeyError for another."""
    machine = document["machine"]
    lines = [
        "Operations beside what this machine does at best",
        f"{machine['cpu']}, {machine['cores']} cores, copy past the cache: {machine['copy_variant']}",
        "",
        _LINE.format("", "ours", "floor", "figure", "spread", "goal", "").rstrip(),
    ]
    group = None
    for row in document["rows"]:
        if row["group"] != group:
            group = row["group"]
            lines.append(group)
        lines.append(_row(row))
    waits = document["waits_below_ns"]
    for name, counts in waits.items():
        if counts:
            lines += ["", f"{name} beside allocations, calls that took less than"]
            total = sum(counts.values())
            lines += [f"  {int(below) / 1000:>10.1f} us {100 * n / total:9.4f} %" for below, n in counts.items()]
    met = [row["met"] for row in document["rows"] if row["met"] is not None]
    lines += ["", *_RULES, f"Goals reached: {sum(met)} of {len(met)}."]
    return "\n".join(lines) + "\n"


def _row(row: Mapping[str, Any]) -> str:
    figure = row["figure"]
    sign = {"ratio": "x", "difference": "+", "value": ""}[row["judged"]]
    spread = f"{_number(figure['min'])}-{_number(figure['max'])}"
    goal = "" if row["goal"] is None else f"{'>=' if row['at_least'] else '<='} {row['goal']:g}"
    verdict = {None: "", True: "met", False: "NOT"}[row["met"]]
    floor = "" if row["floor"] is None else _number(row["floor"]["p50"])
    name = f"  {row['name']}, {row['unit']}"
    shown = f"{_number(figure['p50'])}{sign}" if row["judged"] != "value" else ""
    return _LINE.format(name, _number(row["ours"]["p50"]), floor, shown, spread, goal, verdict).rstrip()


def _number(value: float) -> str:
    """Three digits."""
    digits = next((digits for bound, digits in _DIGITS if abs(value) < bound), 0)
    return f"{value:.{digits}f}"
