"""Sizes and times as people write them: "64MiB", "50ms"; and back."""

from __future__ import annotations

import operator
import re
from typing import Final

PAGE_SIZE: Final = 4096
CHUNK_BYTES: Final = 2 << 20

_SIZE_UNITS: Final = {
    "": 1,
    "B": 1,
    "K": 1 << 10,
    "KIB": 1 << 10,
    "M": 1 << 20,
    "MIB": 1 << 20,
    "G": 1 << 30,
    "GIB": 1 << 30,
}
_TIME_UNITS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_NUMBER = re.compile(r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]*)\s*")


def _whole(value: object, what: str) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{what} must be a number or a string such as {_EXAMPLES[what]}, not a bool")
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"{what} must be a whole number or a string such as {_EXAMPLES[what]}, not {type(value).__name__}"
        ) from None


_EXAMPLES: Final = {"size": '"64MiB"', "time": '"50ms"'}


def parse_size(size: int | str) -> int:
    """Bytes of a size: an int of bytes, or "4096", "64K", "64KiB", "1.5GiB". K, M, G are powers of 1024.

    Raises `ValueError` for a string that is no size ("64MB" is refused: write "64MiB"), `TypeError` for other types.
    """
    if not isinstance(size, str):
        return _whole(size, "size")
    match = _NUMBER.fullmatch(size)
    if match is None:
        raise ValueError(f'{size!r} is no size; write for example "64MiB"')
    number, unit = match.groups()
    if unit.upper() in {"KB", "MB", "GB"}:
        raise ValueError(
            f'{size!r}: {unit} may mean two things; write "{number}{unit[0].upper()}iB" for powers of 1024'
        )
    if unit.upper() not in _SIZE_UNITS:
        raise ValueError(f"{size!r}: unknown unit {unit!r}; use K, M, G or KiB, MiB, GiB")
    exact = float(number) * _SIZE_UNITS[unit.upper()] if "." in number else int(number) * _SIZE_UNITS[unit.upper()]
    if exact != int(exact):
        raise ValueError(f"{size!r} is no whole number of bytes")
    return int(exact)


def parse_pages(size: int | str, what: str = "size") -> int:
    """Pages of a size that must be a positive multiple of 4096 bytes; else `ValueError`."""
    size_bytes = parse_size(size)
    if size_bytes <= 0:
        raise ValueError(f"{what} must be positive, not {size_bytes}")
    if size_bytes % PAGE_SIZE:
        raise ValueError(f"{what} must be a multiple of the page size, {PAGE_SIZE} bytes; {size_bytes} is not")
    return size_bytes // PAGE_SIZE


def parse_time_ns(time: int | str) -> int:
    """Nanoseconds of a time: an int of ns, or "50ms", "1.5s", "100us", "5ns". Raises like `parse_size`."""
    if not isinstance(time, str):
        return _whole(time, "time")
    match = _NUMBER.fullmatch(time)
    if match is None or match[2] not in _TIME_UNITS:
        raise ValueError(f'{time!r} is no time; write a number and ns, us, ms or s, for example "50ms"')
    return round(float(match[1]) * _TIME_UNITS[match[2]])


def format_size(size_bytes: int) -> str:
    """The shortest exact form: "64MiB", "4KiB", "513B"."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= factor and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes}B"


def format_time_ns(time_ns: float) -> str:
    """Three significant digits with a unit: "12.3 ms", "870 ns"."""
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(time_ns) >= factor:
            return (
                f"{time_ns / factor:.3g} {unit}" if abs(time_ns) < 1000 * factor else f"{time_ns / factor:.0f} {unit}"
            )
    return f"{time_ns:.0f} ns"
