"""A page cache before the store: what a stream of requests becomes by the time a tmem store sees it.

    read    cached: nothing                   not cached: GET_PAGE, then it is cached, clean
    write   cached: it is dirty               not cached: INVALIDATE_PAGE, then it is cached, dirty
    full    the page that was used least recently leaves: PUT_PAGE, after it was written back if it was dirty

The cache and the store are exclusive: a page leaves the one for the other. The page that leaves does so before the new
one is asked for, as a kernel finds a free frame before it reads into it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import numpy as np

from tmemstore.trace.columns import BLOCK_EVENTS, Array, empty
from tmemstore.trace.events import Op

_PAGES_AT_ONCE: Final = 1 << 18
_PUT, _GET, _INVALIDATE = int(Op.PUT_PAGE), int(Op.GET_PAGE), int(Op.INVALIDATE_PAGE)


class PageCache:
    """An LRU of so many pages, at least one; it lives across calls. `written_back`: pages so far."""

    def __init__(self, pages: int) -> None:
        if pages < 1:
            raise ValueError(f"a page cache must have at least one page, not {pages}")
        self.pages = pages
        self.written_back = 0
        # Whether it is dirty, by page, the least recently used first.
        self._cached: OrderedDict[int, bool] = OrderedDict()

    def run(self, requests: Array) -> Iterator[Array]:
        """The events that `REQUEST` records lead to, in arrays of `RECORD` of bounded length."""
        for piece in _pieces(requests):
            yield from self._run(piece)

    def _run(self, accesses: Array) -> Iterator[Array]:
        cached, room = self._cached, self.pages
        held, to_end, evict = cached.__contains__, cached.move_to_end, cached.popitem
        pages: list[int] = []
        ops: list[int] = []
        causes: list[int] = []
        for number, (page, write) in enumerate(zip(_keys(accesses), accesses["write"].tolist(), strict=True)):
            if held(page):
                to_end(page)
                if write:
                    cached[page] = True
                continue
            if len(cached) >= room:
                victim, dirty = evict(last=False)
                self.written_back += dirty
                pages.append(victim)
                ops.append(_PUT)
                causes.append(number)
            cached[page] = write
            pages.append(page)
            ops.append(_INVALIDATE if write else _GET)
            causes.append(number)
        if pages:
            yield _events(pages, ops, accesses["time_ns"][causes])


def bypassed(requests: Array) -> Iterator[Array]:
    """Requests as if there were no page cache: each page is a GET_PAGE, and a replay puts it where the get misses."""
    for piece in _pieces(requests):
        records = empty(len(piece))
        for name in ("time_ns", "object", "index", "pool"):
            records[name] = piece[name]
        records["op"] = _GET
        yield records


def _pieces(requests: Array) -> Iterator[Array]:
    """The pages of requests, one a row, some 2^18 rows at a time however long a request is."""
    begin = 0
    while begin < len(requests):
        ends = np.cumsum(requests["pages"][begin : begin + BLOCK_EVENTS], dtype=np.uint64)
        count = int(np.searchsorted(ends, _PAGES_AT_ONCE, side="right"))
        if count:
            yield _spread(requests[begin : begin + count])
        else:
            yield from _cut(requests[begin : begin + 1])
        begin += max(1, count)


def _spread(requests: Array) -> Array:
    counts = requests["pages"].astype(np.int64)
    total = int(counts.sum())
    if total == len(requests):
        return requests
    rows = np.repeat(requests, counts)
    rows["index"] += (np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)).astype(np.uint32)
    rows["pages"] = 1
    return rows


def _cut(request: Array) -> Iterator[Array]:
    """One request that is longer than a piece."""
    first, pages = int(request["index"][0]), int(request["pages"][0])
    for at in range(0, pages, _PAGES_AT_ONCE):
        part = request.copy()
        part["index"], part["pages"] = first + at, min(_PAGES_AT_ONCE, pages - at)
        yield _spread(part)


def _keys(rows: Array) -> list[int]:
    """A number for each page: object, pool and index side by side, as long as it must be."""
    low = (rows["pool"].astype(np.uint64) << np.uint64(32)) | rows["index"]
    if len(rows) and int(rows["object"].max()) < 1 << 15:
        keys: list[int] = ((rows["object"] << np.uint64(48)) | low).tolist()
        return keys
    return [above << 48 | below for above, below in zip(rows["object"].tolist(), low.tolist(), strict=True)]


def _events(pages: list[int], ops: list[int], times: Array) -> Array:
    records = empty(len(pages))
    low = np.fromiter((page & 0xFFFF_FFFF_FFFF for page in pages), np.uint64, len(pages))
    records["time_ns"], records["op"] = times, ops
    records["object"] = np.fromiter((page >> 48 for page in pages), np.uint64, len(pages))
    records["pool"] = low >> np.uint64(32)
    records["index"] = low & np.uint64(0xFFFFFFFF)
    return records
