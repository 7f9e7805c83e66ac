"""What a run of allocations showed: endings, coverage, tightness, and how sure one can be of a rate."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import tmemstore
from tmemstore.bench.quantiles import nearest_rank

_SURE = 0.95
_PERMILLES = (500, 990, 999, 1000)


def upper_bound(misses: int, trials: int, sure: float = _SURE) -> float | None:
    """Return the one-sided upper bound of a rate (Clopper and Pearson, 1934); 3/n for none of n. None without trials."""
    if trials == 0:
        return None
    if misses >= trials:
        return 1.0
    low, high = misses / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(misses, trials, middle) > 1 - sure:
            low = middle
        else:
            high = middle
    return high


def _at_most(misses: int, trials: int, rate: float) -> float:
    """Return the probability of at most so many misses."""
    if rate in {0.0, 1.0}:
        return float(rate == 0.0)
    logs = (
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(rate)
        + (trials - k) * math.log1p(-rate)
        for k in range(misses + 1)
    )
    return math.fsum(math.exp(log) for log in logs)


class Outcome:
    """Takes down one allocation after the other."""

    def __init__(self, confidence: float) -> None:
        self.confidence = confidence
        self.endings: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.late = 0
        self.starved = 0
        self.elapsed_ns: list[int] = []
        self.bounds_ns: list[int] = []
        self.predicted_ns: list[int] = []
        self.commit_lag_ns: list[int] = []
        self.return_lag_ns: list[int] = []
        self.routes: Counter[str] = Counter()
        self.recoveries: list[tuple[int, int]] = []
        self.capacity: list[dict[str, Any]] = []

    def take(self, report: tmemstore.ReclaimReport, call_ns: int | None) -> None:
        """Take down an allocation; ``call_ns``: how long the call took as Python sees it."""
        self.endings[report.ending.value] += 1
        self.reasons[report.reason] += 1
        self.starved += report.starved
        if report.ending is tmemstore.Ending.MET and report.commit_ns > report.deadline_ns:
            self.late += 1
        if report.ending is tmemstore.Ending.REFUSED:
            return
        self.elapsed_ns.append(report.elapsed_ns)
        self.bounds_ns.append(report.bound_ns)
        self.predicted_ns.append(report.predicted_ns)
        met = report.ending is tmemstore.Ending.MET
        due_ns = report.commit_ns if met else report.deadline_ns
        self.commit_lag_ns.append(max(0, report.returned_ns - due_ns))
        if call_ns is not None:
            self.return_lag_ns.append(max(0, call_ns - report.returned_ns))
        for name in (
            "clean_dropped",
            "copied_dropped",
            "migrated_inside",
            "migrated_reserve",
            "compressed",
            "paged_out",
        ):
            self.routes[name] += getattr(report, name)

    def to_document(self) -> dict[str, Any]:
        """Return it all, times in ns."""
        covered = sum(self.endings.values())
        missed = self.endings["refused"] + self.endings["aborted"]
        over = sum(e > b for e, b in zip(self.elapsed_ns, self.bounds_ns, strict=True))
        return {
            "allocations": covered,
            "endings": {ending.value: self.endings[ending.value] for ending in tmemstore.Ending},
            "reasons": dict(self.reasons),
            "late": self.late,
            "starved": self.starved,
            "miss_rate": missed / covered if covered else None,
            "miss_rate_upper_95": upper_bound(missed, covered),
            "late_rate_upper_95": upper_bound(self.late, covered),
            "bound_missed": over,
            "bound_missed_rate": over / len(self.elapsed_ns) if self.elapsed_ns else None,
            "tightness": self._tightness(),
            "predicted_over_actual_p50": self._predicted(),
            "elapsed_ns": _quantiles(self.elapsed_ns),
            "commit_lag_ns": _quantiles(self.commit_lag_ns),
            "interpreter_lag_ns": _quantiles(self.return_lag_ns),
            "routes": dict(self.routes),
            "recoveries": self._recoveries(),
            "capacity": self.capacity,
        }

    def _tightness(self) -> float | None:
        """Return the bound over the measured quantile at its confidence, of what is comparable: elapsed / bound.

        Each allocation has a bound of its own, so the quantile is taken of elapsed / bound; its inverse is by how much
        the bounds exceed what would have been enough.
        """
        ratios = sorted(e / b for e, b in zip(self.elapsed_ns, self.bounds_ns, strict=True) if b)
        if not ratios:
            return None
        rank = max(1, math.ceil(len(ratios) * self.confidence))
        return 1 / ratios[rank - 1]

    def _predicted(self) -> float | None:
        ratios = sorted(p / e for p, e in zip(self.predicted_ns, self.elapsed_ns, strict=True) if e)
        return ratios[len(ratios) // 2] if ratios else None

    def _recoveries(self) -> dict[str, Any]:
        off = [abs(real / said - 1) for said, real in self.recoveries]
        return {
            "count": len(off),
            "within_20_percent": sum(value <= 0.2 for value in off),  # noqa: PLR2004
            "said_and_took_ns": self.recoveries[:200],
        }


def _quantiles(samples: list[int]) -> dict[str, int] | None:
    if not samples:
        return None
    names = ("p50", "p99", "p999", "max")
    return {name: nearest_rank(samples, permille) for name, permille in zip(names, _PERMILLES, strict=True)}
