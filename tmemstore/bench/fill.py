"""Fill a store with both kinds of page at a given ratio, the kinds interleaved, and keep it so.

The ratio is in frames: ``percent`` of all frames hold frontswap data, in every 2 MiB chunk.  A frontswap page takes a
part of a frame or a span of several, and only the store knows which, so the fill steers by ``tm.frame_counts()``:
error diffusion with feedback.  The key of a page is its number among the pages of its kind, so that what comes back
can be compared with what was put in.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

import tmemstore
from tmemstore.bench.arena import PAGE, Pages
from tmemstore.bench.pages import NotEnoughPages

CHUNK_FRAMES = 512
ALL = 100
"""Percent: every frame holds frontswap data."""
_FILE_PAGES = 64
"""Pages of one cleancache inode."""
_GROUP = 2048
"""Most pages put in one step."""
_SHARED_GROUP = 256
"""From so many frontswap pages on a second thread takes half of them."""
_SPAN_FRAMES = 8
"""Most frames that one frontswap page takes at once (it opens a span that others share)."""
_LAST_GROUP = 4
_MOST_DEBT = 4
_SETTLED_FRAMES = 256
"""Until so many frames have been filled with frontswap pages each page may open a span of its own."""
_WELL_BEFORE = 10 * _SPAN_FRAMES
"""While a chunk wants more frontswap frames than this it takes large groups."""
_HISTORY_GROUP = 256
_MOST_REJECTS = 64
INTERLEAVE_POINTS = 2
"""By how much a chunk's share of frontswap frames may differ from the ratio; the knob leaves as much room."""

Indices = NDArray[np.int64]


class FillError(tmemstore.TmemError):
    """A page did not come back as it went in: a defect of tmemstore."""


class Stock:
    """The pages of one kind, and which of them the store holds.

    ``stale``: frontswap pages that the store holds in the spill file only; storing them again replaces that.
    """

    def __init__(self, pages: Pages, order: np.random.Generator) -> None:
        self.pages = pages
        self.held = np.zeros(len(pages), dtype=np.bool_)
        self.stale = np.zeros(len(pages), dtype=np.bool_)
        self._buffer: Pages = np.empty((_GROUP, PAGE), dtype=np.uint8)
        self._order = order
        self._spare = deque(order.permutation(len(pages)).tolist())

    @property
    def count(self) -> int:
        """Pages that the store holds in the region."""
        return len(self.held) - len(self._spare)

    @property
    def spare(self) -> int:
        """Pages that the store does not hold."""
        return len(self._spare)

    def take(self, count: int) -> Indices:
        """Take up to ``count`` pages that the store does not hold, those given back longest ago first."""
        spare = self._spare
        return np.array([spare.popleft() for _ in range(min(count, len(spare)))], dtype=np.int64)

    def gather(self, indices: Indices) -> Pages:
        """Return these pages side by side, in a buffer that the next call overwrites; at most 2048 of them."""
        gathered: Pages = self._buffer[: len(indices)]
        np.take(self.pages, indices, axis=0, out=gathered, mode="clip")
        return gathered

    def put(self, indices: Indices, accepted: NDArray[np.bool_]) -> int:
        """Note which of the taken pages the store holds now; the others are given back.  Returns how many it holds."""
        self.held[indices[accepted]] = True
        self.stale[indices] = False
        self._spare.extend(indices[~accepted].tolist())
        return int(accepted.sum())

    def give_back(self, indices: Indices) -> None:
        """Note that the store holds these pages no more.  They come again in another order: neighbours are alike."""
        self.held[indices] = False
        self._spare.extend(self._order.permutation(indices).tolist())

    def requeue(self, indices: Indices) -> None:
        """Note that the store holds these pages in the spill file only; they are taken again before all others."""
        self.held[indices] = False
        self.stale[indices] = True
        self._spare.extendleft(self._order.permutation(indices).tolist())

    def holding(self) -> Indices:
        """Return the pages the store holds."""
        return np.flatnonzero(self.held)

    def reset(self) -> None:
        """Note that the store holds nothing any more."""
        self.held[:] = False
        self.stale[:] = False
        self._spare = deque(self._order.permutation(len(self.pages)).tolist())


