"""What allocations show of the CPU: its coefficients, and how far a time may exceed what they say.

A coefficient is the median of what the last allocations showed: the mean is raised by interruptions, which may be
longer than all of an allocation's work.  For the spread an allocation's work is kept, and not a ratio: coefficients
move, and what was seen while they were wrong would stand against the right ones for thousands of allocations.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from tmemstore.controller.cost import CostModel
from tmemstore.stats import ReclaimReport

_RECENT: Final = 63
"""Allocations that a coefficient is the median of."""
_PRIOR: Final = 4
"""Of them so many are what was known before: no single allocation shall make a coefficient."""
_NOTICEABLE: Final = 0.05
"""A coefficient that moves by more asks for a new spread at once."""
_DROPS_MIN: Final = 256
_CLEAN_MIN: Final = 4096
_CLEAN_BESIDE: Final = 16
"""Of a window with more clean pages for each dropped one it cannot be told which took the time."""
_MOVED_MIN: Final = 256
"""Smaller reclaims say more about their overhead than about a coefficient."""
_SAMPLES: Final = 4096
_ENOUGH: Final = 50
_LEAST_NS: Final = 3_000_000
"""Work that takes less than this says more about interruptions than about coefficients."""
_MOST: Final = 3.0
_UNKNOWN: Final = 3.0
"""Until the coefficients have followed a few allocations: those a store is opened with were measured in warm caches."""
_FIRST: Final = 1.5
"""From then on, until there is enough."""


def spare_rank(count: int, confidence: float) -> int:
    """Nearest rank with one place to spare, from 1: the next value exceeds it no more often than 1 - confidence."""
    return min(int(-(-(count + 1) * confidence // 1)), count)


class Work(NamedTuple):
    """What an allocation did on the CPU: frames, clean pages given up, others dropped, objects moved, their bytes."""

    frames: int
    clean: int
    drops: int
    moved: int
    moved_bytes: int

    def predicted_ns(self, cost: CostModel) -> int:
        """The time that this takes by these coefficients."""
        ns = cost.t0_ns + self.frames * cost.frame_ns + self.clean * cost.clean_ns + self.drops * cost.drop_ns
        return ns + self.moved * cost.move_ns + self.moved_bytes * cost.move_ps // 1000


class CpuSpread:
    """The last few thousand allocations that were worth it, looked at by whatever coefficients are in use."""

    def __init__(self) -> None:
        import numpy as np  # not by whoever only imports the package

        self._seen = 0
        self._work = np.zeros((_SAMPLES, len(Work._fields)))
        self._used_ns = np.zeros(_SAMPLES)
        self._count = 0
        self._known: dict[float, float] = {}

    def learn(self, work: Work, used_ns: int, cost: CostModel) -> None:
        """Takes in what an allocation took for its work; `look_again` makes it count."""
        if work.drops < _DROPS_MIN and work.moved < _MOVED_MIN:
            return
        self._seen += 1
        if work.predicted_ns(cost) < _LEAST_NS:
            return
        at = self._count % _SAMPLES
        self._work[at], self._used_ns[at] = work, used_ns
        self._count += 1

    def look_again(self) -> None:
        """What was answered so far is forgotten: a new answer takes a tenth of a ms."""
        self._known.clear()

    def factor(self, cost: CostModel, confidence: float) -> float:
        """What the times of these coefficients are multiplied by, so that they suffice at this confidence."""
        if confidence not in self._known:
            self._known[confidence] = self._factor(cost, confidence)
        return self._known[confidence]

    def _factor(self, cost: CostModel, confidence: float) -> float:
        import numpy as np

        count = min(self._count, _SAMPLES)
        least = 1.0 if count >= _ENOUGH else _FIRST if self._seen >= _ENOUGH else _UNKNOWN
        if not count:
            return least
        each_ns = np.array([cost.frame_ns, cost.clean_ns, cost.drop_ns, cost.move_ns, cost.move_ps / 1000])
        ratios = self._used_ns[:count] / (cost.t0_ns + self._work[:count] @ each_ns)
        rank = spare_rank(count, confidence)
        return min(_MOST, max(least, float(np.partition(ratios, rank - 1)[rank - 1])))


class CpuTimes:
    """Follows the allocations of a store in real time."""

    def __init__(self) -> None:
        self._spread = CpuSpread()
        self._recent: dict[str, deque[float]] = {}

    def learn(self, report: ReclaimReport, cost: CostModel) -> CostModel:
        """Takes in an allocation that was met; the coefficients that follow, the same object where none has changed."""
        window = report.window
        clean, drops = report.clean_dropped, report.copied_dropped + report.paged_out
        moved = report.migrated_inside + report.migrated_reserve
        used_ns = report.elapsed_ns - report.waited_ns - report.zero_ns
        changes: dict[str, int] = {}
        if drops >= max(_DROPS_MIN, clean // _CLEAN_BESIDE):
            each_ns = (report.drop_ns - clean * cost.clean_ns) / drops
            changes["drop_ns"] = self._median("drop_ns", cost.drop_ns, each_ns)
        elif clean >= _CLEAN_MIN and not drops:
            changes["clean_ns"] = self._median("clean_ns", cost.clean_ns, report.drop_ns / clean)
        if not report.paged_out and not report.compressed:
            if moved >= _MOVED_MIN:
                others_ns = cost.t0_ns + window.frames * cost.frame_ns + window.bytes_uncopied * cost.move_ps // 1000
                changes["move_ns"] = self._median("move_ns", cost.move_ns, (report.write_ns - others_ns) / moved)
            self._spread.learn(Work(window.frames, clean, drops, moved, window.bytes_uncopied), used_ns, cost)
        if not (clean or drops or moved or report.compressed):
            changes["t0_ns"] = self._median("t0_ns", cost.t0_ns, used_ns - window.frames * cost.frame_ns)
        if any(abs(new - getattr(cost, name)) > _NOTICEABLE * getattr(cost, name) for name, new in changes.items()):
            self._spread.look_again()
        return cost.changed(changes | {"source": "measured"}) if changes else cost

    def _median(self, name: str, known: int, seen: float) -> int:
        recent = self._recent.setdefault(name, deque([known] * _PRIOR, maxlen=_RECENT))
        recent.append(seen)
        return max(1, round(sorted(recent)[len(recent) // 2]))

    def look_again(self) -> None:
        """As for the spread."""
        self._spread.look_again()

    def factor(self, cost: CostModel, confidence: float) -> float:
        """As for the spread."""
        return self._spread.factor(cost, confidence)
