"""What a bench needs before it starts: a region that can be, enough pages and memory, a place for the spill file."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import tmemstore
from tmemstore.bench import machine
from tmemstore.bench.arena import PAGE
from tmemstore.bench.pages import LIVE, PageSource, open_pages
from tmemstore.mounts import in_memory

SEED = 1
"""Of all that the eviction bench draws."""

_SAMPLE_PAGES = 16384
_MARGIN = 1.05
_MOST_PAGES_PER_FRAME = 16
_PROBE_BYTES = 16 << 20
_CHILDREN_BYTES = 512 << 20
_LIKELY_PAGES_PER_FRAME = 4
_REGION_END = 256 << 30
"""What `tmemstore.Region` refuses from here on, the escape reserve included."""


def spare_pages(region_frames: int) -> int:
    """Return how many pages of each kind are held back, so that a history can replace pages by others."""
    return max(64, region_frames // 64)


def check_region(region_bytes: int, escape_bytes: int = 0) -> None:
    """Raise ValueError, naming the argument, for a region and an escape reserve that are larger than any can be."""
    if region_bytes + escape_bytes >= _REGION_END:
        size = tmemstore.units.format_size
        reserve = f" and --escape {size(escape_bytes)}" if escape_bytes else ""
        raise ValueError(f"--region is {size(region_bytes)}{reserve}; it must be less than {_REGION_END >> 30} GiB")


def check_memory(region_bytes: int, ratios: Sequence[int], pages: str) -> None:
    """Raise EnvironmentLacks, with what to do, if the region and its pages will not fit into free memory."""
    free = machine.memory_bytes("MemAvailable")
    copies = (max(ratios) * _LIKELY_PAGES_PER_FRAME + 100 - min(ratios)) * region_bytes // 100
    wanted = region_bytes + copies + (_CHILDREN_BYTES if pages == LIVE else 0)
    if free is not None and free < wanted:
        raise tmemstore.EnvironmentLacks(
            f"the region and the pages to fill it take about {wanted >> 20} MiB of memory and {free >> 20} MiB are "
            "available; take a smaller --region"
        )


def check_room(near: str, size_bytes: int) -> None:
    """Raise EnvironmentLacks, with what to do, if so many bytes will not fit where `spill_file` puts them."""
    folder = _disk_folder(near)
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise no_room(folder, size_bytes, f"it has {free >> 20} MiB free")


def no_room(folder: str | os.PathLike[str], size_bytes: int, why: str) -> tmemstore.EnvironmentLacks:
    """Return the error that says so."""
    return tmemstore.EnvironmentLacks(
        f"{folder} has no room for a file of {size_bytes >> 20} MiB ({why}); make room, or name a folder on another "
        "disk with --out"
    )


def collect(region_bytes: int, ratios: Sequence[int], codec: str, pages: str, *, escape_bytes: int = 0) -> PageSource:
    """Collect as many pages as the ratios and the escape reserve need; of anonymous ones, by how well they compress.

    Raises PagesFileError or NotEnoughPages, with what to do.
    """
    frames = region_bytes // PAGE
    files = frames * (100 - min(ratios)) // 100 + spare_pages(frames)
    swap_frames = frames * max(ratios) // 100
    if swap_frames:
        swap_frames += escape_bytes // PAGE
    capacity = swap_frames * _MOST_PAGES_PER_FRAME + spare_pages(frames)
    with open_pages(pages, files, capacity, seed=SEED) as source:
        anonymous = min(_SAMPLE_PAGES, swap_frames)
        source.need(0, anonymous)
        while swap_frames:
            wanted = int(swap_frames * pages_per_frame(source, codec) * _MARGIN) + spare_pages(frames)
            if min(wanted, capacity) <= anonymous:
                break
            anonymous = min(wanted, capacity)
            source.need(files, anonymous)
        source.need(files, anonymous)
        return source


def pages_per_frame(source: PageSource, codec: str) -> float:
    """Return how many of the anonymous pages the store keeps in one frame, tried on an even sample of them."""
    pages = source.anon_pages
    sample = np.ascontiguousarray(pages[:: max(1, len(pages) // _SAMPLE_PAGES)])
    with tmemstore.open(_PROBE_BYTES, codec=codec) as tm:
        stored = tm.frontswap(0).store_many(np.arange(len(sample)), sample)
        frames = tm.frame_counts().frontswap
    return float(stored.sum()) / frames if frames else 1.0


@contextlib.contextmanager
def spill_file(spill: str | None, near: str) -> Iterator[tuple[str, bool]]:
    """Give the path of the spill file and whether it is temporary; remove at the end what was not there before.

    Without ``spill`` it is a file in a new folder: in ``near`` or the nearest folder above it that is there, in the
    current or in the system's temporary folder, whichever can be written to and is not in RAM.
    """
    if spill is not None:
        existed = os.path.lexists(spill)
        try:
            yield spill, False
        finally:
            if not existed:
                with contextlib.suppress(OSError):
                    Path(spill).unlink()
        return
    folder = tempfile.mkdtemp(prefix=".tmemstore-spill-", dir=_disk_folder(near))
    try:
        yield str(Path(folder, "spill.img")), True
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _disk_folder(near: str) -> str:
    here = Path(near).absolute()
    nearest = next((folder for folder in (here, *here.parents) if folder.is_dir()), here)
    # /var/tmp, unlike /tmp, is never in RAM; mkdtemp makes a private folder there.
    candidates = (nearest, Path.cwd(), Path("/var/tmp"), Path(tempfile.gettempdir()))  # noqa: S108
    usable = [str(folder) for folder in candidates if os.access(folder, os.W_OK | os.X_OK)]
    if not usable:
        raise tmemstore.EnvironmentLacks("no folder for a spill file can be written to; name one with --spill PATH")
    return next((folder for folder in usable if not in_memory(folder)), usable[0])
