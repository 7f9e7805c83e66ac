"""A million operations by seed, at batch speed, against arrays of version numbers.

TMEMSTORE_SEED repeats a run (a failure prints its seed); TMEMSTORE_RUN_FACTOR makes the runs that much longer.
"""

import os
import threading
import traceback
from abc import ABC, abstractmethod

import numpy as np
import pytest

import tmemstore
from support import MODEL, PAGE, disarm, noise, text
from tmemstore import Effort, Ending

KEYS, BATCH = 3_000, 256
FACTOR = float(os.environ.get("TMEMSTORE_RUN_FACTOR", "1"))
SEED = int(os.environ.get("TMEMSTORE_SEED", "0")) or int.from_bytes(os.urandom(4), "little")

TEMPLATES = np.frombuffer(
    b"".join([noise(1), text(1), noise(2)[:2048] + text(2)[2048:], bytes(PAGE)]), np.uint64
).reshape(4, PAGE // 8)


def make_pages(keys, versions):
    """The page of each (key, version): the version is in it, and so the staleness of a wrong one shows."""
    family = (keys + versions) % 4
    pages = TEMPLATES[family.astype(np.intp)]
    stamp = versions * np.uint64(2**20) + keys
    filled = family == 3
    pages[:, 0], pages[:, 300], pages[:, -1] = stamp, stamp, stamp
    pages[filled] = stamp[filled, None]
    return pages.view(np.uint8)


class Shadow(ABC):
    """One pool and the version each of its keys holds; 0: absent for certain.  ends: the keys that are its own."""

    def __init__(self, put, get, flush, rng, first=0, last=KEYS):
        self.put, self.get, self.flush = put, get, flush
        self.rng, self.first, self.last = rng, first, last
        self.version = np.zeros(KEYS, np.uint64)
        self.next = 1

    def some_keys(self, count):
        """Half of the time neighbours, half of the time scattered; none twice."""
        width = self.last - self.first
        if self.rng.random() < 0.5:
            start = int(self.rng.integers(width))
            return (self.first + (start + np.arange(count)) % width).astype(np.uint64)
        return (self.first + self.rng.permutation(width)[:count]).astype(np.uint64)

    def step(self, count=BATCH):
        """One batch; how many operations it was."""
        keys = self.some_keys(count)
        choice = self.rng.random()
        if choice < 0.5:
            versions = np.arange(self.next, self.next + count, dtype=np.uint64)
            self.next += count
            accepted = self.put(keys, make_pages(keys, versions))
            self.version[keys] = np.where(accepted, versions, 0)
        elif choice < 0.95:
            self.look(keys)
        else:
            for key in keys[:32]:
                self.flush(int(key))
            self.version[keys[:32]] = 0
            return 32
        return count

    @abstractmethod
    def look(self, keys):
        """Get these keys and compare them."""

    def compare(self, keys, hit, out):
        versions = self.version[keys]
        ghosts = keys[hit & (versions == 0)]
        assert not len(ghosts), f"keys {ghosts[:5]} came back though absent"
        wrong = (out[hit] != make_pages(keys[hit], versions[hit])).any(axis=1)
        assert not wrong.any(), f"keys {keys[hit][wrong][:5]} are stale or damaged"
        return versions


class Swap(Shadow):
    def look(self, keys):
        out = np.zeros((len(keys), PAGE), np.uint8)
        hit = self.get(keys, out)
        versions = self.compare(keys, hit, out)
        lost = keys[~hit & (versions != 0)]
        assert not len(lost), f"persistent keys {lost[:5]} are lost"


class Clean(Shadow):
    exclusive = True

    def look(self, keys):
        out = np.zeros((len(keys), PAGE), np.uint8)
        hit = self.get(keys, out)
        self.compare(keys, hit, out)
        self.version[keys[~hit]] = 0  # a miss stays a miss
        if self.exclusive:
            self.version[keys[hit]] = 0


def swap_shadow(swap, rng, first=0, last=KEYS):
    return Swap(swap.store_many, swap.load_many, swap.invalidate_page, rng, first, last)


def clean_shadow(fs, rng, first=0, last=KEYS):
    """Key k is page k % 64 of inode k // 64."""
    shadow = Clean(
        lambda keys, pages: fs.put_page_many(keys // 64, keys % 64, pages),
        lambda keys, out: fs.get_page_many(keys // 64, keys % 64, out),
        lambda key: fs.invalidate_page(key // 64, key % 64),
        rng,
        first,
        last,
    )
    shadow.exclusive = fs.exclusive
    return shadow


def allocate(tm, rng, held):
    """One random allocation or release; ranges that are out carry a byte of their own."""
    if held and rng.random() < 0.6:
        contig, byte = held.pop(int(rng.integers(len(held))))
        data = np.frombuffer(bytes(contig.view), np.uint8)
        assert (data == byte).all(), "somebody wrote into a claimed range"
        contig.release()
        return
    frames = int(rng.integers(1, tm.region.frames // (1 if not held and rng.random() < 0.1 else 3)))
    deadline = [None, "1ms", "20ms"][int(rng.integers(3))]
    effort = [Effort.PAGE_OUT, Effort.PAGE_OUT, Effort.DROP, Effort.FREE][int(rng.integers(4))]
    try:
        contig = tm.alloc_contig(frames * PAGE, deadline=deadline, effort=effort)
    except (tmemstore.AllocationRefused, tmemstore.AllocationAborted):
        return
    assert contig.report.ending == Ending.MET
    assert contig.report.commit_ns <= contig.report.deadline_ns or deadline is None
    byte = int(rng.integers(1, 255))
    contig.view[:] = bytes([byte]) * contig.size_bytes
    held.append((contig, byte))


def finish(tm, shadows, held):
    """Every key of every shadow once, then nothing may be left."""
    disarm(tm)
    tm.verify()
    for shadow in shadows:
        shadow.look(np.arange(shadow.first, shadow.last, dtype=np.uint64))
    for contig, _ in held:
        contig.release()
    tm.verify()
    assert tm.frame_counts().allocated == tm.frame_counts().isolated == 0


@pytest.mark.parametrize(
    ("codec", "eviction", "inclusive", "operations"),
    [("lz4", "sieve", False, 1_200_000), ("none", "fifo", True, 500_000), ("zstd", "lru", False, 250_000)],
)
def test_a_long_random_run_never_loses_or_mixes_up_a_page(opened, codec, eviction, inclusive, operations):
    print(f"TMEMSTORE_SEED={SEED}")  # noqa: T201  pytest shows it with a failure
    rng = np.random.default_rng(SEED)
    tm = opened((1024 + 37) * PAGE, spill=True, codec=codec, eviction=eviction, storage=MODEL)
    area = tm.frontswap(1)
    shadows = [
        swap_shadow(tm.frontswap(0), rng),
        clean_shadow(tm.cleancache("rootfs", inclusive=inclusive), rng),
        swap_shadow(area, rng, 0, 400),
    ]
    held, done, batches = [], 0, 0
    while done < operations * FACTOR:
        done += shadows[int(rng.choice(3, p=[0.45, 0.45, 0.1]))].step()
        batches += 1
        if batches % 24 == 0:
            allocate(tm, rng, held)
        if batches % 64 == 0:
            tm.verify()
        if batches % 500 == 0:
            area.invalidate_area()
            shadows[2].version[:] = 0
    finish(tm, shadows, held)
    stats = tm.stats()
    assert stats.clean_evicted + stats.alloc_clean_dropped > 0
    assert stats.alloc_paged_out > 0, "nothing was ever paged out: the run shows little"
    assert stats.swap_hits_spill > 0
    assert stats.allocs_met > 0


@pytest.mark.parametrize("codec", ["lz4", "none"])
def test_two_threads_and_an_allocator_never_lose_or_mix_up_a_page(opened, codec):
    """The same pools, keys of their own; allocations, releases and verify() run beside them."""
    print(f"TMEMSTORE_SEED={SEED}")  # noqa: T201  pytest shows it with a failure
    tm = opened((1024 + 11) * PAGE, spill=True, codec=codec, storage=MODEL)
    swap, fs = tm.frontswap(0), tm.cleancache("rootfs")
    failures, shadows, held = [], [], []
    running = threading.Event()
    running.set()

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except Exception:  # noqa: BLE001  whatever it is, the main thread reports it
            failures.append(traceback.format_exc())
            running.clear()

    def user(number):
        rng = np.random.default_rng([SEED, number])
        first, last = number * KEYS // 2, (number + 1) * KEYS // 2
        own = [swap_shadow(swap, rng, first, last), clean_shadow(fs, rng, first, last)]
        shadows.extend(own)
        done = 0
        while done < 100_000 * FACTOR and running.is_set():
            done += own[int(rng.integers(2))].step(64)

    def allocator():
        rng = np.random.default_rng([SEED, 99])
        while running.is_set():
            allocate(tm, rng, held)
            if rng.random() < 0.2:
                tm.verify()
                tm.stats()

    users = [threading.Thread(target=guarded, args=(user, number)) for number in range(2)]
    beside = threading.Thread(target=guarded, args=(allocator,))
    for thread in (*users, beside):
        thread.start()
    for thread in users:
        thread.join()
    running.clear()
    beside.join()
    assert not failures, failures[0]
    finish(tm, shadows, held)
    assert tm.stats().allocs_met > 0
