"""Puts and gets of raw pages against look-up and copy: in one thread, in two, in regions of several sizes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import numpy as np

from tmemstore.bench.ops_rows import Row, in_turns
from tmemstore.bench.ops_store import BATCH, Bare, FullStore, Keys, Source, raw_store, split
from tmemstore.floors import copy_pages
from tmemstore.units import format_size as size_text

_CACHED_BYTES = 8 << 20
_SIZES = (64 << 20, 1 << 30, 8 << 30)
_TWO = 2
_CALLS = 8
"""Of each thread in one measurement, a batch each."""


def rows(region_bytes: int, source: Source, rounds: int, seed: int) -> Iterator[Row]:
    """One thread in a large region, one in a region that fits the cache, two in the large one."""
    with (
        closing(Bare(region_bytes, source, seed)) as bare,
        closing(FullStore(raw_store(region_bytes), source, seed)) as full,
    ):
        yield from _one_thread(bare, full, rounds)
        yield from _python(full, rounds)
        yield from _two_threads(bare, full, rounds)
        with closing(FullStore(raw_store(region_bytes, "plain"), source, seed)) as plain:
            past, through = in_turns(rounds, full.put_ns, plain.put_ns)
        yield Row("copy", "put past the cache", "ns", past, through, "put with memcpy", goal=0.65)
    small = Source(source.pages[:BATCH].copy(), cold=False)
    cached = _CACHED_BYTES
    with closing(Bare(cached, small, seed)) as bare, closing(FullStore(raw_store(cached), small, seed)) as full:
        figures = in_turns(
            rounds, bare.lookup_ns, partial(bare.copy_in_ns, "plain"), bare.copy_out_ns, full.put_ns, full.get_ns
        )
        lookup, copy_in, copy_out, put, get = figures
        yield Row("cached region", "put", "ns", put, _sum(lookup, copy_in), "look-up + copy", goal=1.5)
        yield Row("cached region", "get", "ns", get, _sum(lookup, copy_out), "look-up + copy", goal=1.5)


def growth(source: Source, rounds: int, seed: int) -> Iterator[Row]:
    """What put and get take must not grow with the region: in all, beside the copy, and less the copy."""
    took: dict[str, list[list[float]]] = {"put": [], "get": []}
    copies: dict[str, list[list[float]]] = {"put": [], "get": []}
    for size in _SIZES:
        with closing(Bare(size, source, seed)) as bare, closing(FullStore(raw_store(size), source, seed)) as full:
            into, out, put, get = in_turns(
                rounds, partial(bare.copy_in_ns, "nontemporal"), bare.copy_out_ns, full.put_ns, full.get_ns
            )
        for name, ours, copy in (("put", put, into), ("get", get, out)):
            took[name].append(ours)
            copies[name].append(copy)
    for name in took:
        for at, size in enumerate(_SIZES[1:], 1):
            text = size_text(size)
            grown, copied = (_over(each[name][at], each[name][0]) for each in (took, copies))
            yield Row("growth", f"{name}, {text}", "x", grown, copied, "the copy's, both of 64 MiB", goal=1.3)
            large, small = (_less(took[name][which], copies[name][which]) for which in (at, 0))
            yield Row("growth", f"{name} less the copy, {text}", "ns", large, small, "64 MiB", goal=1.3)


def _over(each: list[float], base: list[float]) -> list[float]:
    return [ours / least for ours, least in zip(each, base, strict=True)]


def _less(each: list[float], base: list[float]) -> list[float]:
    return [ours - copy for ours, copy in zip(each, base, strict=True)]


def _sum(*each: list[float]) -> list[float]:
    return [sum(parts) for parts in zip(*each, strict=True)]


def _one_thread(bare: Bare, full: FullStore, rounds: int) -> Iterator[Row]:
    lookup, plain, past, out, put, get = in_turns(
        rounds,
        bare.lookup_ns,
        partial(bare.copy_in_ns, "plain"),
        partial(bare.copy_in_ns, "nontemporal"),
        bare.copy_out_ns,
        full.put_ns,
        full.get_ns,
    )
    best = [min(pair) for pair in zip(plain, past, strict=True)]
    yield Row("floors", "random look-up", "ns", lookup, judged="value")
    yield Row("floors", "copy in, memcpy", "ns", plain, judged="value")
    yield Row("floors", "copy in, past the cache", "ns", past, judged="value")
    yield Row("floors", "copy out", "ns", out, judged="value")
    yield Row("large region", "put", "ns", put, _sum(lookup, best), "look-up + copy", goal=1.15)
    yield Row("large region", "get", "ns", get, _sum(lookup, out), "look-up + copy", goal=1.15)


def _python(full: FullStore, rounds: int) -> Iterator[Row]:
    for name, many, each, one in (
        ("put", full.put_ns, full.put_each_ns, full.put_one_ns),
        ("get", full.get_ns, full.get_each_ns, full.get_one_ns),
    ):
        large, kilo, few, alone, single = in_turns(rounds, many, partial(many, 1024), partial(many, 64), each, one)
        yield Row("Python", f"{name}, one page, in C", "ns", alone, judged="value")
        yield Row("Python", f"{name}, one page", "ns", single, alone, "in C", judged="difference", goal=200)
        yield Row("Python", f"{name}_many, 64", "ns", few, large, "in C", goal=1.15)
        yield Row("Python", f"{name}_many, 1024", "ns", kilo, large, "in C", goal=1.05)


# ---- two threads ---------------------------------------------------------------------------------------------


def _two_threads(bare: Bare, full: FullStore, rounds: int) -> Iterator[Row]:
    if len(os.sched_getaffinity(0)) < _TWO:
        return
    parts = [full.source.next() for _ in range(_TWO * _CALLS)]
    to = [bare.numbers() for _ in parts]
    keys: list[tuple[Keys, Keys]] = []

    def copy(call: int) -> None:
        origin = np.arange(parts[call].start, parts[call].stop, dtype=np.uint32)
        copy_pages(bare.pages, to[call], full.source.pages, origin, how="nontemporal")

    def put(call: int) -> None:
        full.store.put_many(full.pool, *keys[call], full.source.pages[parts[call]])

    def gain_of_puts() -> float:
        keys[:] = [split(full.keys()) for _ in parts]  # new ones: what is put again takes no eviction
        return _gain(put)

    copied, stored = in_turns(rounds, partial(_gain, copy), gain_of_puts)
    yield Row("two threads", "put", "x one thread", stored, copied, "two plain copies", goal=0.95, at_least=True)


def _gain(call: Callable[[int], None]) -> float:
    """By how much more two threads get done than one."""
    return _TWO * _together_ns(call, 1) / _together_ns(call, _TWO)


def _together_ns(call: Callable[[int], None], threads: int) -> int:
    """How long so many threads take that each make as many calls, all different."""
    ready = threading.Barrier(threads + 1)

    def run(which: int) -> None:
        ready.wait()
        for number in range(_CALLS):
            call(which * _CALLS + number)

    each = [threading.Thread(target=run, args=(which,)) for which in range(threads)]
    for thread in each:
        thread.start()
    ready.wait()
    began_ns = time.perf_counter_ns()
    for thread in each:
        thread.join()
    return time.perf_counter_ns() - began_ns
