"""The device: pages out at its speed, pages back as fast as it reads; a hit of the page cache beside a get."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

import tmemstore
from tmemstore.bench import supply
from tmemstore.bench.arena import PAGE
from tmemstore.bench.ops_reclaim import WINDOW_BYTES, WINDOW_PAGES
from tmemstore.bench.ops_rows import Row, cpu_ns, in_turns, wall_ns
from tmemstore.bench.ops_store import BATCH, FullStore, Source, raw_store

_READS = 512
"""Reads of one measurement."""
_BLOCK_BYTES = 512 << 10
_REGION_BYTES = 256 << 20
_EMULATED = "emulate:emmc5.1"
_EMULATED_BYTES_PER_SECOND = 125e6
_FILE_BYTES = WINDOW_BYTES + (1 << 20)
"""Of the largest file on the device, and what the file system and the spill file's header add."""
_US, _MS = 1e3, 1e6


def check(near: str) -> None:
    """Raise EnvironmentLacks where the device has no room, before anything is measured."""
    supply.check_room(near, _FILE_BYTES)


def rows(source: Source, near: str, rounds: int, seed: int) -> Iterator[Row]:
    """Page-out to an emulated device, loads from a real spill file, a get against the page cache.

    Raises EnvironmentLacks where the device becomes full.
    """
    yield from _page_out(source, rounds)
    with _room(near):
        yield from _loads(source, near, rounds, seed)
        yield from _page_cache(source, near, rounds, seed)


@contextmanager
def _room(near: str) -> Iterator[None]:
    """A device that becomes full, or fails, is no defect and no late allocation: EnvironmentLacks."""
    try:
        yield
    except OSError as error:
        raise supply.no_room(near, _FILE_BYTES, error.strerror or str(error)) from error
    except tmemstore.AllocationAborted as error:
        if error.report.reason != "spill":
            raise
        raise supply.no_room(near, _FILE_BYTES, "the spill file failed or is full") from error


def _page_out(source: Source, rounds: int) -> Iterator[Row]:
    """Raw pages, no room but at the device."""
    took, floor = [], []
    with closing(tmemstore.open(WINDOW_BYTES, storage=_EMULATED, codec="none", writeback="back")) as tm:
        swap = tm.frontswap(0)
        for _ in range(rounds):
            _store(swap, source)
            with tm.alloc_contig(WINDOW_BYTES) as contig:
                report = contig.report
            took.append(report.elapsed_ns / _MS)
            floor.append(report.bytes_written / _EMULATED_BYTES_PER_SECOND * 1e3)
            swap.invalidate_area()
    yield Row("device", "page out, emulated eMMC", "ms", took, floor, "bytes / rate", goal=1.05)


def _loads(source: Source, near: str, rounds: int, seed: int) -> Iterator[Row]:
    """Loads of pages that are in the spill file alone, against reads of the same file."""
    random = np.random.default_rng(seed)
    with (
        supply.spill_file(None, near) as (path, _),
        closing(tmemstore.open(WINDOW_BYTES, path, codec="none", writeback="back")) as tm,
    ):
        swap = tm.frontswap(0)
        _store(swap, source)
        tm.alloc_contig(WINDOW_BYTES).release()
        draws = iter(random.integers(0, WINDOW_PAGES, (3 * rounds, _READS)))
        with closing(DirectFile(Path(path), os.O_RDONLY)) as file:
            read, one, many = in_turns(
                rounds,
                lambda: file.read_us(next(draws)),
                lambda: _load_us(swap, next(draws)),
                lambda: _load_many_us(swap, next(draws), source),
            )
    with (
        supply.spill_file(None, near) as (path, _),
        closing(DirectFile(Path(path), os.O_WRONLY | os.O_CREAT)) as file,
    ):
        written = [file.write_mb_per_s() for _ in range(rounds)]
    yield Row("floors", "O_DIRECT write", "MB/s", written, judged="value")
    yield Row("floors", "O_DIRECT read of 4 KiB", "us", read, judged="value")
    yield Row("device", "load from the spill file", "us", one, read, "O_DIRECT read", goal=1.2)
    yield Row("device", "load_many, a page", "us", many, read, "O_DIRECT read, one by one", goal=1.0)


def _store(swap: tmemstore.Frontswap, source: Source) -> None:
    for begin in range(0, WINDOW_PAGES, BATCH):
        swap.store_many(np.arange(begin, begin + BATCH, dtype=np.uint64), source.pages[source.next()])


def _load_us(swap: tmemstore.Frontswap, offsets: npt.NDArray[np.int64]) -> float:
    out, load = bytearray(PAGE), swap.load
    each = offsets.tolist()
    return wall_ns(lambda: [load(offset, out) for offset in each]) / len(each) / _US


def _load_many_us(swap: tmemstore.Frontswap, offsets: npt.NDArray[np.int64], source: Source) -> float:
    out = source.out[source.next(len(offsets))]
    return wall_ns(lambda: swap.load_many(offsets, out)) / len(offsets) / _US


def _page_cache(source: Source, near: str, rounds: int, seed: int) -> Iterator[Row]:
    """A get from Python against a read of a page that the kernel has in its page cache."""
    keep = len(source.pages)
    order = np.random.default_rng(seed).integers(0, keep, (rounds, BATCH))
    draws = iter(order)
    with supply.spill_file(None, near) as (path, _), closing(FullStore(raw_store(_REGION_BYTES), source, seed)) as full:
        Path(path).write_bytes(source.pages.tobytes())
        with Path(path).open("rb", buffering=0) as file:
            hit, get = in_turns(rounds, lambda: _pread_ns(source, file.fileno(), next(draws)), full.get_one_ns)
    yield Row("device", "raw get, one page", "ns", get, hit, "pread of a cached page", goal=0.75)


def _pread_ns(source: Source, fd: int, pages: npt.NDArray[np.int64]) -> float:
    """Of a page into one buffer, the numbers at hand and the pages not, as those of a get."""
    buffers = [bytearray(PAGE)]
    offsets, pread = (pages * PAGE).tolist(), os.preadv
    source.cool()
    sum(offsets)
    return cpu_ns(lambda: [pread(fd, buffers, offset) for offset in offsets]) / len(offsets)


class DirectFile:
    """A file past the page cache, where the file system allows it."""

    def __init__(self, path: Path, flags: int) -> None:
        self._memory = mmap.mmap(-1, _BLOCK_BYTES)
        self._memory.write(os.urandom(_BLOCK_BYTES))
        try:
            self._fd = os.open(path, flags | os.O_DIRECT)
        except OSError:
            self._fd = os.open(path, flags)

    def read_us(self, pages: npt.NDArray[np.int64]) -> float:
        """Of one page, one after the other."""
        with memoryview(self._memory)[:PAGE] as page:
            buffers, offsets, fd = [page], (pages * PAGE).tolist(), self._fd
            return wall_ns(lambda: [os.preadv(fd, buffers, offset) for offset in offsets]) / len(offsets) / _US

    def write_mb_per_s(self) -> float:
        """Of a window, in blocks of 512 KiB, one after the other."""
        fd, buffers = self._fd, [self._memory]
        offsets = range(0, WINDOW_BYTES, _BLOCK_BYTES)
        took_ns = wall_ns(lambda: [os.pwritev(fd, buffers, offset) for offset in offsets])
        return WINDOW_BYTES / took_ns * 1e3

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)
