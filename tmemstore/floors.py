"""What this machine can do at best for the jobs of a put and a get: the figures a benchmark compares with.

Everything runs in the core with the GIL released, over many pages a call. Nothing of the store is involved, but in
`SinglePages`, which is what a caller in C pays for calls of one page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tmemstore._binding import check, ffi, lib, text
from tmemstore.codecs import fill_codec
from tmemstore.units import PAGE_SIZE

Pages = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint32]
Keys = npt.NDArray[np.uint64]

_RECORD_WORDS: Final = 4
_HOWS: Final = {"plain": lib.TMS_COPY_PLAIN, "nontemporal": lib.TMS_COPY_NONTEMPORAL}


def nontemporal_variant() -> str:
    """Which copy past the cache this CPU has: "avx512-nt", "avx2-nt", "sse2-nt", "neon-nt", or "plain" for none."""
    return text(lib.tms_copy_best_variant())


def copy_pages(to: Pages, to_pages: Numbers, source: Pages, source_pages: Numbers, *, how: str = "plain") -> None:
    """Copies page `source_pages[i]` of `source` to page `to_pages[i]` of `to`, uint8[n, 4096] both, one by one.

    `how`: "plain" or "nontemporal", past the cache where the CPU can. `ValueError` for another, for numbers beyond the
    arrays or of different lengths, and past the cache for a
    target that does not begin at a page.
    """
    if how not in _HOWS:
        raise ValueError(f"unknown copy {how!r}; choose one of {', '.join(_HOWS)}")
    for name, numbers, pages in (("to_pages", to_pages, to), ("source_pages", source_pages, source)):
        _contiguous(name, numbers, np.uint32)
        _contiguous(name.removesuffix("_pages"), pages, np.uint8)
        if pages.shape[1:] != (PAGE_SIZE,):
            raise ValueError(f"pages are uint8[n, {PAGE_SIZE}], not of shape {pages.shape}")
        if len(numbers) and int(numbers.max()) >= len(pages):
            raise ValueError(f"{name} names page {int(numbers.max())} of {len(pages)}")
    if len(to_pages) != len(source_pages):
        raise ValueError(f"{len(to_pages)} pages to copy to and {len(source_pages)} to copy from")
    if how != "plain" and to.ctypes.data % PAGE_SIZE:
        raise ValueError("past the cache the target must begin at a page; take the view of a contiguous range")
    numbers_of = (ffi.from_buffer("uint32_t[]", to_pages), ffi.from_buffer("uint32_t[]", source_pages))
    target, origin = ffi.from_buffer("uint8_t[]", to), ffi.from_buffer("uint8_t[]", source)
    lib.tms_floor_copy(_HOWS[how], target, numbers_of[0], origin, numbers_of[1], len(to_pages))


class LookupTable:
    """Keys in a hash table at half its capacity or less: 64 to 128 bytes a key, as many as an index of pages has.

    `keys`: uint64[n], none of them 0, no two the same (`ValueError` for a 0).
    """

    def __init__(self, keys: npt.NDArray[np.uint64]) -> None:
        _contiguous("keys", keys, np.uint64)
        if len(keys) and not keys.all():
            raise ValueError("0 is no key of a look-up table")
        self._slots = 1 << max(1, (2 * len(keys) - 1).bit_length())
        self._table = np.zeros((self._slots, _RECORD_WORDS), np.uint64)
        self._present = keys
        lib.tms_floor_table_add(self._words(), self._slots, ffi.from_buffer("uint64_t[]", keys), len(keys))

    def find(self, numbers: npt.NDArray[np.int64]) -> int:
        """Looks up the keys of these places in `keys`, each once the one before is found; the sum of the places."""
        keys = np.ascontiguousarray(self._present[numbers])
        return int(lib.tms_floor_lookup(self._words(), self._slots, ffi.from_buffer("uint64_t[]", keys), len(keys)))

    def _words(self) -> Any:
        return ffi.from_buffer("uint64_t[]", self._table)


@dataclass(frozen=True, slots=True)
class SinglePages:
    """Calls of one page after another, in C.

    `handle`: a store's; keys: uint64[n]; `page`: the one buffer of all, uint8[4096]. `ValueError` for other arrays.
    """

    handle: Any
    pool: int
    objects: Keys
    indexes: Keys
    page: npt.NDArray[np.uint8]

    def put(self) -> int:
        """Puts the page under every key. How many were kept."""
        return self._each(lib.tms_floor_put_each)

    def get(self) -> int:
        """Gets the page of every key. How many were there. `ValueError` for a read-only page."""
        if not self.page.flags.writeable:
            raise ValueError("the page is read-only; pass a writable array")
        return self._each(lib.tms_floor_get_each)

    def _each(self, verb: Any) -> int:
        _contiguous("objects", self.objects, np.uint64)
        _contiguous("indexes", self.indexes, np.uint64)
        _contiguous("page", self.page, np.uint8)
        n = len(self.objects)
        if len(self.indexes) != n or self.page.shape != (PAGE_SIZE,):
            raise ValueError(f"{n} objects, {len(self.indexes)} indexes and a page of shape {self.page.shape}")
        done = ffi.new("uint64_t *")
        keys = (ffi.from_buffer("uint64_t[]", self.objects), ffi.from_buffer("uint64_t[]", self.indexes))
        check(verb(self.handle, self.pool, n, *keys, ffi.from_buffer("uint8_t[]", self.page), done))
        return int(done[0])


class CodecCalls:
    """The bare calls of a codec ("lz4", "zstd"); `EnvironmentLacks` where its library is missing."""

    def __init__(self, name: str) -> None:
        self._codec = ffi.new("struct tms_codec *")
        fill_codec(name, self._codec)

    def compress(self, pages: Pages, out: Pages, *, limit_bytes: int = PAGE_SIZE) -> Numbers:
        """Compresses uint8[n, 4096] pages into the places of `out`; the bytes of each, 0 for more than the limit."""
        sizes = np.zeros(len(pages), np.uint32)
        self._sames(pages, out)
        check(
            lib.tms_floor_compress(
                self._codec,
                len(pages),
                ffi.from_buffer("uint8_t[]", pages),
                min(limit_bytes, PAGE_SIZE),
                ffi.from_buffer("uint8_t[]", out),
                ffi.from_buffer("uint32_t[]", sizes),
            )
        )
        return sizes

    def decompress(self, objects: Pages, sizes: Numbers, out: Pages) -> None:
        """The other way, from what `compress` left; `TmemError` for other bytes."""
        self._sames(objects, out)
        _contiguous("sizes", sizes, np.uint32)
        if len(sizes) != len(objects):
            raise ValueError(f"{len(sizes)} sizes for {len(objects)} objects")
        if len(sizes) and int(sizes.max()) > PAGE_SIZE:
            raise ValueError(f"an object of {int(sizes.max())} bytes is none of a page")
        check(
            lib.tms_floor_decompress(
                self._codec,
                len(objects),
                ffi.from_buffer("uint8_t[]", objects),
                ffi.from_buffer("uint32_t[]", sizes),
                ffi.from_buffer("uint8_t[]", out),
            )
        )

    @staticmethod
    def _sames(pages: Pages, out: Pages) -> None:
        for name, array in (("pages", pages), ("out", out)):
            _contiguous(name, array, np.uint8)
        if pages.shape[1:] != (PAGE_SIZE,) or out.shape != pages.shape:
            raise ValueError(f"pages and out are uint8[n, {PAGE_SIZE}], not {pages.shape} and {out.shape}")


def _contiguous(name: str, array: npt.NDArray[Any], dtype: type[np.generic]) -> None:
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(f"{name} must be a C-contiguous array of {np.dtype(dtype)}")
