"""The reserved area, and the contiguous ranges handed out of it."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from tmemstore._binding import check, ffi, keeping, lib, owning, text
from tmemstore.errors import EnvironmentLacks, PoolError
from tmemstore.stats import ReclaimReport
from tmemstore.units import PAGE_SIZE, format_size, parse_pages, parse_size

MIN_BYTES: Final = 1 << 20
MAX_BYTES: Final = 256 << 30

_COPIES: Final = {"auto": lib.TMS_COPY_AUTO, "plain": lib.TMS_COPY_PLAIN, "nontemporal": lib.TMS_COPY_NONTEMPORAL}
_NONTEMPORAL_FROM_BYTES: Final = 32 << 20
"""Regions of this size and more are written past the cache, which cannot hold them anyway."""

_IN_USE: Final = "buffers made from the range's view are alive; delete them (numpy arrays, slices), then release"

_THP: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def _available_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def _notes(info: Any) -> tuple[str, ...]:
    notes = []
    if info.hugetlb_errno:
        notes.append(
            f"no reserved huge pages ({os.strerror(info.hugetlb_errno)}): going on without; "
            "raise /proc/sys/vm/nr_hugepages to have them"
        )
    if info.hugepage_errno:
        notes.append(f"no transparent huge pages ({os.strerror(info.hugepage_errno)}): copies into the area are slower")
    elif not info.hugetlb and _THP.exists() and "[never]" in _THP.read_text():
        notes.append(f"transparent huge pages are off: write madvise to {_THP}; copies into the area are slower")
    if info.mlock_errno:
        notes.append(
            f"memory is not locked ({os.strerror(info.mlock_errno)}): going on without; raise `ulimit -l` to have it"
        )
    return tuple(notes)


class Region:
    """A contiguous area, reserved and populated once, that a `TmemStore` lends to pages.

    `size`: bytes or "256MiB", a multiple of 4096, from 1 MiB up to what the machine has (less than 256 GiB, the escape
    reserve included). `escape`: size of the escape reserve, RAM outside the area that reclaim may fill; a multiple of
    4096, 0 for none. `hugetlb`, `mlock`: ask for reserved huge pages, for locked memory; where the machine refuses,
    `notes` says so and the region goes on without. `copy`: how pages are copied in, "nontemporal" past the cache where
    the CPU can, "plain" through it; "auto" takes the former from 32 MiB on. `without_data`: for a replay; there is no
    memory behind it, a store in it knows pages by their sizes only, and ranges have no view. `ValueError` for a wrong
    size, `EnvironmentLacks` where there is no memory for it.

    Attributes: `size_bytes`, `escape_bytes`, `frames`, `chunks` (of 2 MiB, the last may be short), `base_address`,
    `copy_variant` (how pages are copied in), `hugetlb` and `mlocked` (whether it has what was asked for),
    `without_data`, `notes`.
    """

    def __init__(
        self,
        size: int | str,
        *,
        escape: int | str = 0,
        hugetlb: bool = False,
        mlock: bool = False,
        copy: Literal["auto", "plain", "nontemporal"] = "auto",
        without_data: bool = False,
    ) -> None:
        if copy not in _COPIES:
            raise ValueError(f"unknown copy {copy!r}; choose one of {', '.join(_COPIES)}")
        size_bytes = parse_pages(size, "region") * PAGE_SIZE
        if not MIN_BYTES <= size_bytes < MAX_BYTES:
            raise ValueError(
                f"a region has from {format_size(MIN_BYTES)} to less than {format_size(MAX_BYTES)}, "
                f"not {format_size(size_bytes)}"
            )
        reserve_bytes = parse_pages(escape, "escape") * PAGE_SIZE if parse_size(escape) else 0
        if size_bytes + reserve_bytes >= MAX_BYTES:
            raise ValueError(
                f"a region and its escape reserve have less than {format_size(MAX_BYTES)} together, not "
                f"{format_size(size_bytes)} and {format_size(reserve_bytes)}"
            )
        available = None if without_data else _available_bytes()
        if available is not None and size_bytes + reserve_bytes > available:
            with_reserve = f" and an escape reserve of {format_size(reserve_bytes)} do" if reserve_bytes else " does"
            raise EnvironmentLacks(
                f"a region of {format_size(size_bytes)}{with_reserve} not fit into the {available >> 20} MiB of memory "
                "that are available; choose a smaller one"
            )
        config = ffi.new("struct tms_region_config *")
        config.size_bytes = size_bytes
        config.reserve_bytes = reserve_bytes
        config.nontemporal_from_bytes = _NONTEMPORAL_FROM_BYTES
        config.copy = _COPIES[copy]
        config.hugetlb = hugetlb
        config.mlock = mlock
        config.without_data = without_data
        info = ffi.new("struct tms_region_info *")
        made = owning(ffi.new("tms_region **"), lib.tms_region_destroy)
        code = lib.tms_region_create(config, info, made)
        if code == lib.TMS_E_SYSTEM:
            raise EnvironmentLacks(
                f"a region of {format_size(size_bytes)} cannot be reserved ({os.strerror(info.map_errno)}); "
                "choose a smaller one"
            )
        check(code, "region")
        self._handle: Any = keeping(made[0], made)
        self.without_data = bool(without_data)
        self.size_bytes: int = info.size_bytes
        self.escape_bytes: int = info.reserve_bytes
        self.frames: int = info.frames
        self.chunks: int = info.chunks
        self.base_address: int = info.base_address
        self.copy_variant: str = text(info.copy_variant)
        self.hugetlb: bool = info.hugetlb
        self.mlocked: bool = info.mlocked
        self.notes: tuple[str, ...] = _notes(info)

    @property
    def handle(self) -> Any:
        """The core's region, for the store that lends it. `PoolError` once it is closed."""
        if self._handle is None:
            raise PoolError("the region is closed; make a new one")
        return self._handle

    def exporter(self, start_pfn: int, frames: int, lease: Any, ended: Callable[[Any], Any]) -> Any:
        """A buffer over `[start_pfn, start_pfn + frames)`; mapping and `lease` live at least as long as the buffer.

        `ended`: called once nobody has the buffer; something built in.
        """
        handle = self.handle
        address = ffi.cast("uint8_t *", lib.tms_region_address(handle, start_pfn))
        return ffi.buffer(keeping(address, lease, handle, ended=ended), frames * PAGE_SIZE)

    def close(self) -> None:
        """Gives the memory back, once no store and no view of the region is left. Closing twice is fine."""
        self._handle = None