class InterleavedFill:
    """One store, one cleancache pool and one frontswap area, filled at ``percent`` frontswap frames.

    ``close`` it in the end: it owns a thread.
    """

    def __init__(
        self,
        tm: tmemstore.Controller,
        file_pages: Pages,
        anon_pages: Pages,
        *,
        seed: int = 1,
    ) -> None:
        self._order = np.random.default_rng(seed)
        self._tm = tm
        self._fs = tm.cleancache("bench")
        self._swap = tm.frontswap(0)
        self.clean = Stock(file_pages, self._order)
        self.anon = Stock(anon_pages, self._order)
        self._helper = ThreadPoolExecutor(1, "tmemstore-bench-fill")
        self._out: Pages = np.empty((_GROUP, PAGE), dtype=np.uint8)
        self.percent = 0

    def close(self) -> None:
        """End the helper thread; the store stays as it is."""
        self._helper.shutdown()

    # ---- filling ----

    def start(self, percent: int) -> None:
        """Empty the store and fill it at another ratio.  Raises NotEnoughPages if the pages do not suffice."""
        self._swap.invalidate_area()
        self._fs.invalidate_fs()
        self._fs = self._tm.cleancache("bench")
        self.clean.reset()
        self.anon.reset()
        self.percent = percent
        # What must leave a window may not make other chunks exceed the ratio.
        self._tm.frontswap_max_percent = min(ALL, percent + INTERLEAVE_POINTS)
        self.top_up()

    def top_up(self) -> None:
        """Fill the free frames so that every chunk ends with its share of frontswap frames.

        What is off in the frames that are in use already is made up for by a few frames at most: a chunk cannot carry
        another's debt.
        """
        self._fill_up()
        # No page may have a copy in the spill file: it would be dropped for nothing.
        stale = np.flatnonzero(self.anon.stale).tolist()
        for index in stale:
            self._swap.invalidate_page(index)
        self.anon.stale[:] = False
        if stale:  # with the last page of a span its frames come free
            self._fill_up()

    def _fill_up(self) -> None:
        counts = start = self._tm.frame_counts()
        rejects = 0
        while counts.free and rejects < _MOST_REJECTS:
            clean, swap = self._next_step(start, counts)
            taken, stored = self._store(swap) if swap else self._put(clean)
            if taken == 0:
                raise NotEnoughPages(
                    f"the pages ran out with {counts.free} frames free at {100 - self.percent}:{self.percent}; "
                    "take a smaller --region, or bring more pages with --pages FILE.npy"
                )
            rejects = 0 if stored else rejects + 1
            counts = self._tm.frame_counts()
        if self.percent == ALL:
            # The spans that are open have room left.
            while self._store(_LAST_GROUP)[1] == _LAST_GROUP:
                pass

    def restore(self) -> None:
        """Fill up again after an allocation; anew, if moved or spilled pages leave a chunk or the supply off.

        Pages moved out of a window lie in other chunks, which carry more than their share then and cannot be told to
        give some back.
        """
        try:
            self.top_up()
        except NotEnoughPages:
            self.start(self.percent)
        if self.worst_deviation_points() > INTERLEAVE_POINTS:
            self.start(self.percent)

    def _next_step(self, start: tmemstore.FrameCounts, now: tmemstore.FrameCounts) -> tuple[int, int]:
        """Return how many clean pages, or how many frontswap pages, to put next.

        Frames are taken in order, from the start of a chunk on, so that the number filled since the start tells how
        much of a chunk is left.  Well before its end frontswap pages come in large groups; towards it one by one,
        because a page may take a span of frames, and clean pages make up for that only as long as the chunk has room.
        """
        if self.percent == 0:
            return min(now.free, _GROUP), 0
        if self.percent == ALL:
            return 0, _GROUP
        share = self.percent / ALL
        debt = start.frontswap - share * (start.clean + start.frontswap)
        forgiven = debt - max(-_MOST_DEBT, min(_MOST_DEBT, debt))
        ahead = now.frontswap - share * (now.clean + now.frontswap) - forgiven
        room = min(CHUNK_FRAMES - (start.free - now.free) % CHUNK_FRAMES, now.free)
        wanted = share * room - ahead
        if wanted > _WELL_BEFORE and now.frontswap - start.frontswap > _SETTLED_FRAMES:
            # Spans fill up together, so that several may be opened at once on top of what the pages take.
            return 0, min(_GROUP, int((wanted - _WELL_BEFORE * 3 / 4) * 0.75 * self.anon.count / now.frontswap))
        # At the very end of a chunk a span of its own does more harm than going without.
        if ahead < 0 and (room > 2 * _SPAN_FRAMES or (room >= _SPAN_FRAMES and wanted > _SPAN_FRAMES / 2)):
            return 0, max(1, int(min(wanted, _WELL_BEFORE) / _SPAN_FRAMES))
        return min(int(max(ahead, 0) / share) + 1, now.free, _GROUP), 0

    def _store(self, count: int) -> tuple[int, int]:
        """Store up to ``count`` frontswap pages; return how many there were, and how many were accepted."""
        indices = self.anon.take(count)
        pages = self.anon.gather(indices)
        if len(indices) < _SHARED_GROUP:
            return len(indices), self.anon.put(indices, self._swap.store_many(indices, pages))
        # Compressing is nearly all of the work, and it holds neither the store's lock nor the interpreter's.
        half = len(indices) // 2
        other = self._helper.submit(self._swap.store_many, indices[:half], pages[:half])
        accepted = self._swap.store_many(indices[half:], pages[half:])
        return len(indices), self.anon.put(indices, np.concatenate([other.result(), accepted]))

    def _put(self, count: int) -> tuple[int, int]:
        """Put up to ``count`` clean pages; returns like ``_store``."""
        indices = self.clean.take(count)
        accepted = self._fs.put_page_many(*_file_keys(indices), self.clean.gather(indices))
        return len(indices), self.clean.put(indices, accepted)

    # ---- after an allocation, and history ----

    def look_around(self, check: int) -> int:
        """Find what left the region, so that ``top_up`` puts it or its like there again.

        Load up to ``check`` of the frontswap pages that are in the spill file only and compare them with what went in;
        return how many were compared.  Raises FillError if one differs or is nowhere.
        """
        clean = self.clean.holding()
        self.clean.give_back(clean[self._fs.where_many(*_file_keys(clean)) == tmemstore.Place.ABSENT])
        swap = self.anon.holding()
        places = self._swap.where_many(swap)
        if (places == tmemstore.Place.ABSENT).any():
            lost = int(swap[places == tmemstore.Place.ABSENT][0])
            raise FillError(f"frontswap page {lost} was accepted and is nowhere: a defect of tmemstore")
        checked = self._load_some(swap[places == tmemstore.Place.SPILL], check)
        self.anon.requeue(swap[(places & tmemstore.Place.SPILL) != 0])
        return checked

    def check_back(self, count: int) -> int:
        """Load up to ``count`` frontswap pages and compare them with what went in; return how many were compared.

        Raises FillError at the first that differs or is missing.
        """
        return self._load_some(self.anon.holding(), count)

    def _load_some(self, indices: Indices, count: int) -> int:
        some = self._order.choice(indices, size=min(count, len(indices), _GROUP), replace=False)
        self._load(some)
        return len(some)

    def _load(self, indices: Indices) -> None:
        """Load up to 2048 frontswap pages and compare each with what went in."""
        out = self._out[: len(indices)]
        if not self._swap.load_many(indices, out).all():
            raise FillError("a frontswap page that was accepted cannot be loaded: a defect of tmemstore")
        self._compare(self.anon, indices, out)

    def _compare(self, stock: Stock, indices: Indices, got: Pages) -> None:
        same = (got == stock.gather(indices)).all(axis=1)
        if not same.all():
            raise FillError(f"page {int(indices[~same][0])} came back with other bytes: a defect of tmemstore")

    def churn(self, clean_pages: int, swap_pages: int) -> None:
        """Give the store a history: about so many pages of each kind leave in random order, and pages come.

        Clean pages are got, and others are put in their place.  Frontswap pages are loaded, invalidated and stored
        again in another order, so that they come to lie elsewhere while the frames they need remain as many.
        """
        clean = self._pick(self.clean, clean_pages)
        swap = self._pick(self.anon, swap_pages)
        for start in range(0, max(len(clean), len(swap)), _HISTORY_GROUP):
            some = clean[start : start + _HISTORY_GROUP]
            if len(some):
                found = self._fs.get_page_many(*_file_keys(some), self._out[: len(some)])
                self._compare(self.clean, some[found], self._out[: len(some)][found])
                self.clean.give_back(some)
                self._put(len(some))
            some = swap[start : start + _HISTORY_GROUP]
            if len(some):
                self._load(some)
                for index in some.tolist():
                    self._swap.invalidate_page(index)
                self.anon.held[some] = False
                again = self._order.permutation(some)
                self.anon.put(again, self._swap.store_many(again, self.anon.gather(again)))
        self.top_up()

    def _pick(self, stock: Stock, count: int) -> Indices:
        held = stock.holding()
        return self._order.choice(held, size=min(count, len(held)), replace=False)

    # ---- looking ----

    def share_percent(self) -> float:
        """Return the percentage of the region's frames that hold frontswap data."""
        counts = self._tm.frame_counts()
        return 100 * counts.frontswap / sum(counts)

    def worst_deviation_points(self) -> float:
        """Return by how many points the chunk furthest from the ratio is off (a short last chunk is left out)."""
        chunks = self._tm.chunks()
        states = ("free", "clean", "frontswap", "isolated", "allocated")
        frames: Indices = np.stack([chunks[f"frames_{state}"] for state in states]).astype(np.int64).sum(axis=0)
        whole = frames == (CHUNK_FRAMES if (frames == CHUNK_FRAMES).any() else frames)
        share = 100 * chunks["frames_frontswap"][whole] / frames[whole]
        return float(np.abs(share - self.percent).max())


def _file_keys(indices: Indices) -> tuple[Indices, Indices]:
    """Return inode and page index of clean pages, int64[n] each."""
    return indices // _FILE_PAGES, indices % _FILE_PAGES
