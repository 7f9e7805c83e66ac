"""A page cache of this process over O_DIRECT, which offers what it gives up to a cleancache.

      read -> here? -> in the cleancache? -> from the device

Owns: the memory of its pages.  Law: a page is in the cache or in the cleancache, not in both: gets take it out.
"""

from __future__ import annotations

import mmap
import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tmemstore
from tmemstore.bench.arena import PAGE, Pages

_SHIFT = 32
_WORDS = PAGE // 8
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_WRITE_PAGES = 1024


class Disk:
    """A file of so many pages on a device, each of which tells its number; read past the kernel's page cache.

    Raises EnvironmentLacks where the file system cannot do that, or has no room for it.
    """

    def __init__(self, path: str, pages: int) -> None:
        self.pages = pages
        try:
            _write_numbered(path, pages)
        except OSError as error:
            raise tmemstore.EnvironmentLacks(
                f"{path} cannot be written ({error.strerror}), {pages * PAGE >> 20} MiB to read from; make room, take "
                "a smaller --region, or name a folder on another disk with --out"
            ) from error
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        except OSError as error:
            raise tmemstore.EnvironmentLacks(
                f"the file system of {path} has no O_DIRECT ({error.strerror}); name a folder on a disk with --out"
            ) from error

    def read(self, first: int, into: Pages) -> None:
        """Read pages from number first on."""
        if os.preadv(self._fd, [into.data], first * PAGE) != into.nbytes:
            raise tmemstore.EnvironmentLacks(f"the device ended within {len(into)} pages from {first} on")

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def _write_numbered(path: str, pages: int) -> None:
    with Path(path).open("wb") as file:
        for begin in range(0, pages, _WRITE_PAGES):
            numbers = np.arange(begin, min(pages, begin + _WRITE_PAGES), dtype=np.uint64)
            words = (numbers[:, None] * _SPREAD) ^ np.arange(_WORDS, dtype=np.uint64) * _SPREAD
            words[:, 0] = numbers
            file.write(words.tobytes())
        file.flush()
        os.fsync(file.fileno())


@dataclass(slots=True)
class Counts:
    """What reading took: pages by where they were found, and ns."""

    pages: int = 0
    here: int = 0
    cleancache: int = 0
    device: int = 0
    copy_ns: int = 0
    device_ns: int = 0


class PageCache:
    """So many pages, the least recently used given up first. ``bases``: of each file its first page on the disk.

    ``first_inode``: files are known to the cleancache by their number from here on.
    """

    def __init__(
        self, disk: Disk, bases: Sequence[int], pages: int, fs: tmemstore.Cleancache | None, *, first_inode: int = 0
    ) -> None:
        self.counts = Counts()
        self._disk, self._bases, self._fs, self._first_inode = disk, bases, fs, first_inode
        memory = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory: Pages = np.frombuffer(memory, np.uint8).reshape(-1, PAGE)
        self._memory[:] = 0
        self._stamps = self._memory.view(np.uint64)[:, 0]
        self._buffers = [tmemstore.PageBuffer(page) for page in self._memory]
        self._slots: OrderedDict[int, int] = OrderedDict()
        self._free = list(range(pages - 1, -1, -1))
        self._inode = np.zeros(pages, np.uint64)
        self._index = np.zeros(pages, np.uint64)

    def read(self, file: int, first: int, count: int) -> None:
        """Read pages of a file; VerifyError if one of them is another."""
        slots, base = self._slots, self._bases[file]
        missing = []
        for page in range(first, first + count):
            key = file << _SHIFT | page
            slot = slots.get(key)
            if slot is None:
                missing.append(page)
            else:
                slots.move_to_end(key)
                if self._stamps[slot] != base + page:
                    raise tmemstore.VerifyError(f"page {page} of file {file} holds that of {self._stamps[slot] - base}")
        self.counts.pages += count
        self.counts.here += count - len(missing)
        if missing:
            self._fetch(file, missing)

    def _fetch(self, file: int, pages: list[int]) -> None:
        taken = self._take(len(pages))
        for begin, end in _runs(pages, taken):
            page, slot, count = pages[begin], taken[begin], end - begin
            into = slice(slot, slot + count)
            self._inode[into] = self._first_inode + file
            self._index[into] = np.arange(page, page + count)
            self._fill(file, page, into)
            if not np.array_equal(self._stamps[into], np.arange(count, dtype=np.uint64) + (self._bases[file] + page)):
                raise tmemstore.VerifyError(f"pages {page} to {page + count - 1} of file {file} are not what was read")
            for number in range(count):
                self._slots[file << _SHIFT | page + number] = slot + number

    def _fill(self, file: int, page: int, into: slice) -> None:
        """From the cleancache, and what it does not have from the device."""
        base = self._bases[file]
        for begin, end in self._ask(into):
            began_ns = time.perf_counter_ns()
            self._disk.read(base + page + begin, self._memory[into.start + begin : into.start + end])
            self.counts.device_ns += time.perf_counter_ns() - began_ns
            self.counts.device += end - begin

    def _ask(self, into: slice) -> Iterator[tuple[int, int]]:
        """Runs of those that the cleancache does not have."""
        count = into.stop - into.start
        if self._fs is None:
            yield 0, count
            return
        began_ns = time.perf_counter_ns()
        if count == 1:
            slot = into.start
            found = self._fs.get_page(int(self._inode[slot]), int(self._index[slot]), self._buffers[slot])
            missing: Sequence[int] = [] if found else [0]
        else:
            hits = self._fs.get_page_many(self._inode[into], self._index[into], self._memory[into])
            missing = np.flatnonzero(~hits).tolist() if hits.any() else range(count)
        self.counts.copy_ns += time.perf_counter_ns() - began_ns
        self.counts.cleancache += count - len(missing)
        yield from ((missing[begin], missing[end - 1] + 1) for begin, end in _runs(missing, missing))

    def _take(self, count: int) -> list[int]:
        """So many slots; the pages in them are offered."""
        taken = [self._free.pop() for _ in range(min(count, len(self._free)))]
        given_up = [self._slots.popitem(last=False)[1] for _ in range(count - len(taken))]
        if given_up and self._fs is not None:
            began_ns = time.perf_counter_ns()
            for begin, end in _runs(given_up, given_up):
                self._offer(slice(given_up[begin], given_up[end - 1] + 1))
            self.counts.copy_ns += time.perf_counter_ns() - began_ns
        return taken + given_up

    def _offer(self, slots: slice) -> None:
        if self._fs is None:
            return
        if slots.stop - slots.start == 1:
            slot = slots.start
            self._fs.put_page(int(self._inode[slot]), int(self._index[slot]), self._buffers[slot])
        else:
            self._fs.put_page_many(self._inode[slots], self._index[slots], self._memory[slots])


def _runs(numbers: Sequence[int], others: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give [begin, end) of the places at which both sequences go up by one each.

    Most often that is everywhere, and then there is no loop over them here: a job with a store would pay for it, which
    in a kernel costs nothing, and one without would not.
    """
    if _straight(numbers) and (others is numbers or _straight(others)):
        yield 0, len(numbers)
        return
    begin = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1 or others[at] != others[at - 1] + 1:
            yield begin, at
            begin = at


def _straight(numbers: Sequence[int]) -> bool:
    """Return whether they, no two of which are the same, go up by one each; none at all do not."""
    if not numbers or isinstance(numbers, range):
        return bool(numbers)
    # Sorting what is sorted, and comparing each number with itself, takes a third of making a list of what is expected.
    return numbers[-1] - numbers[0] == len(numbers) - 1 and sorted(numbers) == numbers
