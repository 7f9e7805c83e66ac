"""How sure a figure is, by what its own result holds: the interval another run of the same would likely give."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tmemstore.quantiles import rank_of

Interval = tuple[float, float]
"""From, to; in the unit of the figure."""

_SIGMAS = 1.96
"""Two-sided, 95 %."""


def of_quantile(samples: Sequence[int], permille: int) -> Interval | None:
    """Return the interval of a nearest-rank quantile, by the ranks beside it; None for fewer than two samples.

    Where the ranks end above, as those of a maximum do, it reaches as far above the figure as it does below.
    """
    count = len(samples)
    if count <= 1:
        return None
    ordered = sorted(samples)
    share = permille / 1000
    rank = rank_of(count, share)
    reach = max(1.0, _SIGMAS * math.sqrt(count * share * (1 - share)))
    low = ordered[max(1, math.floor(rank - reach)) - 1]
    above = math.ceil(rank + reach)
    high = ordered[above - 1] if above <= count else max(ordered[-1], 2 * ordered[rank - 1] - low)
    return low, high


def of_ends(value: float, low: float | None, high: float | None) -> Interval | None:
    """Return the interval that a result gives for a figure; None where it has no end of it.

    An end that is not to be had lies as far from the figure as the other one does.
    """
    reach = max((abs(value - end) for end in (low, high) if end is not None), default=None)
    if reach is None:
        return None
    return value - reach if low is None else min(value, low), value + reach if high is None else max(value, high)


def of_rate(hits: int, trials: int) -> Interval | None:
    """Return Wilson's interval of a rate (1927), which also says something of none in n; None if nothing was tried."""
    if trials <= 0:
        return None
    rate, square = hits / trials, _SIGMAS**2
    middle = (rate + square / (2 * trials)) / (1 + square / trials)
    reach = _SIGMAS * math.sqrt(rate * (1 - rate) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return min(rate, max(0.0, middle - reach)), max(rate, min(1.0, middle + reach))
