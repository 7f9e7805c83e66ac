"""Nearest-rank quantiles: every figure is a sample that was really seen, if there were enough of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeVar

SHARES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
FEW_SAMPLES: Final = 100
"""A p99 from fewer samples than this is the largest of them, and is marked."""
CARRIED_FROM: Final = {"p50": 1, "p99": FEW_SAMPLES, "p999": 1000, "max": 1}
"""From how many samples on a quantile says more than the largest of them does."""

_ROUNDING: Final = 1e-9

Number = TypeVar("Number", int, float)


def rank_of(count: int, q: float) -> int:
    """Return the rank, from 1, of the smallest of so many values with at least the fraction q at or below it."""
    # 0.07 * 100 is a little more than 7 in binary.
    return max(1, math.ceil(q * count - _ROUNDING))


def nearest_rank(ordered: Sequence[Number], q: float) -> Number:
    """Return the smallest value with at least the fraction q (0 to 1) of all values at or below it.

    `ordered`: ascending. Raises `ValueError` if it is empty or q is no fraction.
    """
    if not ordered:
        raise ValueError("a quantile of no values does not exist; measure something first")
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile is a fraction from 0 to 1, not {q}; write 0.99 for 99 percent")
    return ordered[rank_of(len(ordered), q) - 1]


def carries(name: str, count: int) -> bool:
    """Return whether so many samples carry a quantile: a p99 of fewer than 100, a p99.9 of fewer than 1000 do not."""
    return count >= CARRIED_FROM[name]


def carried(count: int) -> list[str]:
    """Return the names of the quantiles that so many samples can carry."""
    return [name for name in CARRIED_FROM if carries(name, count)]
