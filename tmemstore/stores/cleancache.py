"""Cleancache: clean file pages, by (inode, index), that may vanish at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tmemstore.stores.tmem import TmemStore

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Cleancache:
    """An ephemeral pool for one file system, with the verbs of the kernel's `cleancache_ops`.

    Keys: inode 0 .. 2**64-1, index 0 .. 2**32-1. A get removes the page, unless the pool is `inclusive` or shared.
    `uuid`: 16 bytes of a file system that several clients share (see `TmemStore.authorize_shared`).
    """

    def __init__(self, store: TmemStore, name: str, *, uuid: bytes | None = None, inclusive: bool = False) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a file system must be a string, not {type(name).__name__}")
        self._store = store
        self._pool = store.new_pool(shared_uuid=uuid, inclusive=inclusive)
        self.name = name
        self.shared = store.pool_is_shared(self._pool)
        self.exclusive = not (self.shared or inclusive)

    def put_page(self, inode: int, index: int, page: Any, *, active: bool = False) -> bool:
        """Offers a clean page (4096 bytes, copied). False: not kept, and the key is absent.

        `active`: it is known to be in use, and the admission filter lets it in.
        """
        if active:
            return self._store.put(self._pool, inode, index, page, active=True)
        return self._store.put(self._pool, inode, index, page)  # by name it takes longer

    def get_page(self, inode: int, index: int, out: Any) -> bool:
        """Copies the page into `out` (writable, 4096 bytes). False: not held; read it from its file."""
        return self._store.get(self._pool, inode, index, out)

    def put_page_many(
        self, inodes: Any, indexes: Any, pages: npt.NDArray[np.uint8], *, active: bool = False
    ) -> npt.NDArray[np.bool_]:
        """`put_page` over uint64[n] inodes and indexes and uint8[n, 4096] pages; bool[n] back."""
        return self._store.put_many(self._pool, inodes, indexes, pages, active=active)

    def get_page_many(self, inodes: Any, indexes: Any, out: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """`get_page` over uint64[n] inodes and indexes into uint8[n, 4096] `out`; bool[n] back."""
        return self._store.get_many(self._pool, inodes, indexes, out)

    def where_many(self, inodes: Any, indexes: Any) -> npt.NDArray[np.uint8]:
        """For each key the bits of `Place`, as uint8[n]; touches nothing."""
        return self._store.where_many(self._pool, inodes, indexes)

    def invalidate_page(self, inode: int, index: int) -> None:
        """The page in its file has changed: forget it."""
        self._store.flush_page(self._pool, inode, index)

    def invalidate_inode(self, inode: int) -> None:
        """The file was truncated or deleted: forget all its pages."""
        self._store.flush_object(self._pool, inode)

    def invalidate_fs(self) -> None:
        """The file system is unmounted: drop this handle, and with the last one all pages. Later calls: `PoolError`."""
        self._store.destroy_pool(self._pool)

    def __repr__(self) -> str:
        kind = "exclusive" if self.exclusive else "inclusive"
        return f"<Cleancache {self.name!r}, {kind}>"
