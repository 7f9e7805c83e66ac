"""LRU stacks with holes: how deep a page lies when it is asked for, counted a batch of actions at a time.

Owns: which pages are held, in the order in which they came in, and the holes that removed pages leave behind.

    top                                       bottom
     | p7 | p9 | hole | p2 | p4 | hole | p1 |          a cache of n frames holds the pages at positions 1 to n
       1    2     3     4    5     6     7

A page that is removed leaves a hole: a free frame in every cache that is large enough to have held it, and nothing in
the smaller ones, which dropped it before. A page that comes in goes on top; what lies above the topmost hole moves down
by one and fills it, since a cache with a free frame evicts nothing. So one stack tells, for all sizes at once and
exactly, what each would have held (R. Mattson, J. Gecsei, D. Slutz, I. Traiger, "Evaluation techniques for storage
hierarchies", IBM Systems Journal 9(2), 1970; holes: J. Thompson, A. Smith, "Efficient (stack) algorithms for analysis
of write-back and sector memories", ACM TOCS 7(1), 1989). To close up over a removed page instead would bring pages back
into caches that had lost them: too many hits.

Each page or hole has a slot, the number of its entrance. A position is the number of slots in use from that one on:
those at the start of the batch, plus the entrances since, less the holes that were filled since.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from enum import IntFlag
from heapq import heapify, heappop, heappush, heappushpop
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Action(IntFlag):
    """What an event does to a stack. Of one page, it leaves its place, and what the bits say on top of it."""

    REMOVE = 0
    ASKS = 1
    """It is an access: its position counts, or that it was not there."""
    ENTERS = 2
    """The page goes on top, whether it was there or not."""
    STAYS = 4
    """It does not leave its place, and is the latest in use; `SpilledStack` alone knows that."""
    REMOVE_OBJECT = 8
    REMOVE_POOL = 16
    NONE = 128


class Asked(NamedTuple):
    """The accesses of a batch: rows of those that found a page and its positions from 1 on, rows of the others."""

    found: Array
    positions: Array
    missed: Array


class _Batch:
    """What happened during one batch, in order: rows that entered, slots that were filled, pages that were found."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.filled: list[int] = []
        self.found: list[int] = []
        self.found_slots: list[int] = []
        self.found_next: list[int] = []
        self.found_filled: list[int] = []
        self.missed: list[int] = []

    def ask(self, row: int, slot: int | None, following: int) -> None:
        """An access, and the slot in which it found its page; `following` is the next slot to be taken."""
        if slot is None:
            self.missed.append(row)
            return
        self.found.append(row)
        self.found_slots.append(slot)
        self.found_next.append(following)
        self.found_filled.append(len(self.filled))


