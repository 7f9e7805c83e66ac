"""Copies of pages to free memory, done and timed while a baseline's call runs."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from tmemstore.bench.arena import PAGE, Pages
from tmemstore.floors import copy_pages
from tmemstore.quantiles import nearest_rank

_TARGET_PAGES = 16384
_PLAIN_PAGES = 2048
_ROUNDS = 9


class Copies:
    """Copies real pages, ``pages`` uint8[n, 4096] and not empty, in a random order, to memory that is there already.

    ``most``: pages that one call copies for real; each one beyond them counts as ``plain_ns``, so that an interruption
    is counted once and not for all of them.  ``plain_ns``: the median time of a copy, in ns, measured at the start.
    """

    def __init__(self, pages: Pages, most: int, seed: int) -> None:
        order = np.random.default_rng(seed)
        self._pages = pages
        self._most = max(1, min(most, _TARGET_PAGES))
        # Written to, so that no copy pays for a page fault.
        self._target: Pages = np.full((_TARGET_PAGES, PAGE), 1, dtype=np.uint8)
        self._from: NDArray[np.uint32] = order.permutation(len(pages)).astype(np.uint32)
        self._to: NDArray[np.uint32] = order.permutation(_TARGET_PAGES).astype(np.uint32)
        self._next = 0
        self.really = 0
        self._empty_ns = 0
        self._empty_ns = min(self._copy_ns(0) for _ in range(_ROUNDS))
        some = min(_PLAIN_PAGES, _TARGET_PAGES)
        self.plain_ns = max(1, nearest_rank(sorted(self._copy_ns(some) // some for _ in range(_ROUNDS)), 0.5))
        self.really = 0

    def took_ns(self, count: int) -> int:
        """Copy ``count`` pages and return the time, in ns; ``really`` counts those that were copied for real."""
        if count == 0:
            return 0
        real = min(count, self._most)
        return self._copy_ns(real) + (count - real) * self.plain_ns

    def _copy_ns(self, count: int) -> int:
        """Return the time of so many copies, less what a call takes that copies none."""
        places = np.arange(self._next, self._next + count)
        origin, target = self._from[places % len(self._from)], self._to[places % _TARGET_PAGES]
        self._next += count
        self.really += count
        began_ns = time.perf_counter_ns()
        copy_pages(self._target, target, self._pages, origin)
        return max(0, time.perf_counter_ns() - began_ns - self._empty_ns)
