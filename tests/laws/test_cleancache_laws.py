"""The laws of cleancache: pages are intact or absent, never stale, and never in the way of others."""

import numpy as np
import pytest

import tmemstore
from support import (
    FAMILIES,
    UUID,
    clean_survivors,
    get,
    keys,
    load,
    mixed,
    noise,
    put_pages,
    stack,
    store_until_refused,
    text,
)

EVICTIONS = pytest.mark.parametrize("eviction", ["fifo", "lru", "sieve"])


@pytest.mark.parametrize("family", FAMILIES)
def test_exclusive_get_removes(opened, family):
    tm = opened()
    fs = tm.cleancache("rootfs")
    assert fs.exclusive
    assert fs.put_page(1, 2, FAMILIES[family](3))
    assert get(fs, 1, 2) == FAMILIES[family](3)
    assert get(fs, 1, 2) is None
    assert tm.frame_counts().free == tm.region.frames
    assert tm.stats().pages_clean + tm.stats().pages_fill == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_inclusive_get_leaves(opened, family):
    fs = opened().cleancache("rootfs", inclusive=True)
    assert not fs.exclusive
    assert fs.put_page(1, 2, FAMILIES[family](3))
    for _ in range(3):
        assert get(fs, 1, 2) == FAMILIES[family](3)


def test_exclusive_get_many_removes(opened):
    tm = opened()
    fs = tm.cleancache("rootfs")
    put_pages(fs, 9, {index: mixed(index) for index in range(60)})
    inodes, indexes = keys([9] * 60), keys(range(60))
    out = np.zeros((60, 4096), np.uint8)
    assert fs.get_page_many(inodes, indexes, out).all()
    assert np.array_equal(out, stack(mixed(index) for index in range(60)))
    assert not fs.get_page_many(inodes, indexes, out).any()
    assert tm.stats().objects == 0


def test_a_miss_leaves_the_callers_rows_of_a_batch_alone(opened):
    fs = opened().cleancache("rootfs")
    assert fs.put_page(1, 1, noise(1))
    out = np.full((3, 4096), 0xEE, np.uint8)
    assert fs.get_page_many(keys([1, 1, 1]), keys([0, 1, 2]), out).tolist() == [False, True, False]
    assert (out[0] == 0xEE).all()
    assert out[1].tobytes() == noise(1)
    assert (out[2] == 0xEE).all()


@EVICTIONS
def test_an_overfull_cache_is_intact_or_absent_never_stale(opened, eviction):
    """Three generations over the same keys, four times as many as there are frames."""
    tm = opened(eviction=eviction, admission_filter=False)
    fs = tm.cleancache("rootfs")
    count = 4 * tm.region.frames
    for generation in range(3):
        pages = {index: noise(generation * count + index) for index in range(count)}
        put_pages(fs, 1, pages)
        tm.verify()
    assert tm.stats().clean_evicted >= 2 * count
    assert clean_survivors(fs, 1, pages) == tm.region.frames


@EVICTIONS
def test_what_was_evicted_stays_absent(opened, eviction):
    tm = opened(eviction=eviction)
    fs = tm.cleancache("rootfs", inclusive=True)
    count = 2 * tm.region.frames
    put_pages(fs, 1, {index: noise(index) for index in range(count)})
    first = [get(fs, 1, index) is not None for index in range(count)]
    second = [get(fs, 1, index) is not None for index in range(count)]
    assert first == second
    assert sum(first) == tm.region.frames


@pytest.mark.parametrize(("eviction", "stays"), [("fifo", False), ("lru", True), ("sieve", True)])
def test_the_eviction_order_is_the_one_that_was_asked_for(opened, eviction, stays):
    """The oldest page was just used: FIFO drops it all the same, LRU and SIEVE drop another."""
    tm = opened(eviction=eviction)
    fs = tm.cleancache("rootfs", inclusive=True)
    frames = tm.region.frames
    put_pages(fs, 1, {index: noise(index) for index in range(frames)})
    assert get(fs, 1, 0) == noise(0)
    assert fs.put_page(1, frames, noise(frames))
    where = fs.where_many(keys([1] * (frames + 1)), keys(range(frames + 1)))
    assert int((where == 0).sum()) == 1, "one page in, one page out"
    assert where[frames], "the new page is the one that was evicted"
    assert bool(where[0]) is stays
    assert bool(where[1]) is not stays, "the next oldest goes if the oldest stays"


def test_a_full_ephemeral_fill_never_evicts_a_persistent_page(opened):
    tm = opened(codec="none")
    swap, fs = tm.frontswap(0), tm.cleancache("rootfs")
    pages = {offset: mixed(offset) for offset in range(180)}
    for offset, page in pages.items():
        assert swap.store(offset, page)
    put_pages(fs, 1, {index: noise(1000 + index) for index in range(1024)})
    assert tm.stats().clean_evicted > 0
    assert {offset: load(swap, offset) for offset in pages} == pages
    tm.verify()


def test_a_region_full_of_persistent_pages_takes_no_clean_page(opened):
    tm = opened(codec="none")
    swap, fs = tm.frontswap(0), tm.cleancache("rootfs")
    pages = store_until_refused(swap)
    assert not fs.put_page(1, 1, noise(1))
    assert get(fs, 1, 1) is None
    assert tm.stats().clean_rejects["full"] == 1
    assert {offset: load(swap, offset) for offset in pages} == pages


