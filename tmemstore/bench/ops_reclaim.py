"""Giving a range back, planning it, and what others wait for meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import numpy as np

import tmemstore
from tmemstore.bench.arena import PAGE
from tmemstore.bench.ops_rows import Row, cpu_ns, in_turns, wall_ns
from tmemstore.bench.ops_store import BATCH, Bare, FullStore, Source, split
from tmemstore.quantiles import nearest_rank

WINDOW_BYTES = 64 << 20
WINDOW_PAGES = WINDOW_BYTES // PAGE
_CHUNK_PAGES = 512
_PLANNED_BYTES = 8 << 30
_WAITS_REGION = "256MiB"
_WAITS_NS = 1_000_000_000
"""How long calls are timed in a round while allocations come and go."""
_MS, _US = 1e6, 1e3


def rows(region_bytes: int, source: Source, rounds: int, seed: int) -> Iterator[Row]:
    """Drop and migrate of a window."""
    with closing(tmemstore.open(region_bytes, codec="none", admission_filter=False)) as tm:
        full = FullStore(tm.store, source, seed)
        drops, refills = zip(*(_drop_ns(tm, full) for _ in range(rounds)), strict=True)
    yield Row("reclaim", "64 MiB of clean pages", "ms", [each / _MS for each in drops], judged="value", goal=1)
    each_page = [each / WINDOW_PAGES for each in drops]
    yield Row("reclaim", "drop", "ns", each_page, judged="value", goal=30)
    name = "put after a drop"
    yield Row("reclaim", name, "ns", refills, [_fresh_ns(region_bytes, source)] * rounds, "put into a new frame")
    with closing(Bare(region_bytes, source, seed)) as bare, closing(_Swap(region_bytes, source)) as swap:
        copied, moved = in_turns(rounds, lambda: bare.copy_run_ns(WINDOW_PAGES), swap.migrate_ns)
    yield Row("reclaim", "migrate", "ns", moved, copied, "memcpy of 4 KiB", goal=1.25)


def planning(source: Source, rounds: int, seed: int) -> Iterator[Row]:
    """A plan for a window of 64 MiB in a full region of 8 GiB."""
    with closing(tmemstore.open(_PLANNED_BYTES, codec="none", admission_filter=False)) as tm:
        FullStore(tm.store, source, seed)
        times = [wall_ns(lambda: tm.estimate(WINDOW_BYTES)) / _US for _ in range(rounds)]
    yield Row("growth", "plan for a window, 8 GiB", "us", times, judged="value", goal=200)


def _fresh_ns(region_bytes: int, source: Source) -> float:
    """Of a put into a frame that was never used: nothing is to be removed."""
    with closing(tmemstore.open(region_bytes, codec="none", admission_filter=False)) as tm:
        fs = tm.cleancache("fresh")
        took_ns = 0
        for begin in range(0, WINDOW_PAGES, BATCH):
            objects, indexes = split(np.arange(begin, begin + BATCH, dtype=np.uint64))
            pages = source.pages[source.next()]
            source.cool()
            took_ns += cpu_ns(partial(fs.put_page_many, objects, indexes, pages))
    return took_ns / WINDOW_PAGES


def _drop_ns(tm: tmemstore.Controller, full: FullStore) -> tuple[int, float]:
    """Of a window through Python; and of a put into a frame of it, which removes the entry that was left behind."""
    begin = time.perf_counter_ns()
    contig = tm.alloc_contig(WINDOW_BYTES)
    took_ns = time.perf_counter_ns() - begin
    contig.release()
    refilled = full.put_ns()
    full.fill()
    return took_ns, refilled


class _Swap:
    """Raw frontswap pages in one window, and free frames outside it."""

    def __init__(self, region_bytes: int, source: Source) -> None:
        self._tm = tmemstore.open(region_bytes, codec="none", admission_filter=False)
        pool = self._tm.store.new_pool(persistent=True)
        zeros = np.zeros(BATCH, np.uint64)
        for begin in range(0, WINDOW_PAGES, BATCH):
            offsets = np.arange(begin, begin + BATCH, dtype=np.uint64)
            self._tm.store.put_many(pool, zeros, offsets, source.pages[source.next()])

    def migrate_ns(self) -> float:
        """Of a page of the window that holds them; the next time they lie elsewhere."""
        start_pfn = int(np.flatnonzero(self._tm.chunks()["frames_frontswap"])[0]) * _CHUNK_PAGES
        with self._tm.alloc_contig(WINDOW_BYTES, effort=tmemstore.Effort.MIGRATE, start_pfn=start_pfn) as contig:
            report = contig.report
        return report.cpu_ns / max(1, report.migrated_inside)

    def close(self) -> None:
        """End it."""
        self._tm.close()


# ---- calls beside allocations --------------------------------------------------------------------------------


class Waits:
    """Single puts and gets on a thread, timed one by one, while windows are emptied and the cleaner writes.

    ``histogram``: calls by the power of two of ns below which they stayed.
    """

    def __init__(self, source: Source, seed: int) -> None:
        self._source = source
        self._seed = seed
        self._stop = threading.Event()
        self.histogram: dict[str, Counter[int]] = {"get": Counter(), "put": Counter()}

    def rows(self, rounds: int) -> Iterator[Row]:
        """The p99.9 of each round."""
        times: dict[str, list[float]] = {"get": [], "put": []}
        with closing(
            tmemstore.open(
                _WAITS_REGION,
                escape="16MiB",
                storage="emulate:emmc5.1",
                frontswap_max_percent=40,
                admission_filter=False,
            )
        ) as tm:
            full = FullStore(tm.store, self._source, self._seed)
            swap = tm.frontswap(0)
            for number in range(rounds):
                for name, taken in self._round(tm, full, swap, number).items():
                    self.histogram[name].update((each - 1).bit_length() for each in taken)
                    times[name].append(nearest_rank(sorted(taken), 0.999) / _US)
        for name, figures in times.items():
            yield Row("beside allocations", f"{name}, p99.9 of a call", "us", figures, judged="value", goal=100)

    def _round(
        self, tm: tmemstore.Controller, full: FullStore, swap: tmemstore.Frontswap, number: int
    ) -> dict[str, list[int]]:
        taken: dict[str, list[int]] = {"get": [], "put": []}
        self._stop.clear()
        thread = threading.Thread(target=self._call, args=(full, taken))
        thread.start()
        ends_ns = time.perf_counter_ns() + _WAITS_NS
        offset = number << 20
        while time.perf_counter_ns() < ends_ns:
            offsets = np.arange(offset, offset + BATCH, dtype=np.uint64)
            swap.store_many(offsets, self._source.pages[self._source.next()])
            offset += BATCH
            try:
                tm.alloc_contig(WINDOW_BYTES).release()
            except tmemstore.AllocationAborted:
                break
            time.sleep(0.02)
        self._stop.set()
        thread.join()
        return taken

    def _call(self, full: FullStore, taken: dict[str, list[int]]) -> None:
        page, out = bytes(self._source.pages[0]), bytearray(PAGE)
        put, get, pool, clock = full.store.put, full.store.get, full.pool, time.perf_counter_ns
        while not self._stop.is_set():
            keys = zip(*(part.tolist() for part in split(full.keys(BATCH))), strict=True)
            for object_, index in keys:
                begin = clock()
                get(pool, object_, index, out)
                middle = clock()
                put(pool, object_, index, page)
                taken["put"].append(clock() - middle)
                taken["get"].append(middle - begin)
