"""Rows of `bench ops`: what the store takes beside what the machine takes at best, round by round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Judged = Literal["ratio", "difference", "value"]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation. ``ours`` and ``floor`` hold a figure for each round, taken in turns; no floor: [].

    ``judged``: what is held against the goal: ours / floor, ours - floor, or ours alone; ``at_least``: the goal is a
    least and not a most. No goal: None.
    """

    group: str
    name: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float] = ()
    floor_name: str = ""
    judged: Judged = "ratio"
    goal: float | None = None
    at_least: bool = False

    @property
    def figures(self) -> list[float]:
        """What is judged, of each round."""
        if self.judged == "value":
            return list(self.ours)
        pairs = zip(self.ours, self.floor, strict=True)
        return [ours / floor if self.judged == "ratio" else ours - floor for ours, floor in pairs]

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the goal; None without one."""
        if self.goal is None:
            return None
        figure = statistics.median(self.figures)
        return figure >= self.goal if self.at_least else figure <= self.goal

    @property
    def spread_percent(self) -> float:
        """From the least of ``ours`` to the most, in percent of its median; 0 where that is 0."""
        middle = abs(statistics.median(self.ours))
        return 100 * (max(self.ours) - min(self.ours)) / middle if middle else 0.0

    def to_document(self) -> dict[str, Any]:
        """Return it with medians and the spread over the rounds."""
        return {
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "ours": _spread(self.ours),
            "floor": _spread(self.floor) if self.floor else None,
            "floor_name": self.floor_name,
            "judged": self.judged,
            "figure": _spread(self.figures),
            "goal": self.goal,
            "at_least": self.at_least,
            "met": self.met,
        }


def _spread(values: Sequence[float]) -> dict[str, float | int]:
    named = {"p50": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 4) for name, value in named.items()} | {"rounds": len(values)}


def cpu_ns(work: Callable[[], object]) -> int:
    """Return how much CPU this thread took for it, in ns: whoever else has the cores does not count."""
    began_ns = time.thread_time_ns()
    work()
    return time.thread_time_ns() - began_ns


def wall_ns(work: Callable[[], object]) -> int:
    """Return how long it took, in ns."""
    began_ns = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - began_ns


def in_turns(rounds: int, *each: Callable[[], float]) -> list[list[float]]:
    """Call all of them once a round, in an order that turns with the rounds; return their figures, a list each."""
    figures: list[list[float]] = [[] for _ in each]
    for number in range(rounds):
        for step in range(len(each)):
            which = (number + step) % len(each)
            figures[which].append(each[which]())
    return figures
