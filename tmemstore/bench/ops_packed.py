"""Compressed pages: storing and loading against the bare codec, and the room they take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np

import tmemstore
from tmemstore.bench.arena import PAGE
from tmemstore.bench.ops_rows import Row, cpu_ns, in_turns
from tmemstore.bench.ops_store import BATCH, Source
from tmemstore.floors import CodecCalls

_SPARE_NS = 100
"""What a store or load may take beyond the codec and a tenth of it."""
_LARGEST = 3 * PAGE // 4
"""Pages that do not get smaller than this are kept raw."""
_HISTORY = 10
"""How many times its pages go through the store before its room is looked at again."""


def rows(region_bytes: int, source: Source, rounds: int, seed: int) -> Iterator[Row]:
    """For lz4 and zstd."""
    for codec in ("lz4", "zstd"):
        with closing(_Packed(region_bytes, source, codec, seed)) as packed:
            fresh, metadata = packed.overhead(), packed.metadata()
            packed.age()
            bare_store, bare_load, store, load = in_turns(
                rounds, packed.compress_ns, packed.decompress_ns, packed.store_ns, packed.load_ns
            )
            yield Row("floors", f"{codec}, compress", "ns", bare_store, judged="value")
            yield Row("floors", f"{codec}, decompress", "ns", bare_load, judged="value")
            goal = 1.10 if codec == "lz4" else None
            for name, ours, bare in (("store", store, bare_store), ("load", load, bare_load)):
                spared = [each - _SPARE_NS for each in ours]
                yield Row("compressed", f"{codec} {name} less 100 ns", "ns", spared, bare, "the codec", goal=goal)
            if codec == "lz4":
                aged = packed.overhead()
                yield Row("room", "after a fill", "x sizes", [fresh], judged="value", goal=1.05)
                yield Row("room", "after a history", "x sizes", [aged], judged="value", goal=1.15)
                yield Row("room", "metadata", "bytes", [metadata], judged="value", goal=61)


class _Packed:
    """A store full of compressed pages, by offsets drawn at random."""

    def __init__(self, region_bytes: int, source: Source, codec: str, seed: int) -> None:
        self._store = tmemstore.TmemStore(tmemstore.Region(region_bytes), codec=codec)
        self._pool = self._store.new_pool(persistent=True)
        self._source = source
        self._region_bytes = region_bytes
        self._random = np.random.default_rng(seed)
        self._calls = CodecCalls(codec)
        self._objects = np.zeros_like(source.out[:BATCH])
        stored = 0
        while self._put(np.arange(stored, stored + BATCH, dtype=np.uint64)) == BATCH:
            stored += BATCH
        self._offsets = stored

    def _put(self, offsets: np.typing.NDArray[np.uint64]) -> int:
        zeros = np.zeros_like(offsets)
        return int(
            self._store.put_many(self._pool, zeros, offsets, self._source.pages[self._source.next(len(offsets))]).sum()
        )

    def age(self) -> None:
        """Overwrite pages at random, many times over."""
        for _ in range(0, _HISTORY * self._offsets, BATCH):
            self._put(self._drawn())

    def _drawn(self) -> np.typing.NDArray[np.uint64]:
        return self._random.integers(0, self._offsets, BATCH).astype(np.uint64)

    def overhead(self) -> float:
        """Frames of frontswap pages over the sum of the sizes in them."""
        stats = self._store.stats()
        return stats.frames_frontswap * PAGE / stats.bytes_kept

    def metadata(self) -> float:
        """Bytes of bookkeeping a page, without 0.2 % of the area."""
        stats = self._store.stats()
        return (stats.metadata_bytes - 0.002 * self._region_bytes) / stats.pages_swap

    def compress_ns(self) -> float:
        """Of a page, by the bare codec."""
        pages = self._source.pages[self._source.next()]
        return cpu_ns(lambda: self._calls.compress(pages, self._objects, limit_bytes=_LARGEST)) / BATCH

    def decompress_ns(self) -> float:
        """Of a page that was compressed, by the bare codec."""
        part = self._source.next()
        sizes = self._calls.compress(self._source.pages[part], self._objects, limit_bytes=_LARGEST)
        out = self._source.out[part]
        return cpu_ns(lambda: self._calls.decompress(self._objects, sizes, out)) / BATCH

    def store_ns(self) -> float:
        """Of a page that takes the place of another."""
        offsets = self._drawn()
        return cpu_ns(lambda: self._put(offsets)) / BATCH

    def load_ns(self) -> float:
        """Of a page that is there."""
        zeros, offsets = np.zeros(BATCH, np.uint64), self._drawn()
        out = self._source.out[self._source.next()]
        return cpu_ns(lambda: self._store.get_many(self._pool, zeros, offsets, out)) / BATCH

    def close(self) -> None:
        """End it."""
        self._store.close()
