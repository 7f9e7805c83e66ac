"""How many different pages go by, exactly, in 8 bytes a page; how many slots of a swap area are live at once."""

from __future__ import annotations

from typing import Final

import numpy as np

from tmemstore.trace.columns import Array
from tmemstore.trace.events import Op

_PENDING_LEAST: Final = 1 << 20
_LIVE: Final = frozenset({int(Op.STORE), int(Op.LOAD)})


class Pages:
    """The set of pages seen: (pool, object, index) of any number of records."""

    def __init__(self) -> None:
        self._numbers: dict[int, dict[int, int]] = {}
        self._objects = 0
        self._merged = np.zeros(0, np.uint64)
        self._pending: list[Array] = []
        self._pending_pages = 0

    @property
    def objects(self) -> int:
        """Different objects, of all pools."""
        return self._objects

    def add(self, records: Array) -> None:
        """Takes the pages of records."""
        for pool in np.unique(records["pool"]).tolist():
            of_pool = records[records["pool"] == pool]
            keys = (self._numbered(pool, of_pool["object"]) << np.uint64(32)) | of_pool["index"]
            self._pending.append(np.unique(keys))
            self._pending_pages += len(self._pending[-1])
        if self._pending_pages > max(_PENDING_LEAST, len(self._merged)):
            self._merge()

    def count(self) -> int:
        """Different pages so far."""
        self._merge()
        return len(self._merged)

    def _numbered(self, pool: int, objects: Array) -> Array:
        """A number of 32 bits for each object, so that page and object fit into 64; two 64-bit fields would not."""
        numbers = self._numbers.setdefault(pool, {})
        found, where = np.unique(objects, return_inverse=True)
        of_found = np.empty(len(found), np.uint64)
        for at, item in enumerate(found.tolist()):
            number = numbers.get(item)
            if number is None:
                number = numbers[item] = self._objects
                self._objects += 1
            of_found[at] = number
        return of_found[where]

    def _merge(self) -> None:
        self._merged = np.unique(np.concatenate((self._merged, *self._pending)))
        self._pending, self._pending_pages = [], 0


class LiveSlots:
    """Swap slots that hold a page: stored, or loaded and so stored before the trace, and not invalidated since."""

    def __init__(self) -> None:
        self._live: dict[int, set[int]] = {}
        self._count = 0
        self.most = 0

    def add(self, records: Array) -> None:
        """Follows the records of frontswap, in order."""
        for op, pool, index in zip(*(records[name].tolist() for name in ("op", "pool", "index")), strict=True):
            slots = self._live.setdefault(pool, set())
            before = len(slots)
            if op in _LIVE:
                slots.add(index)
            elif op == Op.INVALIDATE_SWAP:
                slots.discard(index)
            else:
                slots.clear()
            self._count += len(slots) - before
            self.most = max(self.most, self._count)
