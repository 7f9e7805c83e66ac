"""A hypothesis state machine against a dict model: every verb, allocations, faults; verify() after every step.

TMEMSTORE_RUN_FACTOR makes it that much longer.
"""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import tmemstore
from support import FAMILIES, MODEL, PAGE, UUID, disarm, get, keys, load, stack, wait_writes_done
from tmemstore import Effort, Ending, FaultSite, Place

INODES, INDEXES, OFFSETS = 3, 300, 600
POOLS = st.sampled_from(["exclusive", "inclusive", "shared", "shared again"])
FAMILY = st.sampled_from(sorted(FAMILIES))
INODE, INDEX, OFFSET = st.integers(0, INODES - 1), st.integers(0, INDEXES - 1), st.integers(0, OFFSETS - 1)
COUNT = st.integers(0, 200)
MEMORY = (FaultSite.ENTRY_ALLOC, FaultSite.OBJECT_ALLOC, FaultSite.SPAN_ALLOC, FaultSite.GROUP_ALLOC)
READS = (FaultSite.READ, FaultSite.CORRUPT)
EIO = 5
FACTOR = float(os.environ.get("TMEMSTORE_RUN_FACTOR", "1"))


class StoreMachine(RuleBasedStateMachine):
    """clean and swap hold what may come back: a clean page may vanish, a frontswap page may not."""

    @initialize(
        codec=st.sampled_from(["none", "lz4", "zstd"]),
        eviction=st.sampled_from(["fifo", "lru", "sieve"]),
        frames=st.one_of(st.sampled_from([256, 512, 1024, 1536]), st.integers(256, 1536)),
        with_spill=st.booleans(),
    )
    def open(self, codec, eviction, frames, with_spill):
        self.folder = TemporaryDirectory()
        spill = Path(self.folder.name) / "spill.img" if with_spill else None
        self.tm = tmemstore.open(frames * PAGE, spill, codec=codec, eviction=eviction, storage=MODEL)
        self.tm.store.authorize_shared(UUID)
        self.pools = {
            "exclusive": self.tm.cleancache("exclusive"),
            "inclusive": self.tm.cleancache("inclusive", inclusive=True),
            "shared": self.tm.cleancache("shared", uuid=UUID),
            "shared again": self.tm.cleancache("shared again", uuid=UUID),
        }
        self.swap_area = self.tm.frontswap(0)
        self.clean, self.swap, self.ranges = {}, {}, []
        self.seed = 0
        self.reads_fail = False

    def teardown(self):
        if not hasattr(self, "tm"):
            return
        try:
            disarm(self.tm)
            self.tm.enabled = True
            self.check_all()
            for contig, byte in self.ranges:
                assert bytes(contig.view) == bytes([byte]) * contig.size_bytes
                contig.release()
            self.tm.verify()
            self.swap_area.invalidate_area()
            for name in ("exclusive", "inclusive", "shared", "shared again"):
                self.pools[name].invalidate_fs()
            wait_writes_done(self.tm)
            stats = self.tm.stats()
            assert self.tm.frame_counts().free == self.tm.region.frames
            assert (stats.objects, stats.pages_fill, stats.spill_blocks_used) == (0, 0, 0)
        finally:
            self.tm.close()
            self.folder.cleanup()

    def check_all(self):
        for offset in range(OFFSETS):
            assert load(self.swap_area, offset) == self.swap.get(offset)
        for (name, inode, index), page in list(self.clean.items()):
            assert get(self.pools[name], inode, index) in (page, None)

    @invariant()
    def every_structure_is_whole(self):
        if hasattr(self, "tm"):
            self.tm.verify()
            assert sum(self.tm.frame_counts()) == self.tm.region.frames

    def pages(self, family, count):
        self.seed += count
        return [FAMILIES[family](self.seed - number) for number in range(count)]

    @staticmethod
    def model_name(pool):
        return "shared" if pool.startswith("shared") else pool

    # ---- cleancache ------------------------------------------------------------------------------

    @rule(pool=POOLS, inode=INODE, index=INDEX, family=FAMILY)
    def put_page(self, pool, inode, index, family):
        page = self.pages(family, 1)[0]
        key = self.model_name(pool), inode, index
        if self.pools[pool].put_page(inode, index, page):
            self.clean[key] = page
        else:
            self.clean.pop(key, None)

    @rule(pool=POOLS, inode=INODE, start=INDEX, count=COUNT, family=FAMILY)
    def put_page_many(self, pool, inode, start, count, family):
        pages = self.pages(family, count)
        numbers = [(start + number) % INDEXES for number in range(count)]
        if not count:
            return
        accepted = self.pools[pool].put_page_many(keys([inode] * count), keys(numbers), stack(pages))
        for index, page, ok in zip(numbers, pages, accepted, strict=True):
            self.clean.pop((self.model_name(pool), inode, index), None)
            if ok:
                self.clean[self.model_name(pool), inode, index] = page

    def seen(self, pool, inode, index, page):
        """What a get may answer, and what it leaves."""
        key = self.model_name(pool), inode, index
        if page is None:
            self.clean.pop(key, None)  # a miss stays a miss
            return
        assert key in self.clean, f"{key} was invalidated, refused or never put, and came back"
        assert page == self.clean[key], f"{key} is stale"
        if pool == "exclusive":
            del self.clean[key]

    @rule(pool=POOLS, inode=INODE, index=INDEX)
    def get_page(self, pool, inode, index):
        page = get(self.pools[pool], inode, index)
        self.seen(pool, inode, index, page)
        again = None if pool == "exclusive" else page
        assert get(self.pools[pool], inode, index) == again, "get is exclusive, or it leaves the page"

    @rule(pool=POOLS, inode=INODE, start=INDEX, count=COUNT)
    def get_page_many(self, pool, inode, start, count):
        numbers = [(start + number) % INDEXES for number in range(count)]
        out = np.zeros((count, PAGE), np.uint8)
        hit = self.pools[pool].get_page_many(keys([inode] * count), keys(numbers), out)
        for row, index in enumerate(numbers):
            self.seen(pool, inode, index, out[row].tobytes() if hit[row] else None)

    @rule(pool=POOLS, inode=INODE, index=INDEX)
    def invalidate_page(self, pool, inode, index):
        self.pools[pool].invalidate_page(inode, index)
        self.clean.pop((self.model_name(pool), inode, index), None)

    @rule(pool=POOLS, inode=INODE)
    def invalidate_inode(self, pool, inode):
        self.pools[pool].invalidate_inode(inode)
        self.clean = {key: page for key, page in self.clean.items() if key[:2] != (self.model_name(pool), inode)}

    @rule(pool=st.sampled_from(["exclusive", "inclusive", "shared again"]))
    def invalidate_fs(self, pool):
        self.pools[pool].invalidate_fs()
        if pool == "shared again":  # the other handle keeps the pages
            self.pools[pool] = self.tm.cleancache(pool, uuid=UUID)
            return
        self.pools[pool] = self.tm.cleancache(pool, inclusive=pool == "inclusive")
        self.clean = {key: page for key, page in self.clean.items() if key[0] != pool}

    # ---- frontswap -------------------------------------------------------------------------------

    @rule(offset=OFFSET, family=FAMILY)
    def store(self, offset, family):
        page = self.pages(family, 1)[0]
        if self.swap_area.store(offset, page):
            self.swap[offset] = page
        else:
            self.swap.pop(offset, None)

    @rule(start=OFFSET, count=COUNT, family=FAMILY, stride=st.integers(1, 3))
    def store_many(self, start, count, family, stride):
        pages = self.pages(family, count)
        numbers = [(start + stride * number) % OFFSETS for number in range(count)]
        if not count:
            return
        for offset, page, ok in zip(
            numbers, pages, self.swap_area.store_many(keys(numbers), stack(pages)), strict=True
        ):
            self.swap.pop(offset, None)
            if ok:
                self.swap[offset] = page

    @rule(offset=OFFSET)
    def load(self, offset):
        try:
            page = load(self.swap_area, offset)
        except tmemstore.SpillError:
            assert self.reads_fail, "SpillError from a device that is well"
            assert self.place(offset) == Place.SPILL
        else:
            assert page == self.swap.get(offset)

    @rule(start=OFFSET, count=COUNT)
    def load_many(self, start, count):
        numbers = [(start + number) % OFFSETS for number in range(count)]
        out = np.zeros((count, PAGE), np.uint8)
        try:
            hit = self.swap_area.load_many(keys(numbers), out)
        except tmemstore.SpillError:
            assert self.reads_fail, "SpillError from a device that is well"
            return
        for row, offset in enumerate(numbers):
            assert bool(hit[row]) == (offset in self.swap)
            assert not hit[row] or out[row].tobytes() == self.swap[offset]

    def place(self, offset):
        return int(self.swap_area.where_many(keys([offset]))[0])

    @rule(offset=OFFSET)
    def where(self, offset):
        place = self.place(offset)
        assert bool(place) == (offset in self.swap)
        assert place in (Place.ABSENT, Place.FILL, Place.REGION, Place.SPILL, Place.REGION | Place.SPILL)

    @rule(offset=OFFSET)
    def invalidate_offset(self, offset):
        self.swap_area.invalidate_page(offset)
        self.swap.pop(offset, None)

    @rule()
    def invalidate_area(self):
        self.swap_area.invalidate_area()
        self.swap.clear()

    # ---- allocations -----------------------------------------------------------------------------

    @rule(
        share=st.floats(0.001, 1),
        effort=st.sampled_from([*Effort, Effort.PAGE_OUT, Effort.PAGE_OUT]),
        align=st.sampled_from([1, 1, 1, 2, 16, 512]),
        start=st.one_of(st.none(), st.none(), st.floats(0, 1)),
        deadline=st.sampled_from([None, None, "1ns", "100us", "5ms", "1s"]),
        zero=st.booleans(),
    )
    def alloc_contig(self, share, effort, align, start, deadline, zero):
        if len(self.ranges) == 4:  # no precondition: what hypothesis draws must not depend on how fast a device is
            self.release(0)
        total = self.tm.region.frames
        frames = max(1, int(share * total))
        if start is not None:
            start, align = int(start * (total - frames)), 1
        counts, resident = self.tm.frame_counts(), len(self.swap)
        try:
            contig = self.tm.alloc_contig(
                frames * PAGE, effort=effort, align=align * PAGE, start_pfn=start, deadline=deadline, zero=zero
            )
        except tmemstore.AllocationRefused:
            assert self.tm.frame_counts() == counts
            return
        except tmemstore.AllocationAborted:
            assert self.tm.frame_counts().isolated == 0
            assert self.tm.frame_counts().allocated == counts.allocated
            return
        report = contig.report
        assert report.ending == Ending.MET
        assert deadline is None or report.commit_ns <= report.deadline_ns
        assert effort >= Effort.PAGE_OUT or report.paged_out == report.bytes_written == 0
        assert effort >= Effort.DROP or report.pages_dropped == 0
        assert contig.size_bytes == frames * PAGE
        assert contig.start_pfn % align == 0
        assert start in (None, contig.start_pfn)
        assert self.tm.frame_counts().allocated == counts.allocated + frames
        assert not zero or not np.frombuffer(bytes(contig.view), np.uint8).any()
        assert len(self.swap) == resident
        byte = len(self.ranges) + 1
        contig.view[:] = bytes([byte]) * contig.size_bytes
        self.ranges.append((contig, byte))

    @rule()
    def page_everything_out(self):
        """As far as effort and device allow: so that loads meet pages that are in the spill file only."""
        while self.ranges:
            self.release(0)
        with suppress(tmemstore.AllocationRefused, tmemstore.AllocationAborted):
            self.tm.alloc_contig(self.tm.region.size_bytes).release()

    @rule(number=st.integers(0, 3))
    def give_back(self, number):
        if self.ranges:
            self.release(number)

    def release(self, number):
        contig, byte = self.ranges.pop(number % len(self.ranges))
        assert bytes(contig.view) == bytes([byte]) * contig.size_bytes, "somebody wrote into a claimed range"
        contig.release()
        with pytest.raises(tmemstore.PoolError):
            contig.release()

    # ---- trouble ---------------------------------------------------------------------------------

    @rule(enabled=st.booleans())
    def enable(self, enabled):
        self.tm.enabled = enabled

    @rule(site=st.sampled_from(MEMORY), skip=st.integers(0, 40), count=st.integers(1, 5))
    def memory_runs_out(self, site, skip, count):
        self.tm.store.arm_fault(site, skip=skip, count=count)

    @rule(site=st.sampled_from([FaultSite.WRITE, FaultSite.SHORT_WRITE]), skip=st.integers(0, 3))
    def writes_fail(self, site, skip):
        self.tm.store.arm_fault(site, skip=skip, count=2, error=EIO if site == FaultSite.WRITE else 0)

    @rule(site=st.sampled_from(READS), skip=st.integers(0, 20), count=st.integers(1, 50))
    def reads_go_wrong(self, site, skip, count):
        self.tm.store.arm_fault(site, skip=skip, count=count, error=EIO if site == FaultSite.READ else 0)
        self.reads_fail = True

    @rule(site=st.sampled_from([FaultSite.BEFORE_DROP, FaultSite.BEFORE_COMMIT]), delay=st.sampled_from([1, 4, 10]))
    def allocations_are_held_up(self, site, delay):
        self.tm.store.arm_fault(site, count=2, delay_ns=delay * 1_000_000)

    @rule()
    def all_is_well_again(self):
        disarm(self.tm)
        self.tm.enabled = True
        self.reads_fail = False


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=int(300 * FACTOR),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
