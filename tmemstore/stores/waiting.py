"""Calls of the core that wait for a device, a slice at a time: Ctrl-C is answered in between."""

from __future__ import annotations

from typing import Any, Final

from tmemstore._binding import check, ffi, lib

SLICE_NS: Final = 50_000_000
"""Longest stay in the core."""

PERSISTENT: Final = 1 << lib.TMS_POOL_ID_PERSISTENT_BIT
"""Of the id of a pool whose pages a device may have."""


def wait(handle: Any, call: Any, cancel: Any = lib.tms_wait_cancel) -> int:
    """What `call(handle, wait)` answers in the end. Whatever ends it before, `cancel` takes back what it had begun."""
    raw = ffi.new("struct tms_wait *")
    raw.slice_ns = SLICE_NS
    try:
        while (code := call(handle, raw)) == lib.TMS_WAITING:
            pass
    finally:
        cancel(handle, raw)
    return int(code)


def write_through(handle: Any, pool: int, count: int, keys: tuple[Any, Any], results: Any) -> None:
    """Waits until each page that was stored has its copy; one whose write failed is rejected after all."""
    code = wait(
        handle,
        lambda store, raw: lib.tms_write_through(store, pool, count, *keys, results, raw),
        lib.tms_write_through_cancel,
    )
    check(code, "write-through: the pages are stored, their copies are not complete")


def write_one_through(handle: Any, pool: int, number: int, index: int) -> bool:
    """The same for one page that was stored: whether it still is."""
    results = ffi.new("bool[1]", [True])
    write_through(handle, pool, 1, (ffi.new("uint64_t[1]", [number]), ffi.new("uint64_t[1]", [index])), results)
    return bool(results[0])
