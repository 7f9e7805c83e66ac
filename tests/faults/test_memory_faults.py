"""Every allocation of bookkeeping may fail: the n-th one, for every n a short script needs."""

import numpy as np
import pytest

from support import (
    FOREVER,
    assert_all_back,
    disarm,
    get,
    keys,
    load,
    mixed,
    noise,
    stack,
    store_pages,
    text,
    try_alloc,
    whole,
)
from tmemstore import Ending, FaultSite

SITES = [FaultSite.ENTRY_ALLOC, FaultSite.OBJECT_ALLOC, FaultSite.SPAN_ALLOC, FaultSite.GROUP_ALLOC]


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_whichever_allocation_fails_the_model_holds(opened, codec, site):
    fired = 0
    for skip in [*range(12), *range(12, 120, 9)]:
        tm = opened("1MiB", spill=True, codec=codec)
        tm.store.arm_fault(site, skip=skip, count=1)
        fs, swap = tm.cleancache("rootfs"), tm.frontswap(0)
        swapped, clean = {}, {}
        for step in range(60):
            offset, page = step * 7 % 40 << (step % 3 * 16), mixed(step)
            if swap.store(offset, page):
                swapped[offset] = page
            else:
                swapped.pop(offset, None)
                assert load(swap, offset) is None
            inode, index = step % 5, step % 11
            if fs.put_page(inode, index, page):
                clean[inode, index] = page
            else:
                clean.pop((inode, index), None)
                assert get(fs, inode, index) is None
            if step % 20 == 19:
                contig, report = try_alloc(tm, whole(tm) if step == 19 else "256KiB")
                assert report.ending in (Ending.MET, Ending.ABORTED)
                if contig is None:
                    assert report.reason == "memory"
                    assert tm.frame_counts().isolated == tm.frame_counts().allocated == 0
                else:
                    contig.release()
            tm.verify()
        fired += tm.store.fault_fired(site)
        assert_all_back(swap, swapped)
        for (inode, index), page in clean.items():
            assert get(fs, inode, index) in (page, None)
        tm.close()
    if not (codec == "none" and site == FaultSite.SPAN_ALLOC):
        assert fired, f"{site.name} was never reached: the test shows nothing"


def test_an_allocation_without_memory_for_its_writes_is_aborted_and_loses_nothing(opened):
    tm = opened("2MiB", spill=True, codec="none")
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(500)}
    store_pages(swap, pages)
    tm.store.arm_fault(FaultSite.GROUP_ALLOC, count=FOREVER)
    contig, report = try_alloc(tm, whole(tm))
    assert contig is None
    assert (report.ending, report.reason) == (Ending.ABORTED, "memory")
    assert tm.frame_counts().isolated == tm.frame_counts().allocated == 0
    tm.verify()
    assert_all_back(swap, pages)
    disarm(tm)
    with tm.alloc_contig(whole(tm)):
        assert_all_back(swap, pages)


@pytest.mark.parametrize("site", SITES[:3], ids=lambda site: site.name)
def test_a_batch_goes_on_after_one_refusal_for_memory(opened, site):
    """One allocation fails: the keys that were refused are absent, all others hold their page."""
    tm = opened("1MiB", codec="lz4")
    swap = tm.frontswap(0)
    tm.store.arm_fault(site, skip=0 if site == FaultSite.OBJECT_ALLOC else 2, count=1)
    pages = stack((text, noise)[number % 2](number) for number in range(100))
    offsets = keys(number << 24 for number in range(100))
    accepted = swap.store_many(offsets, pages)
    assert (~accepted).sum() <= 1
    out = np.zeros_like(pages)
    hit = swap.load_many(offsets, out)
    assert np.array_equal(hit, accepted)
    assert np.array_equal(out[hit], pages[hit])
    tm.verify()
