"""Checking what the caller hands over, before the core sees it."""

from __future__ import annotations

import operator
from typing import Any, Final

from tmemstore._binding import ffi, lib
from tmemstore.units import PAGE_SIZE

_BYTES: Final = ffi.typeof("char[]")
INDEX_MAX: Final = 2**32 - 1
OBJECT_MAX: Final = 2**64 - 1


class PageBuffer:
    """A page that is used again and again, in place of a buffer: what put and get check each time is checked once.

    `buffer`: 4096 contiguous bytes (`ValueError`, `TypeError`), which stay exported as long as this object lives (a
    bytearray cannot be resized meanwhile); None: a page of zeros of its own. `buffer` again gives it back. One that is
    read-only can be put and not be got into.
    """

    __slots__ = ("buffer", "pointer", "target")

    def __init__(self, buffer: Any = None) -> None:
        self.buffer = bytearray(PAGE_SIZE) if buffer is None else buffer
        self.pointer = readable_page(self.buffer)
        try:
            self.target: Any = writable_page(self.buffer)
        except TypeError:
            self.target = None


def readable_page(page: Any) -> Any:
    """The core's view of a page. `ValueError` unless it has 4096 contiguous bytes, `TypeError` if it is no buffer."""
    if type(page) is PageBuffer:
        return page.pointer
    try:
        buffer = ffi.from_buffer(page)
    except (BufferError, ValueError):
        raise ValueError("a page must be C-contiguous; pass a copy") from None
    except TypeError:
        raise TypeError(f"a page must be a buffer of {PAGE_SIZE} bytes, not {type(page).__name__}") from None
    if len(buffer) != PAGE_SIZE:
        raise ValueError(f"a page has {PAGE_SIZE} bytes, not {len(buffer)}")
    return buffer


def writable_page(out: Any) -> Any:
    """Like `readable_page`, for a buffer that is written to; `TypeError` if it is read-only."""
    if type(out) is PageBuffer:
        if out.target is None:
            raise TypeError("the output is read-only; make the PageBuffer of a bytearray or a writable array")
        return out.target
    try:
        buffer = ffi.from_buffer(_BYTES, out, True)  # noqa: FBT003 - writable; by name it takes twice as long
    except (BufferError, ValueError) as error:
        if "contiguous" in str(error):
            raise ValueError("the output must be C-contiguous") from None
        raise TypeError("the output is read-only; pass a bytearray or a writable array") from None
    except TypeError:
        raise TypeError(
            f"the output must be a writable buffer of {PAGE_SIZE} bytes, not {type(out).__name__}"
        ) from None
    if len(buffer) != PAGE_SIZE:
        raise ValueError(f"the output must have {PAGE_SIZE} bytes, not {len(buffer)}")
    return buffer


def integer(name: str, value: Any, largest: int) -> int:
    """The value as an int from 0 to `largest`. `TypeError` for another type (a bool is no key), else `ValueError`."""
    if type(value) is int and 0 <= value <= largest:
        return value
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if not 0 <= number <= largest:
        raise ValueError(f"{name} must be from 0 to {largest}, not {number}")
    return number


def uuid(uuid: bytes | None) -> Any:
    """The core's view of a uuid of 16 bytes; None is none. `TypeError`, `ValueError` for anything else."""
    if uuid is None:
        return ffi.NULL
    if not isinstance(uuid, bytes | bytearray):
        raise TypeError(f"a uuid must be 16 bytes (uuid.uuid4().bytes), not {type(uuid).__name__}")
    if len(uuid) != lib.TMS_UUID_SIZE:
        raise ValueError(f"a uuid has {lib.TMS_UUID_SIZE} bytes, not {len(uuid)}")
    return ffi.new("uint8_t[]", bytes(uuid))
