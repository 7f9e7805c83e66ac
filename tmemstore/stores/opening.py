"""Opening a store: from keyword arguments to the core's struct, and from its codes to sentences."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tmemstore._binding import check, ffi, keeping, lib, owning, text
from tmemstore.codecs import fill_codec
from tmemstore.errors import EnvironmentLacks, SpillError
from tmemstore.region import Region
from tmemstore.stats import SpillInfo
from tmemstore.units import PAGE_SIZE, parse_pages, parse_time_ns

_IO_THREADS: Final = 4
"""Three writes keep a device's queue busy, one thread is left for loads."""

_PREALLOCATE_MAX_BYTES: Final = 1 << 30
"""A spill file is preallocated up to the region's size, but no larger than this: more would surprise a full disk."""

_SPILL_MIN_BYTES: Final = 2 * PAGE_SIZE
_END: Final = 2**63
"""Of times in ns and of file sizes, as the core and the kernel count them."""

DENSER: Final = {"none": "lz4", "lz4": "zstd", "zstd": "none"}
"""The codec of the compress route, by the codec that pages are kept with."""

_DENSER_PERMILLE: Final = {"none": 319, "lz4": 652, "zstd": 1000}
"""What it leaves of the kept bytes, for a region without data: means over 5867 anonymous pages of gcc, node, PostgreSQL
and Python that were not same-filled, by lz4, and by zstd at level 1 against lz4."""

EVICTION_ORDERS: Final = tuple(text(lib.tms_order_name(order)) for order in range(lib.TMS_ORDERS))


def _spill_path(spill: str | os.PathLike[str] | None) -> str | None:
    if spill is None:
        return None
    if not isinstance(spill, str | os.PathLike):
        raise TypeError(f"spill must be a path or None, not {type(spill).__name__}")
    path = os.fspath(spill)
    if not path or "\0" in path:
        raise ValueError("spill must be the path of a file or block device")
    return path


def _spill_info(path: str, info: Any, *, wants_direct: bool) -> SpillInfo:
    note = ""
    if wants_direct and not info.direct:
        note = (
            f"no O_DIRECT on {path} ({os.strerror(info.direct_errno)}): writes go through the page cache and count "
            "after fdatasync, which is slower; a file on ext4, xfs or a block device has it"
        )
    return SpillInfo(
        path=path,
        direct=info.direct,
        is_device=info.is_device,
        created=info.created,
        reused=info.reused,
        preallocated=info.preallocated,
        size_bytes=info.size_bytes,
        note=note,
    )


def _raise_spill_error(path: str, code: int, info: Any) -> None:
    if code == lib.TMS_E_SYSTEM and info.failed_step:
        hints = {
            "open": "choose a regular file or a block device in a folder that exists and can be written",
            "write header": "free some space or choose another file system",
        }
        step = text(info.failed_step)
        told = f"{path}: cannot {step}: {os.strerror(info.error)}"
        cause = OSError(info.error, os.strerror(info.error))
        raise SpillError(f"{told}; {hints.get(step, 'choose another path')}") from cause
    if code in {lib.TMS_E_FOREIGN, lib.TMS_E_LOCKED, lib.TMS_E_TOO_SMALL}:
        check(code, path)


def _timeout_ns(io_timeout: int | str) -> int:
    timeout_ns = parse_time_ns(io_timeout)
    if not 0 < timeout_ns < _END:
        raise ValueError(f"io_timeout is a positive time of less than 2**63 ns, not {io_timeout}")
    return timeout_ns


class Emulation(Protocol):
    """An emulated device; how it fills the core's struct is its own matter."""

    def fill(self, raw: Any) -> None:
        """Writes all fields but `in_memory` into a `struct tms_device`."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The core's store, which keeps the region alive; how the spill file was opened; the time of a virtual clock."""

    handle: Any
    spill: SpillInfo | None
    virtual_ns: Any | None


