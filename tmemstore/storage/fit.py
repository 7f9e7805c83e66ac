"""From the times of a few block sizes to a lane: a line, and how far single requests are off it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from tmemstore.storage.profile import Lane
from tmemstore.storage.sample import WHOLE_MAX, permille_of, thinned

Point = tuple[int, float]
"""Bytes of a request, and its typical time in ns."""

_PS: Final = 1000
_DISTURBED: Final = math.log(2)
"""A size that is off by more than twice was disturbed: how much more does not matter."""


def fit_line(points: Sequence[Point]) -> tuple[int, int]:
    """`request_ns` and `byte_ps` of the line from which the points are off least, each by the ratio.

    Such a line passes through two of the points, or through one and the origin, so all of those are tried: a size
    that was disturbed does not move it. `ValueError` without a point.
    """
    if not points:
        raise ValueError("no points to fit a line to; measure something first")
    request_ns, byte_ns = min(_candidates(points), key=lambda line: _off(points, *line))
    return min(WHOLE_MAX, round(request_ns)), min(WHOLE_MAX, max(1, round(byte_ns * _PS)))


def fit_lane(points: Sequence[Point], requests: Iterable[Point]) -> Lane:
    """The lane of the points' line, with the spread of single requests around it."""
    request_ns, byte_ps = fit_line(points)
    line = Lane(request_ns, byte_ps)
    spread = [
        permille
        for size, times in itertools.groupby(sorted(requests), key=lambda request: request[0])
        for permille in permille_of((time_ns for _, time_ns in times), line.request_time_ns(size))
    ]
    return Lane(request_ns, byte_ps, thinned(spread) or (1000,))


def _candidates(points: Sequence[Point]) -> Iterator[tuple[float, float]]:
    for size, time_ns in points:
        yield 0.0, time_ns / size
    for (size, time_ns), (larger, longer_ns) in itertools.combinations(sorted(points), 2):
        if larger == size:
            continue
        byte_ns = (longer_ns - time_ns) / (larger - size)
        request_ns = time_ns - size * byte_ns
        if byte_ns >= 0 and request_ns >= 0:
            yield request_ns, byte_ns


def _off(points: Sequence[Point], request_ns: float, byte_ns: float) -> float:
    ratios = (max(1.0, time_ns) / max(1.0, request_ns + size * byte_ns) for size, time_ns in points)
    return sum(min(_DISTURBED, abs(math.log(ratio))) for ratio in ratios)
