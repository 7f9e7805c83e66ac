"""What a page costs on the device of a run: read back after it was thrown away, written while somebody waits."""

from __future__ import annotations

import mmap
import os
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tmemstore
from tmemstore.bench.arena import PAGE
from tmemstore.bench.quantiles import median

_EMULATED = "emulate:"
_MEASURE = "measure"
_READS = 64


@dataclass(frozen=True, slots=True)
class Device:
    """``read_page_ns``, ``write_page_ns``: one request of 4 KiB, in ns; ``read_page_ns`` None: nothing is known.

    ``source``: where the figures come from, in words.
    """

    read_page_ns: int | None
    write_page_ns: int
    source: str

    def refault_ns(self, pages: float) -> int | None:
        """Return the device's time to read so many pages back, one by one; None if its speed is not known."""
        return None if self.read_page_ns is None else round(pages * self.read_page_ns)

    def to_document(self) -> dict[str, Any]:
        """Return the figures as they stand in the result."""
        return asdict(self)


def of_run(storage: str | None, spill: str | None, cost: tmemstore.CostModel, seed: int) -> Device:
    """Return the times of a run's device: those of the profile it names, or else measured.

    ``storage``: as ``--storage``; ``spill``: the path of the spill file, which is read where nothing is named;
    ``cost``: what the run learned of writes.  Raises ProfileError or ValueError for what is no storage.
    """
    if storage is not None and storage != _MEASURE:
        profile = _profile(storage)
        return Device(
            profile.random_read.request_time_ns(PAGE),
            profile.random_write.request_time_ns(PAGE),
            f"{profile.source}: {profile.name}, single requests of 4 KiB",
        )
    read_ns = None if spill is None else _read_ns(Path(spill), seed)
    reads = "no reads: the spill file has too few pages" if read_ns is None else "single pages of the spill file"
    return Device(read_ns, PAGE * cost.byte_ps // 1000, f"measured: {reads}; writes at the rate of this run's batches")


def _profile(storage: str) -> tmemstore.StorageProfile:
    named = storage.removeprefix(_EMULATED)
    if named == storage and Path(storage).exists():
        return tmemstore.StorageProfile.load(storage)
    return tmemstore.EmulatedDevice.parse(named).profile


def _read_ns(path: Path, seed: int) -> int | None:
    """Return the median time of a read past the page cache; None for a file with too few pages, or without one."""
    try:
        pages = path.stat().st_blocks * 512 // PAGE
        if pages < _READS:
            return None
        handle = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return None
    offsets = np.random.default_rng(seed).integers(0, path.stat().st_size // PAGE, _READS) * PAGE
    took_ns = []
    try:
        with closing(mmap.mmap(-1, PAGE)) as page:
            for place in offsets.tolist():
                offset = _data_at(handle, place)
                began_ns = time.perf_counter_ns()
                os.preadv(handle, [page], offset)
                took_ns.append(time.perf_counter_ns() - began_ns)
    except OSError:
        return None
    finally:
        os.close(handle)
    return median(took_ns)


def _data_at(handle: int, offset: int) -> int:
    """Return the next offset with data, or the first one of all: a hole costs the device nothing."""
    try:
        return os.lseek(handle, offset, os.SEEK_DATA)
    except OSError:
        return os.lseek(handle, 0, os.SEEK_DATA)
