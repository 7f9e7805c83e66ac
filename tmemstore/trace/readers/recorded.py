"""Recorded page-cache and swap events, *.tr: six arrays of numpy, one behind the other.

time differences in bytes apart (u8[1, 2, 4 or 8, n]), op u8, flag u8, pool u16, differences of objects and of indexes
in bytes apart. The columns of an event lie far from each other, so the content goes to a temporary file first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar, Final, NamedTuple

import numpy as np

from tmemstore.trace.columns import Array, empty
from tmemstore.trace.events import Flag, Op
from tmemstore.trace.readers.base import Input
from tmemstore.trace.readers.npy import Head, NpyError, read_head

SWAP_POOLS: Final = 1000
"""A pool from here on is swap area pool - 1000."""
WHOLE_OBJECT: Final = 0xFFFFFFFF

_BLOCK: Final = 65536
_COPY_BYTES: Final = 1 << 20
_PUT, _GET, _INVALIDATE, _STORE, _LOAD, _FREE = range(6)
_OPS: Final = np.array([Op.PUT_PAGE, Op.GET_PAGE, Op.INVALIDATE_PAGE, Op.STORE, Op.LOAD, Op.INVALIDATE_SWAP], "u1")
# Name, bytes of an element, whether its bytes lie apart.
_COLUMNS: Final = (
    ("time differences", 8, True),
    ("op", 1, False),
    ("flag", 1, False),
    ("pool", 2, False),
    ("object", 4, True),
    ("index", 4, True),
)


class _Column(NamedTuple):
    begin: int
    head: Head
    apart: bool

    @property
    def elements(self) -> int:
        return self.head.shape[-1]

    def read(self, file: BinaryIO, at: int, count: int) -> Array:
        """Elements `[at, at + count)`, unsigned."""
        if not self.apart:
            file.seek(self.begin + at * self.head.dtype.itemsize)
            return np.frombuffer(file.read(count * self.head.dtype.itemsize), self.head.dtype)
        planes = np.empty((count, self.head.shape[0]), "u1")
        for plane in range(self.head.shape[0]):
            file.seek(self.begin + plane * self.elements + at)
            planes[:, plane] = np.frombuffer(file.read(count), "u1")
        return planes.view(f"<u{self.head.shape[0]}").ravel()


@dataclass(slots=True)
class _Sums:
    """What the differences add up to so far; objects and indexes wrap at 2^32."""

    time_ns: int = 0
    object: int = 0
    index: int = 0

    def add(self, step: Array, moved: Array, skipped: Array) -> tuple[Array, Array, Array]:
        times = np.cumsum(step, dtype=np.uint64) + np.uint64(self.time_ns)
        objects = np.cumsum(moved, dtype=np.uint32) + np.uint32(self.object)
        indexes = np.cumsum(skipped, dtype=np.uint32) + np.uint32(self.index)
        self.time_ns, self.object, self.index = int(times[-1]), int(objects[-1]), int(indexes[-1])
        return times, objects, indexes


class _Rows(NamedTuple):
    time_ns: Array
    object: Array
    page: Array
    op: Array
    flag: Array
    pool: Array

    def events(self) -> Array:
        records = empty(len(self.op))
        of_swap = self.op >= _STORE
        whole = (self.op == _INVALIDATE) & (self.page == WHOLE_OBJECT)
        records["time_ns"], records["object"] = self.time_ns, self.object
        records["index"] = np.where(whole, 0, self.page)
        records["pool"] = np.where(of_swap, self.pool - SWAP_POOLS, self.pool)
        records["op"] = np.where(whole, Op.INVALIDATE_INODE, _OPS[self.op])
        records["flags"] = np.where((self.op == _STORE) & (self.flag == 1), Flag.FILLED, 0)
        return records


class RecordedInput(Input):
    """put_clean, get_clean, invalidate_clean, store_swap, load_swap, invalidate_swap, as a kernel did them."""

    kind: ClassVar[str] = "recorded"
    requests = False
    note = "page-cache and swap events of a kernel; a flag of 1 is a zero page, of a store only"

    def blocks(self) -> Iterator[Array]:
        """As `Input.blocks`; times count from the start of the recording."""
        with tempfile.TemporaryFile() as file:
            while data := self.stream.read(_COPY_BYTES):
                file.write(data)
            columns = self._columns(file)
            sums = _Sums()
            for at in range(0, columns[0].elements, _BLOCK):
                count = min(_BLOCK, columns[0].elements - at)
                step, op, flag, pool, moved, skipped = (column.read(file, at, count) for column in columns)
                before = sums.time_ns
                rows = _Rows(*sums.add(step, moved, skipped), op, flag, pool)
                self._check(rows, before, at)
                yield rows.events()

    def _columns(self, file: BinaryIO) -> list[_Column]:
        size = file.seek(0, 2)
        file.seek(0)
        columns: list[_Column] = []
        for name, width, apart in _COLUMNS:
            begin = file.tell()
            try:
                head = read_head(file)
            except NpyError as error:
                raise self.fault(f"the column {name}: {error}", offset=begin) from error
            fitting = (
                head.dtype == np.uint8 and len(head.shape) == 2 and head.shape[0] in {1, 2, 4, 8}  # noqa: PLR2004 - planes, elements
                if apart
                else head.dtype == np.dtype(f"<u{width}") and len(head.shape) == 1
            )
            if not fitting or (apart and head.shape[0] > width) or (columns and head.shape[-1] != columns[0].elements):
                raise self.fault(
                    f"the column {name} is {head.dtype}{list(head.shape)}, which it cannot be", offset=begin
                )
            columns.append(_Column(begin + head.head_bytes, head, apart))
            end = columns[-1].begin + head.array_bytes
            if end > size:
                raise self.fault(f"the file is truncated in the column {name}", offset=size)
            file.seek(end)
        if file.tell() != size:
            raise self.fault("something follows the last column", offset=file.tell())
        return columns

    def _check(self, rows: _Rows, before_ns: int, at: int) -> None:
        of_swap = rows.op >= _STORE
        back = np.diff(rows.time_ns, prepend=np.uint64(before_ns)).view("<i8") < 0
        for wrong, what in (
            (rows.op > _FREE, "the operation is unknown"),
            (of_swap & (rows.pool < SWAP_POOLS), f"a swap area has a number below {SWAP_POOLS}"),
            (~of_swap & (rows.pool >= SWAP_POOLS), f"a file system has a number from {SWAP_POOLS} on"),
            (of_swap & (rows.object != 0), "a page of a swap area has an object"),
            ((rows.op == _STORE) & (rows.flag > 1), "the flag of a store is unknown"),
            (back, "the time runs backwards"),
        ):
            if wrong.any():
                raise self.fault(what, record=at + int(wrong.argmax()) + 1)
