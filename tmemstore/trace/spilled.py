"""Stacks of pages that go to a spill file and are read from there in place: what a frontswap of each size holds.

A load takes no page out and brings none back: one that was written out stays out until it is stored again. So a page
that is loaded keeps its position, the size from which on a region still holds it, and is only used later than others:

    position     1    2    3     4    5          a region of n frames holds the pages at positions 1 to n,
    last use    90   70   85   hole  60          and gives up the one with the oldest use among them

Every region that holds a page has seen the same uses of it, so that one time of last use serves them all. A store into
a full region of n frames pushes out the oldest of its pages; position by position, of the page that is pushed down and
the one that lies there, the older one goes on, down to the topmost hole, which takes it (the general stack procedure of
R. Mattson, J. Gecsei, D. Slutz, I. Traiger, "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2),
1970). That is a running minimum over all positions above the hole, so a store takes a time that grows with what is
held: some 20 us for 10 000 pages. Holes are those of `Stack`.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tmemstore.trace.stack import Action, Asked

Array = npt.NDArray[Any]

_HOLE: Final = -1
_FIRST_ROOM: Final = 1 << 10


class SpilledStack:
    """Pages by pool and index; `len()` is how deep it ever was, in pages. The verbs are those of `Stack`."""

    def __init__(self) -> None:
        self._pools: dict[int, dict[int, tuple[int, int]]] = {}
        """Of each page its last use and its hash, by pool and index."""
        self._uses: Array = np.full(_FIRST_ROOM, _HOLE, np.int64)
        self._hole_hashes: Array = np.zeros(_FIRST_ROOM, np.uint64)
        """By position from 0 on: the last use of the page there, and the hash of the page that left a hole there."""
        self._depth = 0
        self._holes: list[int] = []
        """A heap of their positions."""
        self._now = 0

    def __len__(self) -> int:
        return self._depth

    def run(self, actions: Array, pools: Array, objects: Array, indexes: Array, hashes: Array) -> Asked:
        """Carries out actions in order; all arrays have one length, hashes are uint64, objects do not matter."""
        del objects
        found: list[int] = []
        missed: list[int] = []
        positions: list[int] = []
        columns = (actions.tolist(), pools.tolist(), indexes.tolist(), hashes.tolist())
        for row, (action, pool, index, value) in enumerate(zip(*columns, strict=True)):
            if action == Action.ENTERS:
                self._store(self._pools.setdefault(pool, {}), index, value)
            elif action == Action.REMOVE_POOL:
                for page in self._pools.pop(pool, {}).values():
                    self._leave(page)
            elif action == Action.REMOVE:
                self._leave(self._pools.get(pool, {}).pop(index, None))
            else:
                position = self._load(self._pools.get(pool, {}), index)
                (missed if position is None else found).append(row)
                if position is not None:
                    positions.append(position + 1)
        return Asked(np.array(found, np.int64), np.array(positions, np.int64), np.array(missed, np.int64))

    def thin(self, keep: Callable[[Array], Array]) -> None:
        """Forgets pages and holes whose hash `keep` does not want, as if they had never been."""
        hashes = self._hole_hashes[: self._depth]
        uses = self._uses[: self._depth]
        pages = [page for held in self._pools.values() for page in held.values()]
        by_use = np.argsort(uses)
        last, values = np.array([page[0] for page in pages], np.int64), np.array([page[1] for page in pages], np.uint64)
        hashes[by_use[np.searchsorted(uses[by_use], last)]] = values
        kept = keep(hashes)
        self._depth = int(np.count_nonzero(kept))
        self._uses = np.concatenate((uses[kept], np.full(_FIRST_ROOM, _HOLE, np.int64)))
        self._hole_hashes = np.concatenate((hashes[kept], np.zeros(_FIRST_ROOM, np.uint64)))
        self._holes = np.flatnonzero(self._uses[: self._depth] == _HOLE).tolist()
        heapify(self._holes)
        wanted = set(self._uses[: self._depth].tolist())
        for pool, held in list(self._pools.items()):
            self._pools[pool] = {index: page for index, page in held.items() if page[0] in wanted}

    def _store(self, held: dict[int, tuple[int, int]], index: int, value: int) -> None:
        self._leave(held.get(index))
        hole = heappop(self._holes) if self._holes else self._deeper()
        uses = self._uses
        if hole:
            pushed = np.minimum.accumulate(uses[:hole])
            np.maximum(uses[1 : hole + 1], pushed, out=uses[1 : hole + 1])
        self._now += 1
        uses[0] = self._now
        held[index] = (self._now, value)

    def _load(self, held: dict[int, tuple[int, int]], index: int) -> int | None:
        page = held.get(index)
        if page is None:
            return None
        position = self._position(page[0])
        self._now += 1
        self._uses[position] = self._now
        held[index] = (self._now, page[1])
        return position

    def _leave(self, page: tuple[int, int] | None) -> None:
        if page is None:
            return
        position = self._position(page[0])
        self._uses[position] = _HOLE
        self._hole_hashes[position] = page[1]
        heappush(self._holes, position)

    def _position(self, use: int) -> int:
        return int((self._uses[: self._depth] == use).argmax())

    def _deeper(self) -> int:
        """A hole below all others."""
        if self._depth == len(self._uses):
            self._uses = np.concatenate((self._uses, np.full(self._depth, _HOLE, np.int64)))
            self._hole_hashes = np.concatenate((self._hole_hashes, np.zeros(self._depth, np.uint64)))
        self._depth += 1
        return self._depth - 1
