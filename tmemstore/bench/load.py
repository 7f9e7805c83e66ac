"""A foreground load with a memory: cleancache puts and gets, frontswap stores and loads, all compared with a shadow.

The frontswap keys are a fixed space that is stored over and over, so that the store ages; which page lies under a key
is remembered, and what comes back is compared.  One ``Load`` is driven by one thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import tmemstore
from tmemstore.bench.arena import PAGE, Pages

BATCH = 64
_ABSENT = -1
_FILE_PAGES = 1024
"""Pages of one cleancache inode."""


class LoadError(tmemstore.TmemError):
    """A page did not come back as it went in: a defect of tmemstore."""


@dataclass(slots=True)
class Counts:
    """What a load did: pages stored, refused, loaded and compared, put, got (hits)."""

    stored: int = 0
    refused: int = 0
    loaded: int = 0
    put: int = 0
    hits: int = 0


class Load:
    """``keys``: frontswap offsets from ``first`` on that are this load's own; ``inode``: its first cleancache inode."""

    def __init__(
        self,
        tm: tmemstore.Controller,
        file_pages: Pages,
        anon_pages: Pages,
        *,
        keys: int,
        first: int = 0,
        inode: int = 0,
        seed: int = 1,
    ) -> None:
        self._tm = tm
        self._swap = tm.frontswap(0)
        self._fs = tm.cleancache(f"load-{first}")
        self._files, self._anon = file_pages, anon_pages
        self._first = first
        self._inode = inode
        self._random = np.random.default_rng(seed)
        self._under = np.full(keys, _ABSENT, dtype=np.int64)
        self._next = 0
        self._next_clean = 0
        self._out: Pages = np.empty((BATCH, PAGE), dtype=np.uint8)
        self.counts = Counts()

    # ---- frontswap ----

    @property
    def keys(self) -> int:
        """How many frontswap offsets it has."""
        return len(self._under)

    def store(self, count: int) -> int:
        """Store up to ``count`` pages under the next keys, or over them; stop at the first batch with a refusal.

        Returns how many were accepted.
        """
        accepted = 0
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            keys = (self._next + np.arange(size)) % len(self._under)
            self._next = int((keys[-1] + 1) % len(self._under))
            pages = self._random.integers(0, len(self._anon), size)
            taken = self._swap.store_many(keys + self._first, self._anon[pages])
            self._under[keys] = np.where(taken, pages, _ABSENT)
            accepted += int(taken.sum())
            self.counts.refused += int((~taken).sum())
            if not taken.all():
                break
        self.counts.stored += accepted
        return accepted

    def load(self, count: int) -> None:
        """Load ``count`` random pages of those that are held, and compare; at most 64."""
        held = np.flatnonzero(self._under != _ABSENT)
        if len(held):
            self._compare(self._random.choice(held, size=min(count, BATCH)))

    def check_all(self) -> int:
        """Load and compare every page that was accepted; returns how many there are."""
        held = np.flatnonzero(self._under != _ABSENT)
        for start in range(0, len(held), BATCH):
            self._compare(held[start : start + BATCH])
        return len(held)

    def _compare(self, keys: NDArray[np.int64]) -> None:
        out = self._out[: len(keys)]
        if not self._swap.load_many(keys + self._first, out).all():
            raise LoadError("a frontswap page that was accepted is nowhere: a defect of tmemstore")
        if not (out == self._anon[self._under[keys]]).all():
            raise LoadError("a frontswap page came back with other bytes: a defect of tmemstore")
        self.counts.loaded += len(keys)

    def invalidate(self, count: int) -> None:
        """Forget random frontswap pages."""
        for key in self._random.integers(0, len(self._under), count).tolist():
            self._swap.invalidate_page(key + self._first)
            self._under[key] = _ABSENT

    # ---- cleancache ----

    def put(self, count: int) -> None:
        """Put the next ``count`` clean pages."""
        for start in range(0, count, BATCH):
            numbers = self._next_clean + np.arange(min(BATCH, count - start))
            self._next_clean += len(numbers)
            keys = self._inode + numbers // _FILE_PAGES, numbers % _FILE_PAGES
            taken = self._fs.put_page_many(*keys, self._files[numbers % len(self._files)])
            self.counts.put += int(taken.sum())

    def get(self, count: int) -> None:
        """Get pages put lately, and compare those that are there; at most 64."""
        if self._next_clean == 0:
            return
        numbers = self._next_clean - 1 - self._random.integers(0, min(self._next_clean, 20_000), min(count, BATCH))
        numbers = np.unique(numbers)
        out = self._out[: len(numbers)]
        hits = self._fs.get_page_many(self._inode + numbers // _FILE_PAGES, numbers % _FILE_PAGES, out)
        if not (out[hits] == self._files[numbers[hits] % len(self._files)]).all():
            raise LoadError("a clean page came back stale: a defect of tmemstore")
        self.counts.hits += int(hits.sum())
