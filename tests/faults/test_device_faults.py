"""Devices that fail now and then, by seed: whatever fails, a persistent page is right or says SpillError."""

import random

import pytest

import tmemstore
from support import (
    FOREVER,
    assert_all_back,
    disarm,
    load,
    mixed,
    noise,
    scribble,
    store_pages,
    try_alloc,
    wait_writes_done,
    whole,
)
from tmemstore import Ending, FaultSite

EIO, ENOSPC = 5, 28


@pytest.mark.parametrize("seed", range(6))
def test_a_device_that_fails_by_seed_loses_no_page(opened, seed):
    rng = random.Random(seed)
    tm = opened("2MiB", spill=True, codec=rng.choice(["none", "lz4", "zstd"]), eviction=rng.choice(["fifo", "sieve"]))
    swap = tm.frontswap(0)
    pages = {}
    for step in range(40):
        site = rng.choice([FaultSite.WRITE, FaultSite.READ, FaultSite.SHORT_WRITE, FaultSite.CORRUPT])
        error = rng.choice([EIO, ENOSPC]) if site in (FaultSite.WRITE, FaultSite.READ) else 0
        tm.store.arm_fault(site, skip=rng.randrange(4), count=rng.choice([1, 2, FOREVER]), error=error)
        for _ in range(60):
            offset, page = rng.randrange(500), mixed(rng.randrange(10**6))
            if swap.store(offset, page):
                pages[offset] = page
            else:
                pages.pop(offset, None)
        contig, report = try_alloc(tm, rng.randrange(1, 513) * 4096)
        assert report.ending in (Ending.MET, Ending.ABORTED)
        if contig is not None:
            scribble(contig, step)
        for offset in rng.sample(range(500), 30):
            try:
                got = load(swap, offset)
            except tmemstore.SpillError:
                assert offset in pages
            else:
                assert got == pages.get(offset), f"seed {seed}, step {step}, offset {offset}"
        if contig is not None:
            contig.release()
        tm.verify()
        disarm(tm)
    assert_all_back(swap, pages)


@pytest.mark.parametrize("error", [EIO, ENOSPC])
def test_a_dead_device_keeps_every_page_in_ram_for_good(opened, error):
    """A page without a verified copy never leaves RAM, however often it is asked to."""
    tm = opened("1MiB", spill=True, codec="none")
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(256)}
    store_pages(swap, pages)
    tm.store.arm_fault(FaultSite.WRITE, count=FOREVER, error=error)
    for size in ("64KiB", "256KiB", whole(tm)) * 3:
        contig, report = try_alloc(tm, size)
        assert contig is None
        assert (report.ending, report.reason) == (Ending.ABORTED, "spill")
        assert tm.frame_counts().isolated == 0
        tm.verify()
    assert tm.frame_counts().frontswap == 256
    assert tm.stats().pages_spilled == 0
    tm.store.arm_fault(FaultSite.READ, count=FOREVER, error=EIO)
    assert_all_back(swap, pages)


@pytest.mark.parametrize("skip", range(8))
def test_a_device_that_fills_up_half_way_keeps_what_did_not_fit_in_ram(opened, skip):
    tm = opened("8MiB", spill=True, codec="none")
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(2048)}
    store_pages(swap, pages)
    tm.store.arm_fault(FaultSite.WRITE, skip=skip, count=FOREVER, error=ENOSPC)
    contig, report = try_alloc(tm, whole(tm))
    assert report.ending in (Ending.ABORTED, Ending.MET)
    assert (report.ending == Ending.ABORTED) == (tm.store.fault_fired(FaultSite.WRITE) > 0)
    wait_writes_done(tm)
    assert_all_back(swap, pages)
    if contig is not None:
        contig.release()
    tm.verify()


def test_a_slow_device_is_not_a_broken_one(opened):
    tm = opened("1MiB", spill=True)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(200)}
    store_pages(swap, pages)
    tm.store.arm_fault(FaultSite.SHORT_WRITE, count=FOREVER, delay_ns=3_000_000)
    contig, report = try_alloc(tm, whole(tm))
    assert tm.store.fault_fired(FaultSite.SHORT_WRITE) >= 1
    assert report.ending in (Ending.MET, Ending.ABORTED)
    if contig is not None:
        scribble(contig)
    assert_all_back(swap, pages)
    disarm(tm)
    tm.verify()
    if contig is not None:
        contig.release()
