"""Full stores with a random history, and the same memory without a store, for `bench ops`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

import tmemstore
from tmemstore.bench.arena import PAGE, Pages
from tmemstore.bench.ops_rows import cpu_ns
from tmemstore.floors import LookupTable, SinglePages, copy_pages

BATCH = 2048
"""Pages of one measurement: some milliseconds."""
_HISTORY = 3
"""How often as many pages as the region has frames go in before anything is measured."""
_KEYS = 4
"""Keys a frame that may come; a quarter of them is held at any time."""
_CACHE_BYTES = 96 << 20
"""More than the largest cache that is usual."""
_OBJECT_SHIFT = 10
"""Pages of a file: 1024."""

Keys = npt.NDArray[np.uint64]
Copy = Literal["auto", "plain", "nontemporal"]


class Source:
    """Pages that a caller has, and pages to copy into: together more than the cache, used in turns.

    ``cold``: before anything is timed the cache is filled with something else.
    """

    def __init__(self, pages: Pages, *, cold: bool = True) -> None:
        self.pages = pages
        self.out = np.zeros_like(pages)
        self._next = 0
        self._other = np.ones(_CACHE_BYTES // 8 if cold else 0, np.uint64)

    def cool(self) -> None:
        """What was drawn and looked up to prepare a measurement is not to make it faster."""
        self._other += np.uint64(1)

    def next(self, count: int = BATCH) -> slice:
        """The next so many."""
        if self._next + count > len(self.pages):
            self._next = 0
        self._next += count
        return slice(self._next - count, self._next)


class Bare:
    """As many pages as a region has, on memory of the same kind, and a table of as many keys."""

    def __init__(self, region_bytes: int, source: Source, seed: int) -> None:
        self._store = tmemstore.open(region_bytes)
        self.pages: Pages = np.frombuffer(self._store.alloc_contig(region_bytes).view, np.uint8).reshape(-1, PAGE)
        self.pages[:] = 1
        self.source = source
        self._random = np.random.default_rng(seed)
        keys = self._random.permutation(np.arange(1, len(self.pages) + 1, dtype=np.uint64) * np.uint64(0x9E3779B9))
        self._table = LookupTable(keys)

    def numbers(self, count: int = BATCH) -> npt.NDArray[np.uint32]:
        """Pages drawn at random."""
        return self._random.integers(0, len(self.pages), count).astype(np.uint32)

    def copy_in_ns(self, how: str) -> float:
        """Of one page, from the source to anywhere."""
        part = self.source.next()
        to, origin = self.numbers(), np.arange(part.start, part.stop, dtype=np.uint32)
        self.source.cool()
        return cpu_ns(lambda: copy_pages(self.pages, to, self.source.pages, origin, how=how)) / BATCH

    def copy_out_ns(self) -> float:
        """Of one page, from anywhere to the caller's."""
        part = self.source.next()
        origin, to = self.numbers(), np.arange(part.start, part.stop, dtype=np.uint32)
        self.source.cool()
        return cpu_ns(lambda: copy_pages(self.source.out, to, self.pages, origin)) / BATCH

    def copy_run_ns(self, count: int) -> float:
        """Of one page, the first so many to where the next ones are, one by one."""
        origin = np.arange(count, dtype=np.uint32)
        self.source.cool()
        return cpu_ns(lambda: copy_pages(self.pages, origin + np.uint32(count), self.pages, origin)) / count

    def lookup_ns(self) -> float:
        """Of one key."""
        numbers = self.numbers().astype(np.int64)
        self.source.cool()
        return cpu_ns(lambda: self._table.find(numbers)) / BATCH

    def close(self) -> None:
        """Give the memory back, once nobody has its pages any more."""
        del self.pages
        self._store.close()


def raw_store(region_bytes: int, copy: Copy = "auto") -> tmemstore.TmemStore:
    """Return a store of raw pages."""
    return tmemstore.TmemStore(tmemstore.Region(region_bytes, copy=copy), codec="none")


