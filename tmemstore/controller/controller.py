"""What `tmemstore.open` gives: a region, a store in it, and allocations with a bound."""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from tmemstore.controller.cost import CostModel, measure_cost
from tmemstore.errors import AllocationAborted, PoolError
from tmemstore.region import ContigRange, Region
from tmemstore.stats import Effort, FrameCounts, ReclaimReport, SpillInfo, Stats, Window
from tmemstore.stores import buffers
from tmemstore.stores.cleancache import Cleancache
from tmemstore.stores.contig import Request, allocate, propose
from tmemstore.stores.frontswap import SWAP_TYPE_MAX, Frontswap
from tmemstore.stores.tmem import TmemStore
from tmemstore.units import PAGE_SIZE, parse_pages, parse_time_ns

if TYPE_CHECKING:
    import numpy.typing as npt

_NO_DEADLINE_NS: Final = 60_000_000_000
_BOUND_PERMILLE: Final = 1500
"""Until the storage profile gives a bound at a confidence: half as much again as expected."""


class Controller:
    """A store with its region: pools, contiguous allocations, statistics. A context manager that closes it.

    Made by `tmemstore.open`. `region`, `store`: the layers below. `spill`: how the spill file was opened, or None.
    """

    def __init__(self, region: Region, store: TmemStore, cost: CostModel) -> None:
        self.region = region
        self.store = store
        self._cost = cost
        self._lock = threading.Lock()  # of the two above and below
        self._frontswaps: dict[int, Frontswap] = {}

    # ---- pools -----------------------------------------------------------------------------------------

    def cleancache(self, name: str, *, uuid: bytes | None = None, inclusive: bool = False) -> Cleancache:
        """A pool for the clean pages of one file system. Arguments as for `Cleancache`."""
        return Cleancache(self.store, name, uuid=uuid, inclusive=inclusive)

    def frontswap(self, swap_type: int) -> Frontswap:
        """The pool of one swap area, 0 to 31; the same one for the same number."""
        number = buffers.integer("swap type", swap_type, SWAP_TYPE_MAX)
        with self._lock:
            if number not in self._frontswaps or self.closed:
                self._frontswaps[number] = Frontswap(self.store, number)
            return self._frontswaps[number]

    # ---- contiguous ranges -----------------------------------------------------------------------------

    def alloc_contig(
        self,
        size: int | str,
        *,
        deadline: int | str | None = None,
        effort: Effort = Effort.PAGE_OUT,
        align: int | str = PAGE_SIZE,
        start_pfn: int | None = None,
        zero: bool = False,
    ) -> ContigRange:
        """Takes a contiguous range back: MET, or `AllocationRefused`, or `AllocationAborted` by the deadline.

        `size`: bytes or "64MiB", a page multiple. `deadline`: ns or "50ms", from the call on; without one nothing is
        refused for time and the end comes after 60 s at the latest. `effort`: how far it may go. `align`: bytes, a
        power of two, counted from the start of the region (which is 2 MiB aligned). `start_pfn`: that window and no
        other; else the cheapest. `zero`: hand it over zeroed. Wrong arguments: `ValueError`, `TypeError`.
        """
        deadline_ns = self._deadline_ns(deadline)
        request = Request(
            frames=self._frames(size),
            cost=self._cost,
            effort=Effort(effort),
            align_frames=self._align_frames(align),
            start_pfn=self._start_pfn(size, align, start_pfn),
            deadline_ns=deadline_ns,
            refuse=deadline is not None,
            bound_permille=_BOUND_PERMILLE,
            zero=zero,
        )
        try:
            contig = allocate(self.store, request)
        except AllocationAborted as aborted:
            self._learn(aborted.report)
            raise
        self._learn(contig.report)
        return contig

    def _learn(self, report: ReclaimReport) -> None:
        with self._lock:
            self._cost = self._cost.refined(report)

    def propose(
        self,
        size: int | str,
        *,
        effort: Effort = Effort.PAGE_OUT,
        align: int | str = PAGE_SIZE,
        start_pfn: int | None = None,
    ) -> Window:
        """The window `alloc_contig` would take now, with what is in it; touches nothing.

        `AllocationRefused` if there is none. Arguments as for `alloc_contig`.
        """
        return propose(
            self.store,
            Request(
                frames=self._frames(size),
                cost=self._cost,
                effort=Effort(effort),
                align_frames=self._align_frames(align),
                start_pfn=self._start_pfn(size, align, start_pfn),
            ),
        )

    def release(self, contig: ContigRange) -> None:
        """The same as `contig.release()`, for a range of this store."""
        if not isinstance(contig, ContigRange):
            raise TypeError(f"release takes what alloc_contig gave, not {type(contig).__name__}")
        if contig.region is not self.region:
            raise PoolError("the range was handed out by another store; release it there")
        contig.release()

    def _frames(self, size: int | str) -> int:
        frames = parse_pages(size)
        if frames > self.region.frames:
            raise ValueError(f"{size} is larger than the region, {self.region.size_bytes} bytes")
        return frames

    @staticmethod
    def _align_frames(align: int | str) -> int:
        frames = parse_pages(align, "align")
        if frames & (frames - 1):
            raise ValueError(f"align must be a power of two, not {align}")
        return frames

    def _start_pfn(self, size: int | str, align: int | str, start_pfn: int | None) -> int | None:
        if start_pfn is None:
            return None
        if isinstance(start_pfn, bool) or not isinstance(start_pfn, int):
            raise TypeError(f"start_pfn must be an integer or None, not {type(start_pfn).__name__}")
        last = self.region.frames - self._frames(size)
        if not 0 <= start_pfn <= last:
            raise ValueError(f"start_pfn must be from 0 to {last} for this size, not {start_pfn}")
        if start_pfn % self._align_frames(align):
            raise ValueError(f"start_pfn {start_pfn} is not aligned to {align}")
        return start_pfn

    @staticmethod
    def _deadline_ns(deadline: int | str | None) -> int:
        if deadline is None:
            return _NO_DEADLINE_NS
        deadline_ns = parse_time_ns(deadline)
        if not 0 < deadline_ns < 2**63:
            raise ValueError(f"a deadline is a positive time from the call on, not {deadline}")
        return deadline_ns

    # ---- looking in ------------------------------------------------------------------------------------

    @property
    def cost(self) -> CostModel:
        """The coefficients in use now; reclaims refine them."""
        return self._cost

    @property
    def spill(self) -> SpillInfo | None:
        """How the spill file was opened; None: there is no page-out route."""
        return self.store.spill

    @property
    def enabled(self) -> bool:
        """While False every put and store is rejected, and leaves its key absent."""
        return self.store.enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        self.store.enabled = enabled

    def stats(self) -> Stats:
        """A frozen snapshot of all counters."""
        return self.store.stats()

    def chunks(self) -> npt.NDArray[Any]:
        """What each 2 MiB chunk holds: a structured array, fields as in `struct tms_chunk`."""
        return self.store.chunks()

    def frame_counts(self) -> FrameCounts:
        """Frames by what they hold."""
        return self.store.frame_counts()

    def verify(self) -> None:
        """Walks every structure; raises `VerifyError` at the first broken invariant."""
        self.store.verify()

    # ---- life ------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self.store.closed

    def close(self) -> None:
        """Ends store and region. Arrays made from the view of a range stay valid. Closing twice is fine."""
        try:
            self.store.close()
        finally:
            self.region.close()

    def __enter__(self) -> Self:
        if self.closed:
            raise PoolError("the store is closed; open a new one")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Controller of {self.store!r}>"


