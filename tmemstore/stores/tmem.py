"""The tmem store: pools of pages in a region, put, get and flush by (pool, object, index)."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, Final

from tmemstore._binding import check, ffi, lib
from tmemstore.errors import PoolError, SpillError
from tmemstore.region import Region
from tmemstore.stats import FaultSite, FrameCounts, Stats
from tmemstore.stores import buffers, snapshot, waiting
from tmemstore.stores.buffers import PageBuffer
from tmemstore.stores.opening import Emulation, open_store
from tmemstore.stores.waiting import PERSISTENT
from tmemstore.units import format_size

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Looked up once: each of these is a call of a page.
_PUT: Final = lib.tms_put
_GET: Final = lib.tms_get
_NULL: Final = ffi.NULL
_ACTIVE: Final = lib.TMS_PUT_ACTIVE
_WAITING: Final = lib.TMS_WAITING
_MISS: Final = lib.TMS_MISS

_POOL_MAX: Final = 2**32 - 1
_EVER: Final = 2**64 - 1
_ERRNO_MAX: Final = 4095
"""Of Linux."""


@functools.cache
def _batches() -> Any:
    # numpy comes with it, and a program that never uses a batch does not pay for that.
    from tmemstore.stores import batches

    return batches


class TmemStore:
    """Pools of pages kept in a region, as tmem's put/get/flush by (pool, object, index).

    `region`: lent to this store alone. `spill`: path of a file or block device that frontswap pages can be paged out
    to; None: there is no page-out route. `codec`: how persistent pages are kept, "lz4", "zstd" or "none".
    `eviction`: order in which ephemeral pages are given up, "fifo", "lru" or "sieve". `spill_overwrite`: take a spill
    path that holds something else, losing it. `spill_direct=False`: do not try O_DIRECT. `spill_limit`: largest size
    of the spill file. `io_timeout`: after this long a device that does not answer is an error. `device`: emulated, over
    the spill file, or in RAM without one. `virtual_time`: time passes only in the model; one thread at a time drives
    the store then. `write_through`: persistent pages have a spill copy before `put` returns.

    Raises `ValueError`/`TypeError` for wrong arguments, `SpillError` for a spill path that cannot be used,
    `EnvironmentLacks` where a codec's library is missing. Threads may share a store.
    """

    def __init__(
        self,
        region: Region,
        *,
        spill: str | os.PathLike[str] | None = None,
        codec: str = "lz4",
        eviction: str = "sieve",
        spill_overwrite: bool = False,
        spill_direct: bool = True,
        spill_limit: int | str | None = None,
        io_timeout: int | str = "30s",
        device: Emulation | None = None,
        virtual_time: bool = False,
        write_through: bool = False,
    ) -> None:
        opened = open_store(
            region,
            spill=spill,
            codec=codec,
            eviction=eviction,
            spill_overwrite=spill_overwrite,
            spill_direct=spill_direct,
            spill_limit=spill_limit,
            io_timeout=io_timeout,
            device=device,
            virtual_time=virtual_time,
        )
        self.spill, self._handle, self._virtual_ns = opened.spill, opened.handle, opened.virtual_ns
        if write_through and self.spill is None:
            raise ValueError("write-through needs a spill file or an emulated device")
        self.write_through = write_through
        self.region = region
        self.codec = codec
        self.eviction = eviction
        self._enabled = True

    # ---- life ------------------------------------------------------------------------------------------

    @property
    def handle(self) -> Any:
        """The core's store. `PoolError` once it is closed."""
        if self._handle is None:
            raise PoolError("the store is closed; open a new one")
        return self._handle

    @property
    def virtual_time(self) -> bool:
        """Whether time passes in the model only."""
        return self._virtual_ns is not None

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._handle is None

    def close(self) -> None:
        """Ends the store: its pages are gone, its file is emptied and unlocked. Closing twice is fine.

        Waits for I/O under way, at most `io_timeout`. A thread that the device still holds then is abandoned, and a
        `SpillError` says so; the store is closed all the same. Arrays made from the view of a range stay valid.
        """
        handle, self._handle = self._handle, None
        if handle is None:
            return
        abandoned = ffi.new("uint32_t *")
        while lib.tms_store_close(handle, waiting.SLICE_NS, abandoned) == lib.TMS_WAITING:
            pass
        if abandoned[0]:
            where = self.spill.path if self.spill else "the spill device"
            raise SpillError(
                f"{where} does not answer: {abandoned[0]} I/O thread(s) abandoned; the store is closed, but the file "
                "stays locked until the device lets them go"
            )

    @property
    def enabled(self) -> bool:
        """While False every put is rejected, and leaves its key absent; gets and flushes go on."""
        return self._enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        check(lib.tms_store_set_enabled(self.handle, bool(enabled)))
        self._enabled = bool(enabled)

    # ---- pools -----------------------------------------------------------------------------------------

    def new_pool(self, *, persistent: bool = False, shared_uuid: bytes | None = None, inclusive: bool = False) -> int:
        """A new pool's id.

        Ephemeral pages may vanish, persistent ones must come back. `shared_uuid`: 16 bytes; whoever names the same
        ones shares the pool, if `authorize_shared` allowed it, and has a private pool of its own if not. `inclusive`:
        a get leaves the page (shared pools always do). Shared and inclusive are for ephemeral pools.
        """
        flags = 0
        if persistent:
            flags |= lib.TMS_POOL_PERSISTENT
        if inclusive:
            flags |= lib.TMS_POOL_INCLUSIVE
        if shared_uuid is not None:
            flags |= lib.TMS_POOL_SHARED
        if persistent and flags != lib.TMS_POOL_PERSISTENT:
            raise ValueError(
                "a persistent pool is private and its loads never remove; leave shared_uuid and inclusive out"
            )
        pool = ffi.new("tms_pool_id *")
        check(lib.tms_pool_create(self.handle, flags, buffers.uuid(shared_uuid), pool))
        return int(pool[0])

    def authorize_shared(self, uuid: bytes, allow: bool = True) -> None:  # noqa: FBT001, FBT002 - the verb of tmem
        """Allows (or no longer allows) pools that are made from now on to be shared under this uuid of 16 bytes."""
        if uuid is None:
            raise TypeError("a uuid must be 16 bytes (uuid.uuid4().bytes)")
        check(lib.tms_shared_authorize(self.handle, buffers.uuid(uuid), bool(allow)))

    def pool_is_shared(self, pool: int) -> bool:
        """False where the uuid was not authorised when the pool was made."""
        flags = ffi.new("uint32_t *")
        check(lib.tms_pool_flags(self.handle, self._pool_id(pool), flags))
        return bool(flags[0] & lib.TMS_POOL_SHARED)

    def destroy_pool(self, pool: int) -> None:
        """Drops one handle of the pool; with the last one all its pages go. `PoolError` if there is no such pool."""
        check(lib.tms_pool_destroy(self.handle, self._pool_id(pool)))

    # ---- one page --------------------------------------------------------------------------------------

    def put(
        self,
        pool: int,
        object: int,  # noqa: A002 - tmem's word
        index: int,
        page: Any,
        *,
        active: bool = False,
    ) -> bool:
        """Keeps a page (any buffer of 4096 bytes, or a `PageBuffer`) under its key; the bytes are copied before return.

        `active`: the caller knows that a clean page is in use, and the admission filter lets it in. False: rejected,
        and the key is absent now, whatever it held before.
        """
        pointer = page.pointer if type(page) is PageBuffer else buffers.readable_page(page)
        if type(object) is not int or type(index) is not int:
            object, index = self._key(object, index)  # noqa: A001
        try:
            code = _PUT(self._handle, pool, object, index, _ACTIVE if active else 0, pointer)
        except (OverflowError, TypeError):
            self._explain(pool, object, index)
            raise
        if code:
            check(code)
            return False
        if self.write_through and pool & PERSISTENT:
            return waiting.write_one_through(self.handle, pool, object, index)
        return True

    def get(self, pool: int, object: int, index: int, out: Any) -> bool:  # noqa: A002 - tmem's word
        """Copies the page of the key into `out` (a writable buffer of 4096 bytes, or a `PageBuffer`).

        False: the key is not held. Private ephemeral pools give the page up, unless they are inclusive. A page that is
        in the spill file is read back, which waits for the device: `SpillError` if it fails or does not answer; the
        page is still held then.
        """
        target = out.target if type(out) is PageBuffer else buffers.writable_page(out)
        if type(object) is not int or type(index) is not int:
            object, index = self._key(object, index)  # noqa: A001
        try:
            code = _GET(self._handle, pool, object, index, target, _NULL)
        except (OverflowError, TypeError):
            buffers.writable_page(out)
            self._explain(pool, object, index)
            raise
        if not code:
            return True
        return code != _MISS and self._get_waiting(code, pool, object, index, target)

    def flush_page(self, pool: int, object: int, index: int) -> None:  # noqa: A002 - tmem's word
        """Removes one page; a key that is not held is fine."""
        object, index = self._key(object, index)  # noqa: A001
        check(lib.tms_flush_page(self.handle, self._pool_id(pool), object, index))

    def flush_object(self, pool: int, object: int) -> None:  # noqa: A002 - tmem's word
        """Removes every page of the object."""
        object, _ = self._key(object, 0)  # noqa: A001
        check(lib.tms_flush_object(self.handle, self._pool_id(pool), object))

    def flush_pool(self, pool: int) -> None:
        """Removes every page of the pool; the pool stays."""
        check(lib.tms_flush_pool(self.handle, self._pool_id(pool)))

    @staticmethod
    def _key(number: Any, index: Any) -> tuple[int, int]:
        return (
            buffers.integer("object", number, buffers.OBJECT_MAX),
            buffers.integer("index", index, buffers.INDEX_MAX),
        )

    @staticmethod
    def _pool_id(pool: Any) -> int:
        return buffers.integer("pool", pool, _POOL_MAX)

    def _explain(self, pool: Any, number: Any, index: Any) -> None:
        """Raises what is wrong with a call that cffi did not take; the way that goes well asks nothing beforehand."""
        self._pool_id(pool)
        self._key(number, index)
        self.handle  # noqa: B018 - raises where the store is closed

    # Apart, since a lambda in get would make its arguments cells, which are allocated whether it runs or not.
    def _get_waiting(self, code: int, pool: int, number: int, index: int, target: Any) -> bool:
        if code == _WAITING:
            code = waiting.wait(self.handle, lambda handle, wait: _GET(handle, pool, number, index, target, wait))
        return code != _MISS and check(code, f"object {number}, index {index}") == 0

    # ---- many pages ------------------------------------------------------------------------------------

    def put_many(
        self, pool: int, objects: Any, indexes: Any, pages: npt.NDArray[np.uint8], *, active: bool = False
    ) -> npt.NDArray[np.bool_]:
        """`put` over uint64[n] objects, uint64[n] indexes and uint8[n, 4096] pages; bool[n] back."""
        flags = _ACTIVE if active else 0
        stored: npt.NDArray[np.bool_] = _batches().put_many(self, self._pool_id(pool), (objects, indexes), pages, flags)
        return stored

    def get_many(self, pool: int, objects: Any, indexes: Any, out: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """`get` over uint64[n] objects, uint64[n] indexes into uint8[n, 4096] `out`; bool[n] back.

        If the device failed for some pages, `SpillError` is raised after all others were delivered to `out`.
        """
        found: npt.NDArray[np.bool_] = _batches().get_many(self, self._pool_id(pool), (objects, indexes), out)
        return found

    def where_many(self, pool: int, objects: Any, indexes: Any) -> npt.NDArray[np.uint8]:
        """For each key the bits of `Place`, as uint8[n]; touches nothing."""
        places: npt.NDArray[np.uint8] = _batches().where_many(self, self._pool_id(pool), (objects, indexes))
        return places

    # ---- looking in ------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """A frozen snapshot of all counters."""
        return snapshot.stats(self.handle)

    def chunks(self) -> npt.NDArray[Any]:
        """What each 2 MiB chunk holds: a structured array, fields as in `struct tms_chunk`."""
        return snapshot.chunks(self.handle, self.region.chunks)

    def frame_counts(self) -> FrameCounts:
        """Frames by what they hold: cheap enough to steer a loop by."""
        return snapshot.frame_counts(self.handle)

    def verify(self) -> None:
        """Walks every structure; `VerifyError` names the first broken invariant."""
        snapshot.verify(self.handle)

    # ---- faults ----------------------------------------------------------------------------------------

    def arm_fault(
        self, site: FaultSite, *, skip: int = 0, count: int | None = 1, error: int = 0, delay_ns: int = 0
    ) -> None:
        """Makes a site fail: let `skip` hits pass, then fire on the next `count` (None: for ever; 0: disarm).

        `error`: the errno that a READ or WRITE ends with (WRITE with 0: the write is lost but reported as done).
        `delay_ns`: how long the thread that hits the site is held up. For tests of this library and of what is built
        on it. `ValueError`, `TypeError` for another site, or for less than 0.
        """
        hits = (("skip", skip), ("count", _EVER if count is None else count))
        passed, times = (buffers.integer(name, value, _EVER) for name, value in hits)
        errno, delay_ns = buffers.integer("error", error, _ERRNO_MAX), buffers.integer("delay_ns", delay_ns, _EVER)
        check(lib.tms_fault_arm(self.handle, FaultSite(site), passed, times, errno, delay_ns))

    def fault_fired(self, site: FaultSite) -> int:
        """How often the site has fired since it was armed."""
        fired = ffi.new("uint64_t *")
        check(lib.tms_fault_fired(self.handle, FaultSite(site), fired))
        return int(fired[0])

    def __repr__(self) -> str:
        state = "closed" if self.closed else format_size(self.region.size_bytes)
        return f"<TmemStore {state}, codec {self.codec}, eviction {self.eviction}>"