def test_invalidate_page_removes_that_page(opened):
    tm = opened()
    fs = tm.cleancache("rootfs", inclusive=True)
    put_pages(fs, 1, {index: mixed(index) for index in range(9)})
    fs.invalidate_page(1, 4)
    fs.invalidate_page(1, 44)  # absent: nothing happens
    assert [get(fs, 1, index) is not None for index in range(9)] == [index != 4 for index in range(9)]


def test_invalidate_inode_is_complete_and_touches_no_other_inode(opened):
    tm = opened("2MiB")
    fs = tm.cleancache("rootfs", inclusive=True)
    for inode in (1, 2, 3):
        put_pages(fs, inode, {index * 7919: mixed(1000 * inode + index) for index in range(150)})
    fs.invalidate_inode(2)
    counts = [
        clean_survivors(fs, inode, {i * 7919: mixed(1000 * inode + i) for i in range(150)}) for inode in (1, 2, 3)
    ]
    assert counts == [150, 0, 150]
    assert tm.stats().objects == 2
    tm.verify()


def test_invalidate_fs_frees_everything_and_ends_the_handle(opened):
    tm = opened("2MiB")
    fs, other = tm.cleancache("rootfs"), tm.cleancache("data")
    put_pages(fs, 1, {index: mixed(index) for index in range(200)})
    put_pages(other, 1, {7: noise(7)})
    fs.invalidate_fs()
    assert tm.frame_counts().clean == 1
    with pytest.raises(tmemstore.PoolError):
        fs.put_page(1, 1, noise(1))
    with pytest.raises(tmemstore.PoolError):
        get(fs, 1, 1)
    assert get(other, 1, 7) == noise(7)
    tm.verify()


def test_a_cleancache_with_a_uuid_is_private_until_it_is_authorised(opened):
    tm = opened()
    first, second = tm.cleancache("a", uuid=UUID), tm.cleancache("b", uuid=UUID)
    assert (first.shared, first.exclusive) == (False, True)
    assert first.put_page(1, 1, noise(1))
    assert get(second, 1, 1) is None
    tm.store.authorize_shared(UUID)
    third, fourth = tm.cleancache("c", uuid=UUID), tm.cleancache("d", uuid=UUID)
    assert (third.shared, third.exclusive) == (True, False)
    assert third.put_page(1, 1, text(2))
    assert get(fourth, 1, 1) == text(2)
    assert get(third, 1, 1) == text(2)
    third.invalidate_fs()
    assert get(fourth, 1, 1) == text(2), "the pages go with the last handle, not with the first"


def test_disabled_rejects_puts_and_goes_on_serving_gets(opened):
    tm = opened()
    fs = tm.cleancache("rootfs")
    put_pages(fs, 1, {index: mixed(index) for index in range(9)})
    tm.enabled = False
    assert tm.enabled is False
    assert not fs.put_page(1, 99, noise(1))
    assert not fs.put_page(1, 0, noise(1)), "overwriting is a put too"
    assert get(fs, 1, 0) is None
    assert [get(fs, 1, index) for index in range(1, 9)] == [mixed(index) for index in range(1, 9)]
    tm.enabled = True
    assert fs.put_page(1, 0, noise(5))
    assert get(fs, 1, 0) == noise(5)


def test_the_counters_count(opened):
    tm = opened()
    fs = tm.cleancache("rootfs")
    put_pages(fs, 1, {index: noise(index) for index in range(10)})
    found = [get(fs, 1, index) is not None for index in range(5, 15)]
    fs.invalidate_page(1, 0)
    stats = tm.stats()
    assert sum(found) == 5
    assert (stats.clean_puts, stats.clean_gets, stats.clean_hits, stats.clean_flushes) == (10, 10, 5, 1)
    assert stats.pages_clean == 4
    assert stats.frames_clean == tm.frame_counts().clean == 4
    with pytest.raises(AttributeError):  # a frozen snapshot
        stats.clean_puts = 0
    fs.put_page(1, 0, noise(0))
    assert stats.clean_puts == 10


@EVICTIONS
def test_what_is_left_behind_is_no_page(opened, eviction):
    """The clean pages of a window leave by their frames; whatever the index still holds of them is found by nobody."""
    tm = opened(region="4MiB", eviction=eviction)
    fs = tm.cleancache("rootfs")
    frames = tm.region.frames
    for index in range(frames):
        assert fs.put_page(index % 7, index, noise(index))
    with tm.alloc_contig("2MiB") as contig:
        gone = contig.report.clean_dropped
        assert gone == contig.report.window.frames
        assert tm.stats().pages_clean == frames - gone
        places = fs.where_many([index % 7 for index in range(frames)], range(frames))
        assert (places == 0).sum() == gone
        lost = [index for index in range(frames) if not places[index]]
        assert get(fs, lost[0] % 7, lost[0]) is None
        assert fs.put_page(lost[1] % 7, lost[1], noise(10**6))
        assert get(fs, lost[1] % 7, lost[1]) == noise(10**6)
        fs.invalidate_page(lost[2] % 7, lost[2])
        tm.verify()
    for index in lost[3:]:
        assert fs.put_page(index % 7, index, noise(index + 1))
    for index in lost[3:]:
        assert get(fs, index % 7, index) in (noise(index + 1), None)
    tm.verify()