def _fill_denser(codec: str, raw: Any) -> None:
    try:
        fill_codec(DENSER[codec], raw)
    except EnvironmentLacks:
        fill_codec("none", raw)


def open_store(
    region: Region,
    *,
    spill: str | os.PathLike[str] | None,
    codec: str,
    eviction: str,
    spill_overwrite: bool,
    spill_direct: bool,
    spill_limit: int | str | None,
    io_timeout: int | str,
    device: Emulation | None,
    virtual_time: bool,
) -> Opened:
    """Opens the core's store. Errors: see `TmemStore`."""
    if not isinstance(region, Region):
        raise TypeError(f"region must be a tmemstore.Region, not {type(region).__name__}")
    if eviction not in EVICTION_ORDERS:
        raise ValueError(f"unknown eviction order {eviction!r}; choose one of {', '.join(EVICTION_ORDERS)}")
    path = _spill_path(spill)
    config = ffi.new("struct tms_store_config *")
    fill_codec(codec, config.codec)
    _fill_denser(codec, config.denser)
    config.order = EVICTION_ORDERS.index(eviction)
    config.denser_permille = _DENSER_PERMILLE[codec]
    config.io_threads = _IO_THREADS
    config.io_spins = len(os.sched_getaffinity(0)) > 1
    config.io_timeout_ns = _timeout_ns(io_timeout)
    config.spill_overwrite = spill_overwrite
    config.spill_buffered = not spill_direct
    config.spill_preallocate_bytes = min(region.size_bytes, _PREALLOCATE_MAX_BYTES)
    if spill_limit is not None:
        limit_bytes = parse_pages(spill_limit, "spill_limit") * PAGE_SIZE
        if not _SPILL_MIN_BYTES <= limit_bytes < _END:
            raise ValueError(
                f"spill_limit must be at least {_SPILL_MIN_BYTES} bytes, a header and a page, and less than 2**63"
            )
        config.spill_limit_bytes = limit_bytes
        config.spill_preallocate_bytes = min(config.spill_preallocate_bytes, config.spill_limit_bytes)
    path_bytes = ffi.NULL if path is None else ffi.new("char[]", os.fsencode(path))
    config.spill_path = path_bytes
    kept: list[Any] = []
    if device is not None:
        _put_device(config, device, kept)
    virtual_ns = _virtual_clock(config, kept) if virtual_time else None
    info = ffi.new("struct tms_spill_info *")
    region_handle = region.handle
    made = owning(ffi.new("tms_store **"), lib.tms_store_destroy, region_handle, virtual_ns)
    code = lib.tms_store_create(region_handle, config, info, made)
    if path is not None:
        _raise_spill_error(path, code, info)
    if code == lib.TMS_E_INVALID:
        raise ValueError(
            "a store in a region without data has no spill file; emulate the device in memory"
            if region.without_data and path is not None
            else "the region was lent to a store before; make a region for each"
        )
    check(code, "store")

    opened = None
    if path is not None or device is not None:
        opened = _spill_info(path or "RAM", info, wants_direct=spill_direct)
    return Opened(keeping(made[0], made), opened, virtual_ns)


def _put_device(config: Any, device: Emulation, kept: list[Any]) -> None:
    config.device = raw = ffi.new("struct tms_device *")
    kept.append(raw)
    device.fill(raw)
    raw.in_memory = config.spill_path == ffi.NULL


def _virtual_clock(config: Any, kept: list[Any]) -> Any:
    if config.spill_path != ffi.NULL and config.device == ffi.NULL:
        raise ValueError(
            "in virtual time the device must be emulated, for nobody knows how long a real one takes; "
            'pass storage="emulate:..."'
        )
    now_ns = ffi.new("uint64_t *")
    config.clock = clock = ffi.new("struct tms_clock *")
    kept.append(clock)
    lib.tms_virtual_clock(now_ns, clock)
    return now_ns
