"""Kept samples: what was measured, as permille of what the fit says."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

SAMPLE_MAX: Final = 2048
"""Values that are kept of a sample; p99.9 of so many is the third largest."""

WHOLE_MAX: Final = 2**48 - 1
"""The largest time, size or coefficient: 2^48 ns are three days."""
PERMILLE_MAX: Final = 2**32 - 1


def thinned(values: Iterable[int], at_most: int = SAMPLE_MAX) -> tuple[int, ...]:
    """The values in ascending order, at most `at_most` of them: the largest of each of so many equal shares.

    A quantile of what is kept is therefore never below that of all, and off by less than one share.
    """
    ordered = sorted(values)
    count = len(ordered)
    if count <= at_most:
        return tuple(ordered)
    return tuple(ordered[-(-share * count // at_most) - 1] for share in range(1, at_most + 1))


def permille_of(measured: Iterable[float], expected: float) -> tuple[int, ...]:
    """Each value as permille of what was expected, rounded; `expected` below 1 counts as 1."""
    unit = max(1.0, expected) / 1000
    return tuple(min(PERMILLE_MAX, round(value / unit)) for value in measured)


def check_whole(name: str, value: object, largest: int = WHOLE_MAX) -> None:
    """`TypeError` unless the value is an int (a bool is none), `ValueError` unless it is from 0 to `largest`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number from 0 to {largest}, not {type(value).__name__}")
    if not 0 <= value <= largest:
        raise ValueError(f"{name} must be a whole number from 0 to {largest}, not {value}")


def check_sample(name: str, sample: object) -> None:
    """`TypeError` or `ValueError` unless it is a tuple of 1 to 2048 ascending permille values."""
    if not isinstance(sample, tuple):
        raise TypeError(f"{name} must be a tuple of whole numbers, not {type(sample).__name__}")
    if not 1 <= len(sample) <= SAMPLE_MAX:
        raise ValueError(f"{name} must have from 1 to {SAMPLE_MAX} values, not {len(sample)}")
    for value in sample:
        check_whole(f"each value of {name}", value, PERMILLE_MAX)
    if any(after < before for before, after in itertools.pairwise(sample)):
        raise ValueError(f"{name} must be sorted, the smallest value first")
