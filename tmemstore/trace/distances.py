"""Re-use distances of a trace's clean pages and swapped ones: exact, or from a sample of the pages (SHARDS)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tmemstore.trace.events import Op
from tmemstore.trace.histogram import GROUPS, Histogram, add_to_groups, empty_groups, group_bins
from tmemstore.trace.spilled import SpilledStack
from tmemstore.trace.stack import Action, Stack

Array = npt.NDArray[Any]

_EVENTS: Final = 1 << 16
"""Events that are looked at together: their columns lie in a core's cache."""
_LEAST_BATCH: Final = 1 << 10
_HASHES: Final = 1 << 64
_MASK: Final = _HASHES - 1

_TAKES: Final = {
    Op.PUT_PAGE: Action.ENTERS,
    Op.GET_PAGE: Action.ASKS,
    Op.INVALIDATE_PAGE: Action.REMOVE,
    Op.INVALIDATE_INODE: Action.REMOVE_OBJECT,
    Op.INVALIDATE_FS: Action.REMOVE_POOL,
}
_FILLS: Final = {**_TAKES, Op.GET_PAGE: Action.ASKS | Action.ENTERS}
_SWAPS: Final = {
    Op.STORE: Action.ENTERS,
    Op.LOAD: Action.ASKS | Action.STAYS,
    Op.INVALIDATE_SWAP: Action.REMOVE,
    Op.INVALIDATE_AREA: Action.REMOVE_POOL,
}


class Stream(Enum):
    """What counts as an access, and what it does to the page."""

    CLEANCACHE = "cleancache"
    """An exclusive cache: a put brings the page in, a get takes it out."""
    CLEANCACHE_FILLED = "cleancache-filled"
    """An inclusive one: a get leaves the page and, if it was not there, is followed by a put of it."""
    FRONTSWAP = "frontswap"
    """A store brings the page in, a load leaves it and makes it the latest used; a page that has left a region for the
    spill file is loaded from there until it is stored anew."""


class Both(NamedTuple):
    """The histograms of the two kinds of a trace."""

    cleancache: Histogram
    frontswap: Histogram