class Stack:
    """Pages by pool, object and index; `len()` is how deep it ever was, in pages."""

    def __init__(self) -> None:
        self._pools: dict[int, dict[int, dict[int, int]]] = {}
        self._holes: list[int] = []
        """A heap of negative slots: the topmost hole first."""
        self._next = 0
        self._slots: Array = np.zeros(0, np.int64)
        """All slots in use at the start of a batch, ascending, and the hashes of the pages that took them."""
        self._hashes: Array = np.zeros(0, np.uint64)

    def __len__(self) -> int:
        return len(self._slots)

    def run(self, actions: Array, pools: Array, objects: Array, indexes: Array, hashes: Array) -> Asked:
        """Carries out actions (`Action`, never NONE) in order; all arrays have one length, hashes are uint64."""
        batch = _Batch()
        first = self._next
        self._act(batch, actions.tolist(), pools.tolist(), objects.tolist(), indexes.tolist())
        filled = np.array(batch.filled, np.int64)
        slots = np.array(batch.found_slots, np.int64)
        before = np.array(batch.found_filled, np.int64)
        entrances = np.array(batch.found_next, np.int64) - np.maximum(slots, first)
        at_start = len(self._slots) - np.searchsorted(self._slots, slots)
        positions = at_start + entrances - _filled_above(filled, slots, before)
        self._settle(first, filled, hashes[np.array(batch.entered, np.int64)])
        return Asked(np.array(batch.found, np.int64), positions, np.array(batch.missed, np.int64))

    def thin(self, keep: Callable[[Array], Array]) -> None:
        """Forgets pages and holes whose hash `keep` does not want, as if they had never been."""
        kept = keep(self._hashes)
        self._slots, self._hashes = self._slots[kept], self._hashes[kept]
        slots = set(self._slots.tolist())
        self._holes = [hole for hole in self._holes if -hole in slots]
        heapify(self._holes)
        for pool, objects in list(self._pools.items()):
            for number, pages in list(objects.items()):
                objects[number] = {index: slot for index, slot in pages.items() if slot in slots}
                self._sweep(pool, number)

    def _act(self, batch: _Batch, actions: list[int], pools: list[int], objects: list[int], indexes: list[int]) -> None:
        holes, following = self._holes, self._next
        filled, entered = batch.filled, batch.entered
        # Members of an IntFlag are slow to look up and to combine, once for each event.
        asks, enters, whole = int(Action.ASKS), int(Action.ENTERS), int(Action.REMOVE_OBJECT)
        for row, (action, pool, number, index) in enumerate(zip(actions, pools, objects, indexes, strict=True)):
            if action >= whole:
                self._remove_many(action, pool, number)
                continue
            pages = self._pages(pool, number)
            slot = pages.pop(index, None)
            if action & asks:
                batch.ask(row, slot, following)
            if action & enters:
                if slot is not None:
                    filled.append(-heappushpop(holes, -slot))
                elif holes:
                    filled.append(-heappop(holes))
                pages[index] = following
                entered.append(row)
                following += 1
                continue
            if slot is not None:
                heappush(holes, -slot)
            if not pages:
                self._sweep(pool, number)
        self._next = following

    def _pages(self, pool: int, number: int) -> dict[int, int]:
        try:
            return self._pools[pool][number]
        except KeyError:
            return self._pools.setdefault(pool, {}).setdefault(number, {})

    def _remove_many(self, action: int, pool: int, number: int) -> None:
        objects = self._pools.get(pool, {})
        numbers = [number] if action & Action.REMOVE_OBJECT else list(objects)
        for slot in itertools.chain.from_iterable(objects.pop(key, {}).values() for key in numbers):
            heappush(self._holes, -slot)
        if not objects:
            self._pools.pop(pool, None)

    def _sweep(self, pool: int, number: int) -> None:
        """Removes what holds no page any more, so that memory follows what is held and not what ever was."""
        objects = self._pools[pool]
        if not objects[number]:
            del objects[number]
        if not objects:
            del self._pools[pool]

    def _settle(self, first: int, filled: Array, hashes: Array) -> None:
        """Brings the slots in use up to date with a batch whose entrances began with slot `first`."""
        slots = np.concatenate((self._slots, np.arange(first, self._next, dtype=np.int64)))
        used = np.ones(len(slots), bool)
        used[np.searchsorted(slots, filled)] = False
        self._slots, self._hashes = slots[used], np.concatenate((self._hashes, hashes))[used]


def _filled_above(filled: Array, slots: Array, before: Array) -> Array:
    """For each i, how many of filled[: before[i]] are above slots[i]; int64[len(slots)], `before` ascends.

    Filled and asked slots in one sequence by time, of which the ranks are a permutation. From the topmost bit of the
    ranks down, the sequence is split in two by that bit, and both halves by the next one, each in order of time. What
    is asked for in a lower half has above it what was filled in the upper one before it; so each level is a few
    cumulated sums, and all of it n log n (a wavelet tree: R. Grossi, A. Gupta, J. Vitter, SODA 2003).
    """
    length = len(filled) + len(slots)
    found = np.zeros(length, np.int32)
    places = before + np.arange(len(slots))
    is_filled = np.ones(length, bool)
    is_filled[places] = False
    values = np.empty(length, np.int64)
    values[places], values[is_filled] = slots, filled
    rank = np.empty(length, np.int32)
    rank[np.argsort(values, kind="stable")] = np.arange(length, dtype=np.int32)
    # Which query a place belongs to travels along; filled slots add to a place that nobody reads.
    origin = np.arange(length, dtype=np.int32)
    for level in range(max(length - 1, 0).bit_length() - 1, -1, -1):
        upper = (rank >> level & 1).astype(bool)
        start = rank >> (level + 1) << (level + 1)
        uppers = _sums_before(upper)
        above = _sums_before(upper & is_filled)
        ask = ~upper & ~is_filled
        found[origin[ask]] += (above[:-1] - above[start])[ask]
        to_upper = uppers[:-1] - uppers[start]
        place = np.where(upper, start + (1 << level) + to_upper, np.arange(length, dtype=np.int32) - to_upper)
        for array in (rank, origin, is_filled):
            array[place] = array.copy()
    return found[places].astype(np.int64)


def _sums_before(flags: Array) -> Array:
    """How many are set before each place and, last, in all; int32[n + 1]."""
    sums = np.zeros(len(flags) + 1, np.int32)
    np.cumsum(flags, dtype=np.int32, out=sums[1:])
    return sums
