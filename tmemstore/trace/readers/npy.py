"""The head of an array that `numpy.save` wrote: its type and shape, without evaluating anything."""

from __future__ import annotations

import re
import struct
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

MAGIC: Final = b"\x93NUMPY"
HEAD_MOST_BYTES: Final = 1 << 14

_TEXT = re.compile(
    rb"\{'descr': '([<>|=][biuf][0-9]{1,2})', 'fortran_order': (False|True), 'shape': \(([0-9, ]{0,200})\),? *\} *\n"
)
_LENGTHS: Final = {1: struct.Struct("<H"), 2: struct.Struct("<I")}


class NpyError(Exception):
    """No array of `numpy.save`, or one of a type that no trace has."""


class Source(Protocol):
    """Whatever gives the next bytes."""

    def read(self, count: int, /) -> bytes:
        """The next `count` bytes, fewer at the end."""
        ...


class Head(NamedTuple):
    """Type and shape of an array, and how many bytes its head took."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    head_bytes: int

    @property
    def array_bytes(self) -> int:
        """Bytes of the array behind the head."""
        count = 1
        for length in self.shape:
            count *= length
        return count * self.dtype.itemsize


def read_head(source: Source) -> Head:
    """Takes the head of an array; the array follows. Raises `NpyError`."""
    start = source.read(8)
    if start[:6] != MAGIC or start[6:7] not in {b"\1", b"\2"}:
        raise NpyError("no array of numpy begins here")
    length = _LENGTHS[start[6]]
    field = source.read(length.size)
    text_bytes = length.unpack(field)[0] if len(field) == length.size else 0
    text = source.read(text_bytes) if text_bytes <= HEAD_MOST_BYTES else b""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise NpyError("the array's head is damaged, or its type is none that a trace has")
    try:
        shape = tuple(int(part) for part in match[3].split(b",") if part.strip())
        dtype = np.dtype(match[1].decode())
    except (ValueError, TypeError) as error:
        raise NpyError(f"the array's head is damaged ({error})") from error
    if match[2] == b"True" and len(shape) > 1:
        raise NpyError("the array lies in Fortran order; save it in C order")
    return Head(dtype, shape, 8 + length.size + text_bytes)
