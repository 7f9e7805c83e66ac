"""What the law, fault and property tests share: page families, filling, snapshots.  Public names only."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tmemstore

PAGE = 4096
FOREVER = 2**64 - 1
PATIENCE = 60.0  # seconds until a test calls it a hang; never a statement about speed
UUID = bytes(range(16))

# A cost model taken as given: opening measures nothing and a deadline of 100 ms is never refused in advance.
MODEL = tmemstore.CostModel(t0_ns=20_000, drop_ns=200, object_ns=1_000, byte_ps=1_000, zero_ns=500, source="assumed")


# ---- pages: three families, a seed tells the pages of a family apart ------------------------------


@lru_cache(maxsize=8192)
def noise(seed: int) -> bytes:
    """A page that does not compress."""
    return np.random.default_rng(seed).bytes(PAGE)


@lru_cache(maxsize=8192)
def text(seed: int) -> bytes:
    """A page that compresses well, as text does."""
    lines = (f"{seed:08x} {line:03d}: the page went out and came back, as it was\n" for line in range(90))
    return "".join(lines).encode()[:PAGE]


@lru_cache(maxsize=8192)
def fill(seed: int) -> bytes:
    """A page whose 64-bit words are all equal."""
    return (seed % 2**64).to_bytes(8, "little") * (PAGE // 8)


FAMILIES: dict[str, Callable[[int], bytes]] = {"noise": noise, "text": text, "fill": fill}


def mixed(seed: int) -> bytes:
    """One page of the three families by turns."""
    return (noise, text, fill)[seed % 3](seed)


def stack(pages: Iterable[bytes]) -> np.ndarray:
    """uint8[n, 4096] of the pages."""
    return np.frombuffer(b"".join(pages), np.uint8).reshape(-1, PAGE).copy()


def keys(numbers: Iterable[int]) -> np.ndarray:
    """uint64[n] of the numbers."""
    return np.array(list(numbers), np.uint64)


# ---- putting in and looking at what is there ------------------------------------------------------


def store_pages(swap: Any, pages: Mapping[int, bytes]) -> None:
    """Store every page; each must be accepted."""
    accepted = swap.store_many(keys(pages), stack(pages.values()))
    assert accepted.all(), f"{int((~accepted).sum())} of {len(pages)} stores refused"


def put_pages(fs: Any, inode: int, pages: Mapping[int, bytes]) -> None:
    """Put every page of one file; each must be accepted."""
    accepted = fs.put_page_many(keys([inode] * len(pages)), keys(pages), stack(pages.values()))
    assert accepted.all(), f"{int((~accepted).sum())} of {len(pages)} puts refused"


def store_until_refused(swap: Any, make: Callable[[int], bytes] = noise, start: int = 0) -> dict[int, bytes]:
    """Store page after page until the first refusal; what was accepted."""
    pages: dict[int, bytes] = {}
    for offset in range(start, start + 100_000):
        page = make(offset)
        if not swap.store(offset, page):
            return pages
        pages[offset] = page
    message = "nothing was ever refused"
    raise AssertionError(message)


def load(swap: Any, offset: int) -> bytes | None:
    """The page at an offset, None where absent."""
    out = bytearray(PAGE)
    return bytes(out) if swap.load(offset, out) else None


def get(fs: Any, inode: int, index: int) -> bytes | None:
    """The page of a file, None where absent."""
    out = bytearray(PAGE)
    return bytes(out) if fs.get_page(inode, index, out) else None


def tmem_get(store: Any, pool: int, object_: int, index: int) -> bytes | None:
    """The page under a tmem key, None where absent."""
    out = bytearray(PAGE)
    return bytes(out) if store.get(pool, object_, index, out) else None


def assert_all_back(swap: Any, pages: Mapping[int, bytes]) -> None:
    """Every page comes back byte for byte, by the batch and alone."""
    offsets = list(pages)
    out = np.zeros((len(offsets), PAGE), np.uint8)
    hit = swap.load_many(keys(offsets), out)
    lost = [offset for offset, there in zip(offsets, hit, strict=True) if not there]
    assert not lost, f"{len(lost)} of {len(offsets)} persistent pages lost: {lost[:10]}"
    wrong = [offset for row, offset in enumerate(offsets) if out[row].tobytes() != pages[offset]]
    assert not wrong, f"{len(wrong)} of {len(offsets)} persistent pages came back changed: {wrong[:10]}"
    for offset in offsets[:: max(1, len(offsets) // 16)]:
        assert load(swap, offset) == pages[offset], f"page {offset} alone came back changed"


def clean_survivors(fs: Any, inode: int, pages: Mapping[int, bytes]) -> int:
    """How many of a file's pages are still there; each must be intact.  Exclusive pools are emptied by it."""
    found = 0
    for index, page in pages.items():
        got = get(fs, inode, index)
        if got is not None:
            found += 1
            assert got == page, f"clean page {index} is stale or damaged"
    return found


