"""Columns of text fields as numbers: all at once where they are good, with a sentence where one is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from tmemstore.trace.columns import Array
from tmemstore.trace.readers.base import FieldError
from tmemstore.trace.readers.column_map import UNITS_NS

U64_END: Final = 1 << 64
DIGITS_MOST: Final = 40

_DECIMAL = re.compile(rb"([0-9]{1,20})(?:\.([0-9]{0,30}))?")


def split(lines: Sequence[bytes], delimiter: bytes | None, least: int, most: int | None = None) -> list[list[bytes]]:
    """The fields of each line, `least` to `most` of them; a delimiter of None is any run of blanks. `FieldError`."""
    rows = [line.split(delimiter) for line in lines]
    counts = set(map(len, rows))
    if min(counts) < least or (most is not None and max(counts) > most):
        wanted = f"{least} fields" if most == least else f"at least {least} fields"
        wrong = next(count for count in map(len, rows) if count < least or (most is not None and count > most))
        raise FieldError(f"the line has {wrong} where {wanted} are wanted")
    return rows


def column(rows: Sequence[Sequence[bytes]], number: int) -> list[bytes]:
    """One field of each row, without the blanks around it; the first is 0."""
    return [row[number].strip() for row in rows]


def whole(fields: Sequence[bytes], name: str, end: int = U64_END) -> Array:
    """Whole numbers below `end`, as uint64. Raises `FieldError` that calls them by `name`."""
    joined = b"".join(fields)
    if not joined.isdigit() or b"" in fields:
        wrong = next(field for field in fields if not field.isdigit())
        raise FieldError(f"{name} {shown(wrong)} is no whole number")
    try:
        values = np.fromiter(map(int, fields), np.uint64, len(fields))
    except (OverflowError, ValueError):  # the latter beyond 4300 digits
        wrong = next(field for field in fields if len(field) > DIGITS_MOST or int(field) >= U64_END)
        raise FieldError(f"{name} {shown(wrong)} is beyond 64 bits") from None
    if end < U64_END and len(values) and int(values.max()) >= end:
        raise FieldError(f"{name} {values.max()} is out of range; it must be below {end}")
    return values


def times_ns(fields: Sequence[bytes], unit: str) -> Array:
    """Times in ns of decimal numbers in a unit of `UNITS_NS`, exact, what is below a ns left off. `FieldError`."""
    scale = UNITS_NS[unit]
    if scale == 1 or (b"".join(fields).isdigit() and b"" not in fields):
        values = whole(fields, "time", U64_END if scale == 1 else U64_END // scale)
        return values * np.uint64(scale)
    return np.fromiter((_time_ns(field, scale) for field in fields), np.uint64, len(fields))


def _time_ns(field: bytes, scale: int) -> int:
    match = _DECIMAL.fullmatch(field)
    if match is None:
        raise FieldError(f"time {shown(field)} is no number such as 12.345")
    before, behind = match.groups()
    fraction = int((behind or b"").ljust(9, b"0")[:9])
    time_ns = int(before) * scale + fraction * scale // 10**9
    if time_ns >= U64_END:
        raise FieldError(f"time {shown(field)} is beyond 2^64 ns")
    return time_ns


def shown(field: bytes) -> str:
    """A field as a message quotes it: short, printable."""
    text = ascii(field.decode("utf-8", "replace"))
    return text if len(text) <= DIGITS_MOST else f"{text[:DIGITS_MOST]}...'"
