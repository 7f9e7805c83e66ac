"""Nearest-rank quantiles: every figure a bench prints is a sample that was really seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

FEW_SAMPLES = 100
"""A p99 from fewer samples than this is the largest of them, and is marked."""
_WHOLE = 1000


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
