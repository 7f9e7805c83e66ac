"""How sure one can be of a rate by what a sample holds."""

from __future__ import annotations

import math
from typing import Final

SURE: Final = 0.95
"""One-sided confidence."""


def upper_bound(misses: int, trials: int, sure: float = SURE) -> float | None:
    """Return the one-sided upper bound of a rate (Clopper and Pearson, 1934): 3/n for none of n; None if n is 0."""
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
