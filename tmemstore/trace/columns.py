"""Events as the bytes of one block of a trace file, column by column, and back.

    block, as a zstd frame with a content checksum:

    widths u8[8]     bytes a value of each column, in the order of COLUMNS; the eighth is 0
    bases  u64[7]    of each column: its first value
    columns          of each column with a width above 0: n values of so many bytes

A column of width 0 holds its base n times. Times, objects and indexes are stored as what they differ by from the one
before, the first as 0: times without a sign, since they never fall, the others with one. Narrow columns are what makes
reading fast: a tenth of the bytes passes through zstd, and half of it through the running sums.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
import zstandard

from tmemstore.trace.events import RECORD, Flag, Op

BLOCK_EVENTS: Final = 65536
COLUMNS: Final = ("time_ns", "object", "index", "pool", "size", "op", "flags")
SIZE_MAX_BYTES: Final = 4096

_DELTAS: Final = {"time_ns": "u", "object": "i", "index": "i"}
_HEAD: Final = struct.Struct("<8B7Q")
_FULL_WIDTH: Final = {name: RECORD[name].itemsize for name in COLUMNS}
# An index is 32 bits: what two of them differ by takes 33.
_WIDEST: Final = _FULL_WIDTH | {"index": 8}
_MOST_BYTES: Final = _HEAD.size + BLOCK_EVENTS * sum(_WIDEST.values())
_FLAGS: Final = int(sum(Flag))
_LEVEL: Final = 3

Array = np.ndarray[Any, np.dtype[Any]]


class BlockError(Exception):
    """A block that does not hold what it says; the message ends the sentence of a TraceError."""


def empty(events: int) -> Array:
    """So many records, all zero, the unused bytes too."""
    return np.zeros(events, RECORD)


def first_wrong(records: Array) -> tuple[int, str] | None:
    """The first record that no trace may hold, from 0, and what is wrong with it; None for good ones."""
    op, size = records["op"], records["size"]
    of_swap = (op >= Op.STORE) & (op <= Op.INVALIDATE_AREA)
    found = [
        _first(op >= len(Op), lambda at: f"{op[at]} is no operation; there are 0 to {len(Op) - 1}"),
        _first(size > SIZE_MAX_BYTES, lambda at: f"a compressed size of {size[at]} bytes is above {SIZE_MAX_BYTES}"),
        _first(records["flags"] > _FLAGS, lambda at: f"{records['flags'][at]} holds an unknown flag"),
        _first(of_swap & (records["object"] != 0), lambda _: "a page of a frontswap has no object; it must be 0"),
        _first((op == Op.ALLOC) & (records["object"] == 0), lambda _: "an allocation of 0 bytes"),
    ]
    times = records["time_ns"]
    back = times[1:] < times[:-1]
    found.append(_first(back, lambda _: "the time runs backwards", 1))
    return min((wrong for wrong in found if wrong is not None), default=None)


def _first(wrong: Array, say: Any, shift: int = 0) -> tuple[int, str] | None:
    if not wrong.any():
        return None
    at = int(wrong.argmax()) + shift
    return at, say(at)


class Packer:
    """Turns records into the frame of a block."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)

    def pack(self, records: Array) -> bytes:
        """The frame of 1 to 65536 records that `first_wrong` finds nothing in."""
        widths, bases, parts = [], [], []
        for name in COLUMNS:
            column = np.ascontiguousarray(records[name])
            bases.append(int(column[0]))
            narrow = _narrowed(name, column)
            widths.append(0 if narrow is None else narrow.itemsize)
            if narrow is not None:
                parts.append(narrow.tobytes())
        return self._zstd.compress(b"".join((_HEAD.pack(*widths, 0, *bases), *parts)))


def _narrowed(name: str, column: Array) -> Array | None:
    if (column == column[0]).all():
        return None
    sign = _DELTAS.get(name)
    if sign is None:
        return column if column.max() > 255 else column.astype("<u1")  # noqa: PLR2004 - the most a byte holds
    wide = column.astype("<u8")
    delta = np.zeros(len(column), "<u8")
    np.subtract(wide[1:], wide[:-1], out=delta[1:])  # wraps at 2^64, and so does the sum that undoes it
    signed = delta.view(f"<{sign}8")
    least, most = signed.min(), signed.max()
    for width in (1, 2, 4):
        limits = np.iinfo(f"{sign}{width}")
        if limits.min <= least and most <= limits.max:
            return signed.astype(f"<{sign}{width}")
    return signed


class Unpacker:
    """Turns the frame of a block into records. What it is given may be damaged in any way."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor()

    def unpack(self, frame: bytes, events: int) -> Array:
        """The records, 1 to 65536. Raises `BlockError`."""
        content = self._content(frame)
        if len(content) < _HEAD.size:
            raise BlockError("the block is damaged: it ends within its head")
        head = _HEAD.unpack_from(content)
        widths, bases = head[:7], head[8:]
        if head[7] or any(not _fits(name, width) for name, width in zip(COLUMNS, widths, strict=True)):
            raise BlockError("the block is damaged: a column has a width that it cannot have")
        if len(content) != _HEAD.size + events * sum(widths):
            raise BlockError(f"the block is damaged: its columns do not hold {events} events")
        records = empty(events)
        at = _HEAD.size
        for name, width, base in zip(COLUMNS, widths, bases, strict=True):
            if base >> 8 * _FULL_WIDTH[name]:
                raise BlockError(f"the block is damaged: {base} is beyond the range of {name}")
            sign = _DELTAS.get(name, "u")
            column = np.frombuffer(content, f"<{sign}{width}", events, at) if width else None
            at += events * width
            records[name] = _values(name, base, column)
        return records

    def _content(self, frame: bytes) -> bytes:
        try:
            parameters = zstandard.get_frame_parameters(frame)
            if not 0 <= parameters.content_size <= _MOST_BYTES or not parameters.has_checksum:
                raise BlockError("the block is damaged: it is no frame that tmemstore writes")
            return self._zstd.decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise BlockError(f"the block is damaged ({error})") from error


def _fits(name: str, width: int) -> bool:
    return width in {0, 1, 2, 4, 8} and width <= _WIDEST[name]


def _values(name: str, base: int, column: Array | None) -> Array | int:
    if column is None:
        return base
    if name not in _DELTAS:
        return column
    sums = np.cumsum(column, dtype="<u8" if name == "time_ns" else "<i8").view("<u8")
    sums += np.uint64(base)
    if name == "index" and sums.max() >> np.uint64(32):
        raise BlockError("the block is damaged: an index is beyond 32 bits")
    return sums
