"""What a bench says of its samples: their spread, and between which of them a quantile lies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypedDict

from tmemstore.quantiles import nearest_rank

_TAIL = 0.025
"""Half of the 5 % by which an interval may miss."""
_REACH_SIGMAS = 12
"""Beyond so many standard deviations nothing of a binomial is left that a float would notice."""


class Spread(TypedDict):
    """Smallest, median, 99th percentile and largest of a list of integers; None for an empty list."""

    min: int | None
    p50: int | None
    p99: int | None
    max: int | None


def spread(samples: Sequence[int]) -> Spread:
    """Return min, p50, p99 and max of ``samples`` by nearest rank."""
    if not samples:
        return {"min": None, "p50": None, "p99": None, "max": None}
    ordered = sorted(samples)
    return {
        "min": ordered[0],
        "p50": nearest_rank(ordered, 0.5),
        "p99": nearest_rank(ordered, 0.99),
        "max": ordered[-1],
    }


def median(samples: Sequence[int]) -> int | None:
    """Return the nearest-rank median, or None for an empty list."""
    return nearest_rank(sorted(samples), 0.5) if samples else None


def interval_ranks(count: int, share: float) -> tuple[int | None, int | None]:
    """Return the ranks, from 1, of two samples that hold the quantile of ``share`` between them with at least 95 %.

    How many of ``count`` independent samples lie below the quantile is binomial (Conover, Practical Nonparametric
    Statistics, 1999, 3.2), whatever they are distributed like. None where no sample lies far enough out: an upper end
    of a p99.9 takes 3688 of them. ``share``: between 0 and 1.
    """
    low = high = None
    at_most = 0.0
    for successes, chance in _binomial(count, share):
        at_most += chance
        if at_most <= _TAIL:
            low = successes + 1
        elif at_most >= 1 - _TAIL:
            high = successes + 1
            break
    return low, high if high is not None and high <= count else None


def _binomial(count: int, share: float) -> Iterator[tuple[int, float]]:
    """Give numbers of successes and their chances, but those that are as good as none."""
    reach = _REACH_SIGMAS * math.sqrt(count * share * (1 - share)) + _REACH_SIGMAS
    first, last = max(0, math.floor(count * share - reach)), min(count, math.ceil(count * share + reach))
    for successes in range(first, last + 1):
        log = math.lgamma(count + 1) - math.lgamma(successes + 1) - math.lgamma(count - successes + 1)
        yield successes, math.exp(log + successes * math.log(share) + (count - successes) * math.log1p(-share))


def interval(ordered: Sequence[int], share: float) -> list[int | None]:
    """Return which of the samples, sorted, hold the quantile between them with 95 %; None for an end that none is."""
    return [None if rank is None else ordered[rank - 1] for rank in interval_ranks(len(ordered), share)]