class FullStore:
    """A store full of clean pages, by keys drawn at random, some of which were taken out and came again."""

    def __init__(self, store: tmemstore.TmemStore, source: Source, seed: int) -> None:
        self.store = store
        self.pool = self.store.new_pool()
        self.source = source
        self.frames = store.region.frames
        self._random = np.random.default_rng(seed)
        for number in range(0, _HISTORY * self.frames, BATCH):
            self.put(self.keys())
            if number > self.frames and number // BATCH % _HISTORY == 0:
                self.get(self.held(min(BATCH, self.frames // 8)))
        self.fill()

    def keys(self, count: int = BATCH) -> Keys:
        """Keys that may come, most of which are not held."""
        return self._random.integers(0, _KEYS * self.frames, count).astype(np.uint64)

    def held(self, count: int = BATCH) -> Keys:
        """Keys that are held, no two the same; of a full store, and many fewer than it has frames."""
        found = np.zeros(0, np.uint64)
        while len(found) < count:
            keys = self.keys(8 * count)
            places = self.store.where_many(self.pool, *split(keys))
            found = np.unique(np.concatenate([found, keys[places != 0]]))
        return self._random.permutation(found)[:count]

    def put(self, keys: Keys) -> None:
        """Put pages of the source."""
        self.store.put_many(self.pool, *split(keys), self.source.pages[self.source.next(len(keys))])

    def get(self, keys: Keys) -> None:
        """Get them, which takes them out."""
        self.store.get_many(self.pool, *split(keys), self.source.out[self.source.next(len(keys))])

    def fill(self) -> None:
        """Put until no frame is free."""
        while free := self.store.frame_counts().free:
            self.put(self.keys(min(BATCH, max(64, free))))

    def put_ns(self, batch: int = BATCH) -> float:
        """Of a page in a call of so many, the store being full: one has to go."""
        objects, indexes = split(self.keys())
        pages = self.source.pages[self.source.next()]

        def work() -> None:
            for part in _parts(batch):
                self.store.put_many(self.pool, objects[part], indexes[part], pages[part])

        self.source.cool()
        return cpu_ns(work) / BATCH

    def get_ns(self, batch: int = BATCH) -> float:
        """Of a page that is there and is taken out; the frames are filled again afterwards."""
        keys = self.held()
        objects, indexes = split(keys)
        out = self.source.out[self.source.next()]

        def work() -> None:
            for part in _parts(batch):
                self.store.get_many(self.pool, objects[part], indexes[part], out[part])

        self.source.cool()
        took_ns = cpu_ns(work)
        self.put(keys)
        self.fill()
        return took_ns / BATCH

    def put_each_ns(self) -> float:
        """Of a page in a call of its own, from one buffer, by a caller in C."""
        keys, page = split(self.keys()), self.source.pages[self.source.next(1).start]
        calls = SinglePages(self.store.handle, self.pool, *keys, page)
        self.source.cool()
        return cpu_ns(calls.put) / BATCH

    def get_each_ns(self) -> float:
        """Of a page that is there, in a call of its own, into one buffer, by a caller in C."""
        held, page = self.held(), self.source.out[self.source.next(1).start]
        calls = SinglePages(self.store.handle, self.pool, *split(held), page)
        self.source.cool()
        took_ns = cpu_ns(calls.get)
        self.put(held)
        self.fill()
        return took_ns / BATCH

    def put_one_ns(self) -> float:
        """Of a page in a call of its own, from one buffer that the caller keeps."""
        put, pool, page = self.store.put, self.pool, tmemstore.PageBuffer(self.source.pages[self.source.next(1).start])
        keys = self._in_hand(self.keys())
        return cpu_ns(lambda: [put(pool, number, index, page) for number, index in keys]) / BATCH

    def get_one_ns(self) -> float:
        """Of a page that is there, in a call of its own, into one buffer that the caller keeps."""
        get, pool, page = self.store.get, self.pool, tmemstore.PageBuffer(self.source.out[self.source.next(1).start])
        held = self.held()
        keys = self._in_hand(held)
        took_ns = cpu_ns(lambda: [get(pool, number, index, page) for number, index in keys]) / BATCH
        self.put(held)
        self.fill()
        return took_ns

    def _in_hand(self, keys: Keys) -> list[tuple[int, int]]:
        """As the numbers of a caller in Python, who has just made them: in the cache, while the store is not."""
        objects, indexes = (part.tolist() for part in split(keys))
        pairs = list(zip(objects, indexes, strict=True))
        self.source.cool()
        sum(number + index for number, index in pairs)
        return pairs

    def close(self) -> None:
        """End it."""
        self.store.close()


def _parts(batch: int) -> list[slice]:
    return [slice(at, at + batch) for at in range(0, BATCH, batch)]


def split(keys: Keys) -> tuple[Keys, Keys]:
    """Files and the pages in them."""
    return keys >> np.uint64(_OBJECT_SHIFT), keys & np.uint64((1 << _OBJECT_SHIFT) - 1)
