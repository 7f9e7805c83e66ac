"""The kernel's own trace of its page cache: mm_filemap_add_to_page_cache and mm_filemap_delete_from_page_cache."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import numpy as np

from tmemstore.trace.columns import Array, empty
from tmemstore.trace.events import Op
from tmemstore.trace.readers.base import INDEX_END, FieldError, TextInput
from tmemstore.trace.readers.fields import U64_END, shown
from tmemstore.trace.readers.stream import Stream
from tmemstore.units import PAGE_SIZE

LINE: Final = re.compile(
    rb"\s*\S.*-[0-9]+\s+(?:\([ 0-9-]+\)\s+)?\[[0-9]+\]\s+(?:[^\s:]+\s+)?"
    rb"([0-9]{1,10})\.([0-9]{6,9}):\s+([A-Za-z_][A-Za-z0-9_]*):(.*)"
)
FIELDS: Final = re.compile(
    rb"\s*dev ([0-9]{1,10}):([0-9]{1,10}) ino (?:0x)?([0-9a-f]+) (?:page=\S+ )?pfn=\S+ ofs=([0-9]{1,20})"
    rb"(?: order=([0-9]{1,4}))?\s*"
)
LOST: Final = re.compile(rb"\s*CPU:[0-9]+ \[(?:LOST [0-9]+ EVENTS|[0-9]+ EVENTS DROPPED)\]\s*")
PREAMBLE: Final = re.compile(rb"\s*(?:version = [0-9]+|cpus=[0-9]+|CPU [0-9]+ is empty)\s*")
"""What trace-cmd report begins with."""

_OPS: Final = {
    b"mm_filemap_add_to_page_cache": Op.GET_PAGE,
    b"mm_filemap_delete_from_page_cache": Op.PUT_PAGE,
}
# The page cache of Linux has folios of up to 2^13 pages; a few of those rows are as many pages as is held at once.
_ORDER_END: Final = 14
_ROWS: Final = 64
_POOLS: Final = 1 << 16
_ORDER_COLUMN: Final = "size"


class TracefsInput(TextInput):
    """The text of tracefs or trace-cmd report. An add is a get, a delete a put, order=K stands for 2^K pages."""

    kind: ClassVar[str] = "tracefs"
    requests = False
    note = (
        "an add to the page cache is a get, a delete from it a put, of clean pages; truncated and dirty ones cannot be "
        "told apart from them; a pool is a device, numbered in the order they come"
    )

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._pools: dict[tuple[bytes, bytes], int] = {}

    def parse(self, lines: Sequence[bytes]) -> tuple[Array, Sequence[int] | None]:
        """One row a line of these two events; its order stands in the column of sizes until `finish`."""
        chosen: list[int] = []
        rows: list[tuple[int, int, int, int, int, int]] = []
        for at, line in enumerate(lines):
            match = LINE.fullmatch(line)
            if match is None:
                self._pass_over(line)
                continue
            op = _OPS.get(match[3])
            if op is None:
                self.skipped["other events"] += 1
                continue
            time_ns = int(match[1]) * 10**9 + int(match[2].ljust(9, b"0"))
            chosen.append(at)
            rows.append((time_ns, *self._page(match[3], match[4]), op))
        records = empty(len(rows))
        if rows:
            for name, values in zip(
                ("time_ns", "pool", "object", "index", _ORDER_COLUMN, "op"), zip(*rows, strict=True), strict=True
            ):
                records[name] = values
        return records, chosen

    def finish(self, rows: Array) -> Iterator[Array]:
        """The pages of each row, one behind the other."""
        counts = np.int64(1) << rows[_ORDER_COLUMN].astype(np.int64)
        if int(counts.max()) == 1:
            yield rows
            return
        for at in range(0, len(rows), _ROWS):
            yield _spread(rows[at : at + _ROWS], counts[at : at + _ROWS])

    def _pass_over(self, line: bytes) -> None:
        if LOST.fullmatch(line):
            self.skipped["gaps, where the kernel lost events"] += 1
        elif line.isspace() or PREAMBLE.fullmatch(line):
            self.skipped["comments"] += 1
        else:
            raise FieldError(f"{shown(line.strip())} is no line of tracefs")

    def _page(self, event: bytes, text: bytes) -> tuple[int, int, int, int]:
        match = FIELDS.fullmatch(text)
        if match is None:
            raise FieldError(f"{event.decode()} lacks dev, ino, pfn or ofs: {shown(text.strip())}")
        inode, offset, order = int(match[3], 16), int(match[4]), int(match[5] or b"0")
        if inode >= U64_END:
            raise FieldError(f"object id {shown(match[3])} is beyond 64 bits")
        if order >= _ORDER_END:
            raise FieldError(f"order {order} is out of range; it must be below {_ORDER_END}")
        if offset % PAGE_SIZE or offset // PAGE_SIZE + (1 << order) > INDEX_END:
            raise FieldError(f"ofs {shown(match[4])} is no offset of a page below 2^32")
        pool = self._pools.setdefault((match[1], match[2]), len(self._pools))
        if pool >= _POOLS:
            raise FieldError(f"more than {_POOLS} devices")
        return pool, inode, offset // PAGE_SIZE, order


def _spread(rows: Array, counts: Array) -> Array:
    total = int(counts.sum())
    pages = empty(total)
    begins = np.repeat(np.cumsum(counts) - counts, counts)
    for name in ("time_ns", "object", "pool", "op"):
        pages[name] = np.repeat(rows[name], counts)
    pages["index"] = np.repeat(rows["index"], counts) + np.arange(total) - begins
    return pages