class ContigRange:
    """A contiguous range handed out by `alloc_contig`; a context manager that releases it.

    `report`: the `ReclaimReport`. `region`, `start_pfn`, `size_bytes`: where it lies and how large it is. A range that
    nobody can reach any more, neither itself nor a buffer made from its view, is given back as if released.
    """

    def __init__(self, region: Region, report: ReclaimReport, lease: Any) -> None:
        self.region = region
        self.report = report
        self.start_pfn = report.window.start_pfn
        self.size_bytes = report.window.frames * PAGE_SIZE
        self._lease = lease
        self._ended: list[Any] = []
        """Filled when nobody has the memory any more; the collector clears a weak reference before that, in a cycle."""
        # Nothing of ours, no frame either, holds the exporter but through the view: a profiler or debugger keeps
        # frames, and what they hold, beyond their return, and the range would seem to be in use.
        self._view = memoryview(region.exporter(self.start_pfn, report.window.frames, lease, self._ended.append))
        self._exporter = weakref.ref(self._view.obj)

    @property
    def released(self) -> bool:
        """True once the range is the region's again."""
        return not self._lease.range

    @property
    def view(self) -> memoryview:
        """The range as a writable memoryview of bytes. `PoolError` once it is released, or in a region without data."""
        if self.released:
            raise PoolError("the range was released; allocate another one")
        if self.region.without_data:
            raise PoolError("the region has no memory behind it, and its ranges no view; it is for replays")
        return self._view

    def release(self) -> None:
        """Gives the range back to the region.

        `PoolError` if it was released before, or if buffers made from `view` are alive (the range is kept then).
        """
        try:
            self._view.release()
        except BufferError:
            raise PoolError(_IN_USE) from None
        if self._ended:
            if lib.tms_lease_end(self._lease):
                return
            raise PoolError("the range was released before; a range is released once")
        with contextlib.suppress(TypeError):  # it is None: the collector is about to take it
            self._view = memoryview(self._exporter())  # type: ignore[arg-type]
        raise PoolError(_IN_USE)

    def __enter__(self) -> Self:
        if self.released:
            raise PoolError("the range was released; allocate another one")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.released:
            return
        try:
            self.release()
        except PoolError:
            # An error on its way out of the block says more than what it left behind.
            if error is None:
                raise
