"""Nearest-rank quantiles: every figure a bench prints is a sample that was really seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypedDict

FEW_SAMPLES = 100
"""A p99 from fewer samples than this is the largest of them, and is marked."""
CARRIED_FROM = {"p50": 1, "p99": FEW_SAMPLES, "p999": 1000, "max": 1}
"""From how many samples on a quantile says more than the largest of them does."""
_WHOLE = 1000
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


def nearest_rank(samples: Sequence[int], permille: int) -> int:
    """Return the smallest sample with at least ``permille`` thousandths of all samples at or below it.

    Raises ValueError for an empty list and for a ``permille`` outside 0 .. 1000.
    """
    if not samples:
        message = "no samples: a quantile of nothing has no value"
        raise ValueError(message)
    if not 0 <= permille <= _WHOLE:
        message = f"permille is {permille}; it must be between 0 and {_WHOLE}"
        raise ValueError(message)
    rank = max(1, -(-len(samples) * permille // _WHOLE))
    return sorted(samples)[rank - 1]


def spread(samples: Sequence[int]) -> Spread:
    """Return min, p50, p99 and max of ``samples`` by nearest rank."""
    if not samples:
        return {"min": None, "p50": None, "p99": None, "max": None}
    return {
        "min": min(samples),
        "p50": nearest_rank(samples, 500),
        "p99": nearest_rank(samples, 990),
        "max": max(samples),
    }


def median(samples: Sequence[int]) -> int | None:
    """Return the nearest-rank median, or None for an empty list."""
    return nearest_rank(samples, 500) if samples else None


def carried(count: int) -> list[str]:
    """Return the names of the quantiles that so many samples can carry."""
    return [name for name, least in CARRIED_FROM.items() if count >= least]


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