def places(swap: Any, offsets: Iterable[int]) -> list[int]:
    """The Place bits of each offset."""
    return [int(place) for place in swap.where_many(keys(offsets))]


def held(tm: Any) -> dict[str, Any]:
    """All stats but the counters of allocations: what a refused allocation must leave equal."""
    stats = dataclasses.asdict(tm.stats())
    return {name: value for name, value in stats.items() if not name.startswith("alloc")}


# ---- allocations ------------------------------------------------------------------------------------


def whole(tm: Any) -> int:
    """The size of the region in bytes."""
    return int(tm.region.size_bytes)


def try_alloc(tm: Any, size: int | str, **options: Any) -> tuple[Any, Any]:
    """(range, report); the range is None unless the ending is MET."""
    try:
        contig = tm.alloc_contig(size, **options)
    except (tmemstore.AllocationRefused, tmemstore.AllocationAborted) as error:
        return None, error.report
    return contig, contig.report


def scribble(contig: Any, byte: int = 0xA5) -> None:
    """Write the whole range over."""
    contig.view[:] = bytes([byte]) * contig.size_bytes


def page_everything_out(tm: Any) -> None:
    """Take the whole region once and give it back: every page with data is in the spill file only."""
    with tm.alloc_contig(whole(tm)) as contig:
        scribble(contig)


# ---- faults and waiting -------------------------------------------------------------------------------


def disarm(tm: Any, *sites: Any) -> None:
    """Disarm the sites named, or all."""
    for site in sites or tmemstore.FaultSite:
        tm.store.arm_fault(site, count=0)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; fails when it looks like a hang."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"hang: {what}"
        time.sleep(0.002)


def wait_fired(tm: Any, site: Any, times: int = 1) -> None:
    """Wait until a fault has fired."""
    wait_until(lambda: tm.store.fault_fired(site) >= times, f"{site!r} never fired")


def wait_writes_done(tm: Any) -> None:
    """Wait until no write is under way."""
    wait_until(lambda: tm.stats().spill_writes_pending == 0, "writes are still pending")


# ---- other processes ------------------------------------------------------------------------------------


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process with tmemstore on its path; talk to it through its pipes."""
    environment = dict(os.environ)
    root = str(Path(tmemstore.__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-u", "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def run_child(script: str, *arguments: object) -> str:
    """Run a script to its end; what it printed.  Any exit but 0 (a signal is negative) fails the test."""
    process = child(script, *arguments)
    hangs = False
    try:
        out, errors = process.communicate(timeout=2 * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, errors = process.communicate()
        hangs = True
    assert not hangs, f"hang\n{out}\n{errors}"
    assert process.returncode == 0, f"exit {process.returncode}\n{out}\n{errors}"
    return out


# ---- bad input ------------------------------------------------------------------------------------


@contextlib.contextmanager
def refuses(errors: type[BaseException] | tuple[type[BaseException], ...], *hints: str) -> Iterator[None]:
    """The block raises one of errors, and its sentence is one, with the hints in it."""
    with pytest.raises(errors) as caught:
        yield
    sentence = str(caught.value)
    assert len(sentence.split()) >= 4, f"no sentence: {sentence!r}"
    for hint in hints:
        assert hint.lower() in sentence.lower(), f"{hint!r} is missing in: {sentence}"


# ---- reports that no allocation made ----------------------------------------------------------------------


def plain_window(**changes: Any) -> tmemstore.Window:
    """A window of nothing, but for these fields."""
    return tmemstore.Window(
        **(dict.fromkeys((each.name for each in dataclasses.fields(tmemstore.Window)), 0) | changes)
    )


def plain_report(**changes: Any) -> tmemstore.ReclaimReport:
    """The report of an allocation that was met and took nothing, but for these fields."""
    values: dict[str, Any] = {each.name: 0 for each in dataclasses.fields(tmemstore.ReclaimReport)}
    values |= {"ending": tmemstore.Ending.MET, "reason": "none", "window": plain_window()}
    values |= {"starved": False, "recovery_ns": None}
    return tmemstore.ReclaimReport(**(values | changes))


# ---- devices that are full ------------------------------------------------------------------------


@contextlib.contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let no file become larger: to this process it is as if the disk were full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