class Distances:
    """The re-use distances of one stream, block by block.

    Pages are sampled by a hash of their key, so that of a page all events are seen or none, and a distance in the
    sample is the whole one times the rate (SHARDS: C. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, "Efficient MRC
    Construction with SHARDS", FAST 2015). With `most_pages` the rate is halved as often as the sample would hold more:
    then memory does not grow with the trace, nor with its number of pages.

    `rate` in (0, 1], 1: exact; `most_pages` at least 64; `ValueError` for others. The same seed, the same result,
    however the events are cut into blocks.

    `adjusted`: `Histogram.adjustment`, the SHARDS-adj of the paper; None: for a filled cleancache only. It is right
    where the pages that are asked for most lie on top of the stack. An exclusive store sees what a page cache in front
    of it has let go, and a swapped page is loaded once or twice; there to put the difference on the shortest distances
    is worse, by half and more on recorded traces, than to take the accesses of the sample for the whole.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        rate: float = 1.0,
        most_pages: int | None = None,
        seed: int = 0,
        adjusted: bool | None = None,
    ) -> None:
        if not 0 < rate <= 1:
            raise ValueError(f"rate must be above 0 and at most 1 (all pages), not {rate}")
        if most_pages is not None and most_pages < 2 * GROUPS:
            raise ValueError(f"most_pages must be at least {2 * GROUPS}, not {most_pages}: so few tell nothing")
        self._threshold = max(1, round(rate * _HASHES))
        self._most_pages = most_pages
        self._seed = seed
        self._adjusted = stream is Stream.CLEANCACHE_FILLED if adjusted is None else adjusted
        self._actions = _table({Stream.CLEANCACHE: _TAKES, Stream.CLEANCACHE_FILLED: _FILLS}.get(stream, _SWAPS))
        self._stack = SpilledStack() if stream is Stream.FRONTSWAP else Stack()
        self._counts: Array = np.zeros(0)
        self._groups = empty_groups()
        self._accesses = self._sampled = 0
        self._cold = 0.0
        self._waiting: list[Array] = []
        self._waiting_events = 0

    @property
    def rate(self) -> float:
        """Share of the pages in the sample."""
        return self._threshold / _HASHES

    def add(self, events: Array) -> None:
        """Takes the next events (`RECORD`); those that are not of this stream are passed over."""
        for start in range(0, len(events), _EVENTS):
            part = events[start : start + _EVENTS]
            mine = part[self._actions[part["op"]] != Action.NONE]
            self._waiting.append(mine)
            self._waiting_events += len(mine)
            if self._waiting_events >= _EVENTS:
                self._run_waiting(_EVENTS)

    def result(self) -> Histogram:
        """The histogram of all events so far."""
        self._run_waiting(self._waiting_events)
        return Histogram(
            accesses=self._accesses,
            sampled=self._sampled,
            rate=self.rate,
            seed=self._seed,
            counts=self._counts.copy(),
            cold=self._cold,
            depth_pages=len(self._stack) / self.rate,
            adjusted=self._adjusted and self._threshold < _HASHES,
            groups=self._groups.copy(),
        )

    def _run_waiting(self, count: int) -> None:
        """Counts the next events, always as many at a time: where the rate is halved depends on no block's size."""
        if not count:
            return
        events = np.concatenate(self._waiting)
        self._waiting, self._waiting_events = [events[count:]], len(events) - count
        events = events[:count]
        actions = self._actions[events["op"]]
        self._accesses += int(np.count_nonzero(actions & Action.ASKS))
        pools, objects, indexes = (np.ascontiguousarray(events[name]) for name in ("pool", "object", "index"))
        hashes = page_hashes(pools, objects, indexes, self._seed)
        seen = np.flatnonzero(self._in_sample(hashes) | (actions >= Action.REMOVE_OBJECT))
        self._run(*(column[seen] for column in (actions, pools, objects, indexes, hashes)))

    def _in_sample(self, hashes: Array) -> Array:
        """Which of the hashes are below the threshold; bool[n]."""
        return hashes <= np.uint64(self._threshold - 1)

    def _run(self, actions: Array, *columns: Array) -> None:
        """Carries out the actions of pages that were in the sample when the columns were made."""
        size = len(actions) if self._most_pages is None else max(_LEAST_BATCH, self._most_pages // 4)
        for start in range(0, len(actions), max(size, 1)):
            batch = [column[start : start + size] for column in (actions, *columns)]
            if start:
                kept = self._in_sample(batch[-1]) | (batch[0] >= Action.REMOVE_OBJECT)
                batch = [column[kept] for column in batch]
            self._count(batch[0], batch[1], batch[2], batch[3], batch[4])
            while self._most_pages is not None and len(self._stack) > self._most_pages and self._threshold > 1:
                self._halve()

    def _count(self, actions: Array, pools: Array, objects: Array, indexes: Array, hashes: Array) -> None:
        asked = self._stack.run(actions, pools, objects, indexes, hashes)
        weight = 1 / self.rate
        groups = (hashes & np.uint64(GROUPS - 1)).astype(np.int64)
        self._sampled += len(asked.found) + len(asked.missed)
        self._cold += weight * len(asked.missed)
        add_to_groups(self._groups, groups[asked.missed], None, weight)
        if not len(asked.found):
            return
        add_to_groups(self._groups, groups[asked.found], group_bins((asked.positions - 0.5) * weight), weight)
        counts = np.bincount(asked.positions - 1, minlength=len(self._counts)) * weight
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    def _halve(self) -> None:
        """Half the rate, twice the width of the bins: two of them are one."""
        self._threshold = self._threshold // 2
        self._stack.thin(self._in_sample)
        even = np.concatenate((self._counts, np.zeros(len(self._counts) % 2)))
        self._counts = even.reshape(-1, 2).sum(axis=1)


def distances(
    blocks: Iterable[Array],
    *,
    fill: bool = False,
    rate: float = 1.0,
    most_pages: int | None = None,
    seed: int = 0,
    adjusted: bool | None = None,
) -> Both:
    """The re-use distances of both kinds, in one pass over blocks of events (`RECORD`).

    `fill`: gets that miss are followed by a put of the page, as the origin of such a trace says. The others as
    `Distances` has them, `most_pages` for each kind.
    """
    clean = Stream.CLEANCACHE_FILLED if fill else Stream.CLEANCACHE
    both = [
        Distances(stream, rate=rate, most_pages=most_pages, seed=seed, adjusted=adjusted)
        for stream in (clean, Stream.FRONTSWAP)
    ]
    for block in blocks:
        for one in both:
            one.add(block)
    return Both(*(one.result() for one in both))


def page_hashes(pools: Array, objects: Array, indexes: Array, seed: int) -> Array:
    """A hash of each page's key, even over all uint64; uint64[n]."""
    keys = _mixed(objects + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & _MASK))
    keys ^= pools.astype(np.uint64) << np.uint64(32) | indexes
    return _mixed(_mixed(keys))


def _mixed(values: Array) -> Array:
    """The finaliser of splitmix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014): each bit in, half of the bits out."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _table(actions: dict[Op, Action]) -> Array:
    table = np.full(256, int(Action.NONE), np.uint8)
    for op, action in actions.items():
        table[op] = action
    return table