def open(  # noqa: A001 - tmemstore.open, as gzip.open
    region: int | str,
    spill: str | os.PathLike[str] | None = None,
    *,
    storage: CostModel | None = None,
    codec: str = "lz4",
    eviction: str = "sieve",
    hugetlb: bool = False,
    mlock: bool = False,
    spill_overwrite: bool = False,
    spill_direct: bool = True,
    spill_limit: int | str | None = None,
    io_timeout: int | str = "30s",
) -> Controller:
    """Reserves a region of that size and opens a store in it.

    `region`: "256MiB" or bytes, a page multiple. `spill`: file or block device that frontswap pages can be paged out
    to; it must be empty, new, or an earlier spill file. `storage`: None measures for less than 100 ms, a `CostModel`
    is taken as it is; both are refined while running. `hugetlb`, `mlock`: as for `Region`; the rest as for `TmemStore`.

    Raises `ValueError`/`TypeError` for wrong arguments, `SpillError` for a spill path that cannot be used,
    `EnvironmentLacks` for missing memory or a missing codec library.
    """
    if storage is not None and not isinstance(storage, CostModel):
        raise TypeError(f"storage must be None or a CostModel, not {type(storage).__name__}")
    with contextlib.ExitStack() as undo:
        area = Region(region, hugetlb=hugetlb, mlock=mlock)
        undo.callback(area.close)
        store = TmemStore(
            area,
            spill=spill,
            codec=codec,
            eviction=eviction,
            spill_overwrite=spill_overwrite,
            spill_direct=spill_direct,
            spill_limit=spill_limit,
            io_timeout=io_timeout,
        )
        undo.callback(store.close)
        cost = measure_cost(store) if storage is None else storage
        undo.pop_all()
    return Controller(area, store, cost)
