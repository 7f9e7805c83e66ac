"""Events of a trace: the core's struct as a numpy record, its operations and flags."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

import numpy as np

from tmemstore._binding import ffi, lib, text


class Op(IntEnum):
    """What happened: `enum tms_event_op`. To a cleancache, to a frontswap, to the area."""

    PUT_PAGE = lib.TMS_EVENT_PUT_PAGE
    GET_PAGE = lib.TMS_EVENT_GET_PAGE
    INVALIDATE_PAGE = lib.TMS_EVENT_INVALIDATE_PAGE
    INVALIDATE_INODE = lib.TMS_EVENT_INVALIDATE_INODE
    INVALIDATE_FS = lib.TMS_EVENT_INVALIDATE_FS
    STORE = lib.TMS_EVENT_STORE
    LOAD = lib.TMS_EVENT_LOAD
    INVALIDATE_SWAP = lib.TMS_EVENT_INVALIDATE_SWAP
    INVALIDATE_AREA = lib.TMS_EVENT_INVALIDATE_AREA
    ALLOC = lib.TMS_EVENT_ALLOC
    RELEASE = lib.TMS_EVENT_RELEASE


class Flag(IntFlag):
    """Of a page: `enum tms_event_flag`."""

    FILLED = lib.TMS_EVENT_FILLED
    ACTIVE = lib.TMS_EVENT_ACTIVE


NAMES: Final = tuple(text(lib.tms_event_name(op)) for op in range(lib.TMS_EVENT_OPS))
"""Of the operations, as they stand in tables and text traces."""


def _record() -> np.dtype[np.void]:
    fields = [(name, field) for name, field in ffi.typeof("struct tms_event").fields if name != "unused"]
    return np.dtype(
        {
            "names": [name for name, _ in fields],
            "formats": [f"<u{ffi.sizeof(field.type)}" for _, field in fields],
            "offsets": [field.offset for _, field in fields],
            "itemsize": ffi.sizeof("struct tms_event"),
        }
    )


RECORD: Final = _record()
"""`struct tms_event`: time_ns u8, object u8, index u4, pool u2, size u2, op u1, flags u1; 32 bytes, the rest is zero.

`time_ns` counts from the start of the trace and never runs backwards. `size`: of a store, compressed bytes up to 4096
(does not compress), 0: not known. Of ALLOC `object` is bytes and `index` the number that its RELEASE names. Of a
frontswap `object` is 0. A `pool` is a file system for a cleancache operation, a swap area for one of a frontswap.
"""
