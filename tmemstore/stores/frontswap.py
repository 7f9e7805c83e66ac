"""Frontswap: anonymous pages, by swap offset, that must come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tmemstore.stores import buffers
from tmemstore.stores.tmem import TmemStore

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# The core has 64-bit objects of 32-bit indexes: the high half of an offset is the object.
_OFFSET_BITS: Final = 64
_INDEX_BITS: Final = 32
_INDEX_MASK: Final = (1 << _INDEX_BITS) - 1
SWAP_TYPE_MAX: Final = 31
"""MAX_SWAPFILES of the kernel is 32."""


class Frontswap:
    """A persistent pool for one swap area, with the verbs of the kernel's `frontswap_ops`.

    Keys: offset 0 .. 2**64-1. What `store` accepted comes back byte for byte until it is invalidated or overwritten.
    """

    def __init__(self, store: TmemStore, swap_type: int) -> None:
        self.swap_type = buffers.integer("swap type", swap_type, SWAP_TYPE_MAX)
        self._store = store
        self._pool = store.new_pool(persistent=True)

    def store(self, offset: int, page: Any) -> bool:
        """Keeps a page (4096 bytes, copied). False: refused, the key is absent; write it to the swap device."""
        if type(offset) is not int or offset >> _OFFSET_BITS:
            offset = buffers.integer("offset", offset, buffers.OBJECT_MAX)
        return self._store.put(self._pool, offset >> _INDEX_BITS, offset & _INDEX_MASK, page)

    def load(self, offset: int, out: Any) -> bool:
        """Copies the page into `out` (writable, 4096 bytes) and keeps it. False: not held.

        `SpillError`: the page is in the spill file and the device failed, answered with other bytes, or not within
        `io_timeout`. The page is still held; a later load may succeed.
        """
        if type(offset) is not int or offset >> _OFFSET_BITS:
            offset = buffers.integer("offset", offset, buffers.OBJECT_MAX)
        return self._store.get(self._pool, offset >> _INDEX_BITS, offset & _INDEX_MASK, out)

    def store_many(self, offsets: Any, pages: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """`store` over uint64[n] offsets and uint8[n, 4096] pages; bool[n] back."""
        return self._store.put_many(self._pool, *self._keys(offsets), pages)

    def load_many(self, offsets: Any, out: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """`load` over uint64[n] offsets into uint8[n, 4096] `out`; bool[n] back."""
        return self._store.get_many(self._pool, *self._keys(offsets), out)

    def where_many(self, offsets: Any) -> npt.NDArray[np.uint8]:
        """For each offset the bits of `Place`, as uint8[n]; touches nothing."""
        return self._store.where_many(self._pool, *self._keys(offsets))

    def invalidate_page(self, offset: int) -> None:
        """The slot was freed: forget its page."""
        offset = buffers.integer("offset", offset, buffers.OBJECT_MAX)
        self._store.flush_page(self._pool, offset >> _INDEX_BITS, offset & _INDEX_MASK)

    def invalidate_area(self) -> None:
        """`swapoff`: forget all pages. The handle stays usable, as the area does for the next `swapon`."""
        self._store.flush_pool(self._pool)

    @staticmethod
    def _keys(offsets: Any) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        import numpy as np

        from tmemstore.stores.batches import key_array

        keys = key_array("offsets", offsets)
        return keys >> np.uint64(_INDEX_BITS), keys & np.uint64(_INDEX_MASK)

    def __repr__(self) -> str:
        return f"<Frontswap {self.swap_type}>"
