"""The kernel's own compressed swap device: the same pages out to it and back, on a machine with root and the module.

Owns: one zram device, made for this and removed at the end, and swapped on only in between.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tmemstore.bench.arena import PAGE, Pages
from tmemstore.bench.baselines.cma import DROP_NS
from tmemstore.bench.baselines.device import Device
from tmemstore.bench.baselines.figures import Calls, Card, pages_of

SYSTEM = "zram"
CALLS = 5
_CONTROL = Path("/sys/class/zram-control")
_ALGORITHM = "lz4"
_SPARE = 1.25
_DIRECT_PAGES = 2048
_MADV_PAGEOUT = 21
_SWAP_FLAG_PREFER, _HIGHEST = 0x8000, 0x7FFF
_LEAST_OUT = 0.9

CARD = Card(
    models=(
        "Nothing: a zram device of this kernel with lz4, swapped on, and this process's memory with the run's pages.",
        "A call is MADV_PAGEOUT over the frontswap share of the pages, and a clean page is dropped in 120 ns.",
        "The refault figure holds the measured time to touch every page again, and a device read for the others.",
    ),
    leaves_out=(
        "A contiguous range: what comes free lies anywhere, so a range of that size is not had by it.",
        "The search for pages to give up: the call names them.",
    ),
)


class Missing(Exception):
    """Why there is no zram here, in words."""


def elements(
    ratios: Sequence[int], sizes_bytes: Sequence[int], pages: Pages, device: Device
) -> Iterator[dict[str, Any]]:
    """Give one element, whose ``rows`` are empty and whose ``settings`` say why where there is no zram to be had."""
    element: dict[str, Any] = {"system": SYSTEM, "setting": _ALGORITHM, "card": CARD.to_document()}
    most = max(_swap_pages(percent, size) for percent in ratios for size in sizes_bytes)
    try:
        with _device(max(most, _DIRECT_PAGES)) as path:
            write_ns, read_ns = _direct(path, pages)
            with _swapped_on(path):
                rows = [_row(percent, size, pages, device) for percent in ratios for size in sizes_bytes]
    except (Missing, OSError) as error:
        yield element | {"settings": {"left_out": str(error)}, "rows": []}
        return
    settings = {"calls": CALLS, "direct_write_page_ns": write_ns, "direct_read_page_ns": read_ns}
    yield element | {"settings": settings | {"device": device.to_document()}, "rows": rows}


def _swap_pages(percent: int, size_bytes: int) -> int:
    return round(pages_of(size_bytes) * percent / 100)


# ---- the device ----------------------------------------------------------------------------------------------


@contextmanager
def _device(pages: int) -> Iterator[str]:
    """Give the path of a new device that takes so many pages; raise Missing where there is none to be had."""
    if os.geteuid() != 0:
        raise Missing("it needs root")
    try:
        number = int((_CONTROL / "hot_add").read_text(encoding="ascii"))
    except OSError as error:
        raise Missing(f"the kernel has no zram ({error.strerror}); load its module") from error
    try:
        folder = Path(f"/sys/block/zram{number}")
        (folder / "comp_algorithm").write_text(_ALGORITHM, encoding="ascii")
        (folder / "disksize").write_text(str(int(pages * _SPARE + 1) * PAGE), encoding="ascii")
        yield f"/dev/zram{number}"
    finally:
        (_CONTROL / "hot_remove").write_text(str(number), encoding="ascii")


@contextmanager
def _swapped_on(path: str) -> Iterator[None]:
    """Swap on, before all other swap; Missing where the system does not let us."""
    fd = os.open(path, os.O_WRONLY)
    try:
        pages = os.lseek(fd, 0, os.SEEK_END) // PAGE
        header = bytearray(PAGE)
        header[1024:1036] = struct.pack("<III", 1, pages - 1, 0)  # include/linux/swap.h: union swap_header
        header[-10:] = b"SWAPSPACE2"
        os.pwrite(fd, header, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.swapon(path.encode(), _SWAP_FLAG_PREFER | _HIGHEST):
        raise Missing(f"swapon failed ({os.strerror(ctypes.get_errno())})")
    try:
        yield
    finally:
        libc.swapoff(path.encode())


def _direct(path: str, pages: Pages) -> tuple[int, int]:
    """Return what an O_DIRECT write and read of one page takes, in ns."""
    with mmap.mmap(-1, PAGE) as page:
        fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        try:
            took_ns = [0, 0]
            for turn, call in enumerate((os.pwritev, os.preadv)):
                for number in range(_DIRECT_PAGES):
                    page[:] = pages[number % len(pages)].tobytes()
                    began_ns = time.perf_counter_ns()
                    call(fd, [page], number * PAGE)
                    took_ns[turn] += time.perf_counter_ns() - began_ns
        finally:
            os.close(fd)
    return took_ns[0] // _DIRECT_PAGES, took_ns[1] // _DIRECT_PAGES


# ---- pages out and back --------------------------------------------------------------------------------------


def _row(percent: int, size_bytes: int, pages: Pages, device: Device) -> dict[str, Any]:
    count, all_pages = _swap_pages(percent, size_bytes), pages_of(size_bytes)
    calls = Calls(percent, size_bytes, bytes_copied=None, bytes_copied_really=None)
    back_ns = 0
    for _ in range(CALLS):
        out_ns, in_ns = _out_and_back(count, pages) if count else (0, 0)
        calls.latency_ns.append(out_ns + (all_pages - count) * DROP_NS)
        calls.pages_dropped += all_pages - count
        back_ns += in_ns
    row = calls.row(device)
    dropped_ns = row["refault_ns_per_mib"]
    mib = CALLS * size_bytes / (1 << 20)
    return row | {"refault_ns_per_mib": None if dropped_ns is None else dropped_ns + round(back_ns / mib)}


def _out_and_back(count: int, pages: Pages) -> tuple[int, int]:
    """Return how long so many pages took to go out and to come back, in ns; Missing if they stayed."""
    memory = mmap.mmap(-1, count * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    view = np.frombuffer(memory, np.uint8).reshape(-1, PAGE)
    for begin in range(0, count, len(pages)):
        part = view[begin : begin + len(pages)]
        part[:] = pages[: len(part)]
    before = _swapped_pages()
    began_ns = time.perf_counter_ns()
    memory.madvise(_MADV_PAGEOUT)
    out_ns = time.perf_counter_ns() - began_ns
    if _swapped_pages() - before < _LEAST_OUT * count:
        raise Missing("the pages stay in memory: swap is limited for this process")
    began_ns = time.perf_counter_ns()
    view[:, 0].max()
    return out_ns, time.perf_counter_ns() - began_ns


def _swapped_pages() -> int:
    """Return how many pages of this process are in swap."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next((line for line in status.splitlines() if line.startswith("VmSwap:")), "VmSwap: 0 kB")
    return int(line.split()[1]) * 1024 // PAGE
