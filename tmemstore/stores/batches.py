"""The verbs over many pages: arrays of the caller are checked, and lent to the core where they lie.

Imported with the first batch, since numpy is: a program that never uses one does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tmemstore._binding import check, ffi, lib
from tmemstore.stores import waiting
from tmemstore.stores.buffers import INDEX_MAX, OBJECT_MAX
from tmemstore.stores.waiting import PERSISTENT
from tmemstore.units import PAGE_SIZE

if TYPE_CHECKING:
    from tmemstore.stores.tmem import TmemStore

Keys = npt.NDArray[np.uint64]
Pages = npt.NDArray[np.uint8]
Results = npt.NDArray[np.bool_]

# Looked up once, and compared by identity: what differs takes the long way, which says what is wrong.
_U64: Final = np.dtype(np.uint64)
_U8: Final = np.dtype(np.uint8)
_WORDS: Final = ffi.typeof("uint64_t[]")
_BYTES: Final = ffi.typeof("uint8_t[]")
_BOOLS: Final = ffi.typeof("bool[]")
_CODES: Final = ffi.typeof("int32_t[]")
_NULL: Final = ffi.NULL

_lend: Final = ffi.from_buffer
"""An array's memory as a pointer of the core, which keeps the array alive."""


def put_many(store: TmemStore, pool: int, keys: tuple[Any, Any], pages: Any, flags: int) -> Results:
    """`TmemStore.put_many`, with the core's flags."""
    objects, indexes, n = _keys(*keys)
    pages = page_array("pages", pages, n)
    results = np.zeros(n, bool)
    lent = (_lend(_WORDS, objects), _lend(_WORDS, indexes))
    stored = _lend(_BOOLS, results)
    _check(lib.tms_put_many(store.handle, pool, n, *lent, flags, _lend(_BYTES, pages), stored), indexes)
    if store.write_through and pool & PERSISTENT:
        waiting.write_through(store.handle, pool, n, lent, stored)
    return results


def get_many(store: TmemStore, pool: int, keys: tuple[Any, Any], out: Any) -> Results:
    """`TmemStore.get_many`."""
    objects, indexes, n = _keys(*keys)
    out = page_array("out", out, n, writable=True)
    results = np.zeros(n, bool)
    wanted = (pool, n, _lend(_WORDS, objects), _lend(_WORDS, indexes), _lend(_BYTES, out), _lend(_BOOLS, results))
    if not pool & PERSISTENT:  # which no device has
        _check(lib.tms_get_many(store.handle, *wanted, _NULL, _NULL), indexes)
        return results
    errors = np.zeros(n, np.int32)
    lent = _lend(_CODES, errors)
    code = waiting.wait(store.handle, lambda handle, wait: lib.tms_get_many(handle, *wanted, lent, wait))
    if code < 0:
        _check(code, indexes, f"{np.count_nonzero(errors)} of {n} pages")
    return results


def where_many(store: TmemStore, pool: int, keys: tuple[Any, Any]) -> npt.NDArray[np.uint8]:
    """`TmemStore.where_many`."""
    objects, indexes, n = _keys(*keys)
    places = np.zeros(n, np.uint8)
    lent = (_lend(_WORDS, objects), _lend(_WORDS, indexes))
    _check(lib.tms_where_many(store.handle, pool, n, *lent, _lend(_BYTES, places)), indexes)
    return places


def key_array(name: str, keys: Any, largest: int = OBJECT_MAX) -> Keys:
    """Keys as contiguous, aligned uint64[n]. `TypeError` for a non-integer type, `ValueError` for shape or range."""
    array = None
    if type(keys) is np.ndarray and keys.dtype is _U64 and keys.ndim == 1:
        flags = keys.flags
        array = keys if flags.c_contiguous and flags.aligned else None
    if array is None:
        array = _checked_keys(name, keys)
    if largest < OBJECT_MAX and array.size and int(array.max()) > largest:
        raise ValueError(f"{name} must be from 0 to {largest}")
    return array


def page_array(name: str, pages: Any, n: int, *, writable: bool = False) -> Pages:
    """Pages as uint8[n, 4096], never copied. `TypeError` for another type or read-only, `ValueError` for a shape."""
    if not isinstance(pages, np.ndarray) or (pages.dtype is not _U8 and pages.dtype != _U8):
        got = pages.dtype if isinstance(pages, np.ndarray) else type(pages).__name__
        raise TypeError(f"{name} must be a numpy array uint8[n, {PAGE_SIZE}], not {got}")
    if pages.shape != (n, PAGE_SIZE):
        raise ValueError(f"{name} must have the shape ({n}, {PAGE_SIZE}), not {pages.shape}")
    flags = pages.flags
    if not flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous; pass numpy.ascontiguousarray of it")
    if writable and not flags.writeable:
        raise TypeError(f"{name} is read-only; pass a writable array")
    return pages


def _keys(objects: Any, indexes: Any) -> tuple[Keys, Keys, int]:
    objects = key_array("objects", objects)
    indexes = key_array("indexes", indexes)
    n = len(objects)
    if len(indexes) != n:
        raise ValueError(f"indexes has {len(indexes)} elements where {n} are needed")
    return objects, indexes, n


def _checked_keys(name: str, keys: Any) -> Keys:
    array = np.asarray(keys)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, uint64[n], not of shape {array.shape}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be integers, uint64[n], not {array.dtype}")
    if array.dtype.kind == "i" and array.size and int(array.min()) < 0:
        raise ValueError(f"{name} must not be negative")
    return np.require(array, np.uint64, ("C_CONTIGUOUS", "ALIGNED", "ENSUREARRAY"))


def _check(code: int, indexes: Keys, what: str = "") -> None:
    if code == lib.TMS_E_INVALID:  # the core looked at them in passing
        key_array("indexes", indexes, INDEX_MAX)
    if code < 0:
        check(code, what)
