"""The laws of frontswap: a page that was accepted comes back byte for byte until it is invalidated."""

import numpy as np
import pytest

import tmemstore
from support import (
    FAMILIES,
    assert_all_back,
    clean_survivors,
    fill,
    keys,
    load,
    mixed,
    noise,
    page_everything_out,
    places,
    put_pages,
    scribble,
    stack,
    store_pages,
    store_until_refused,
    text,
    whole,
)

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
PAGES = {**FAMILIES, "mixed": mixed}


@CODECS
@pytest.mark.parametrize("family", FAMILIES)
def test_persistent_get_does_not_remove(opened, codec, family):
    tm = opened(codec=codec)
    swap = tm.frontswap(0)
    assert swap.swap_type == 0
    assert swap.store(5, FAMILIES[family](1))
    for _ in range(3):
        assert load(swap, 5) == FAMILIES[family](1)


@CODECS
@pytest.mark.parametrize("family", PAGES)
def test_persistent_pages_survive_reclaim_and_come_back_byte_for_byte(opened, codec, family):
    """Out to the spill file, back, overwritten, invalidated, and out again."""
    make = PAGES[family]
    tm = opened("2MiB", spill=True, codec=codec)
    swap = tm.frontswap(0)
    pages = {offset: make(offset) for offset in range(400)}
    store_pages(swap, pages)

    with tm.alloc_contig(whole(tm), effort=tmemstore.Effort.PAGE_OUT) as contig:
        assert contig.report.ending == tmemstore.Ending.MET
        scribble(contig)
        assert not any(place & tmemstore.Place.REGION for place in places(swap, pages))
        assert_all_back(swap, pages)
        tm.verify()
    assert_all_back(swap, pages)

    for offset in range(0, 400, 4):  # overwritten: the copy in the spill file is old now
        pages[offset] = mixed(10_000 + offset)
        assert swap.store(offset, pages[offset])
    for offset in range(1, 400, 4):
        swap.invalidate_page(offset)
        del pages[offset]
    tm.verify()
    assert_all_back(swap, pages)
    assert all(load(swap, offset) is None for offset in range(1, 400, 4))

    page_everything_out(tm)
    assert_all_back(swap, pages)
    assert all(load(swap, offset) is None for offset in range(1, 400, 4))

    swap.invalidate_area()
    stats = tm.stats()
    assert (stats.pages_swap, stats.pages_spilled, stats.spill_blocks_used, stats.objects) == (0, 0, 0, 0)
    assert not any(places(swap, range(400)))


@CODECS
@pytest.mark.parametrize("family", FAMILIES)
def test_put_put_get_never_returns_old_data_from_the_spill_file(opened, codec, family):
    tm = opened("1MiB", spill=True, codec=codec)
    swap = tm.frontswap(0)
    old = {offset: noise(offset) for offset in range(60)}
    store_pages(swap, old)
    page_everything_out(tm)
    assert set(places(swap, old)) == {int(tmemstore.Place.SPILL)}
    new = {offset: FAMILIES[family](500 + offset) for offset in range(60)}
    store_pages(swap, new)
    assert_all_back(swap, new)
    page_everything_out(tm)
    assert_all_back(swap, new)


@CODECS
def test_persistent_put_evicts_ephemeral_when_full(opened, codec):
    tm = opened(codec=codec)
    fs, swap = tm.cleancache("rootfs"), tm.frontswap(0)
    clean = {index: noise(index) for index in range(tm.region.frames)}
    put_pages(fs, 1, clean)
    assert tm.frame_counts().free == 0
    pages = {offset: noise(5000 + offset) for offset in range(100)}
    store_pages(swap, pages)
    assert tm.stats().clean_evicted >= 100
    assert_all_back(swap, pages)
    assert 0 < clean_survivors(fs, 1, clean) <= tm.region.frames - 100


def test_frontswap_can_have_every_frame(opened):
    tm = opened(codec="none")
    swap = tm.frontswap(0)
    put_pages(tm.cleancache("rootfs"), 1, {index: noise(index) for index in range(300)})
    pages = store_until_refused(swap)
    assert len(pages) == tm.region.frames
    assert tm.frame_counts() == (0, 0, tm.region.frames, 0, 0)
    assert tm.stats().swap_rejects["full"] == 1
    assert_all_back(swap, pages)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_pages_share_frames(opened, codec):
    tm = opened(codec=codec)
    swap = tm.frontswap(0)
    pages = store_until_refused(swap, text)
    assert len(pages) > 2 * tm.region.frames
    assert tm.stats().bytes_kept <= whole(tm)
    assert_all_back(swap, pages)
    tm.verify()


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_page_that_does_not_compress_is_kept_raw_and_counted(opened, codec):
    tm = opened(codec=codec)
    swap = tm.frontswap(0)
    store_pages(swap, {offset: noise(offset) for offset in range(20)})
    assert tm.stats().swap_incompressible == 20
    assert tm.frame_counts().frontswap == 20
    assert_all_back(swap, {offset: noise(offset) for offset in range(20)})


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_pages_of_every_size_in_between_come_back(opened, codec):
    """From one byte of noise to a page of it: every size class, and both of its edges."""
    tm = opened("4MiB", spill=True, codec=codec)
    swap = tm.frontswap(0)
    pages = {n: noise(n)[:n] + text(n)[n:] for n in range(1, 4096, 13)}
    pages |= {10_000 + n: bytes(n) + noise(n)[n:] for n in range(1, 4096, 29)}
    store_pages(swap, pages)
    assert_all_back(swap, pages)
    tm.verify()
    page_everything_out(tm)
    assert_all_back(swap, pages)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_half_empty_spans_are_compacted_when_frames_run_short(opened, codec):
    """Nine of ten packed pages go; what they took can be had again by pages that need whole frames."""
    tm = opened(codec=codec)
    swap = tm.frontswap(0)
    pages = store_until_refused(swap, text)
    for offset in list(pages):
        if offset % 10:
            swap.invalidate_page(offset)
            del pages[offset]
    room = tm.region.frames // 2
    more = {100_000 + offset: noise(offset) for offset in range(room)}
    store_pages(swap, more)
    tm.verify()
    assert_all_back(swap, pages | more)


def test_offsets_span_64_bits_and_do_not_collide(opened):
    tm = opened(spill=True)
    swap = tm.frontswap(0)
    ends = [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**33, 2**63, 2**64 - 2**32, 2**64 - 1]
    pages = {offset: noise(seed) for seed, offset in enumerate(ends)}
    store_pages(swap, pages)
    assert_all_back(swap, pages)
    page_everything_out(tm)
    assert_all_back(swap, pages)
    swap.invalidate_page(2**32)
    del pages[2**32]
    assert load(swap, 2**32) is None
    assert_all_back(swap, pages)


def test_swap_types_are_areas_of_their_own(opened):
    tm = opened()
    first, second = tm.frontswap(0), tm.frontswap(1)
    assert first.store(1, noise(1))
    assert second.store(1, noise(2))
    first.invalidate_area()
    assert load(first, 1) is None
    assert load(second, 1) == noise(2)


@CODECS
def test_invalidate_area_empties_the_area_and_the_handle_stays_usable(opened, codec):
    tm = opened("2MiB", spill=True, codec=codec)
    swap = tm.frontswap(3)
    store_pages(swap, {offset: mixed(offset) for offset in range(200)})
    page_everything_out(tm)
    store_pages(swap, {offset: mixed(offset) for offset in range(100, 300)})
    swap.invalidate_area()
    assert tm.frame_counts().free == tm.region.frames
    assert tm.stats().spill_blocks_used == 0
    assert not any(places(swap, range(300)))
    assert swap.store(1, text(1))
    assert load(swap, 1) == text(1)
    tm.verify()


def test_where_tells_absent_fill_region_and_spill_apart(opened):
    tm = opened(spill=True)
    swap = tm.frontswap(0)
    assert swap.store(0, fill(1))
    assert swap.store(1, noise(1))
    page_everything_out(tm)
    assert swap.store(2, noise(2))
    place = tmemstore.Place
    assert places(swap, range(4)) == [place.FILL, place.SPILL, place.REGION, place.ABSENT]


def test_slots_of_the_spill_file_are_freed_and_reused(opened):
    """Ten generations of the same pages need no more room in the file than two of them."""
    tm = opened(spill=True, codec="none")
    swap = tm.frontswap(0)
    extents = []
    for generation in range(10):
        pages = {offset: noise(1000 * generation + offset) for offset in range(200)}
        store_pages(swap, pages)
        page_everything_out(tm)
        assert_all_back(swap, pages)
        extents.append(tm.stats().spill_blocks_total)
    assert 0 < tm.stats().spill_blocks_used <= extents[0]
    assert extents[-1] <= 2 * extents[0]
    assert tm.stats().spill_bytes_written >= 10 * 200 * 4096


def test_the_counters_count(opened):
    tm = opened(spill=True)
    swap = tm.frontswap(0)
    store_pages(swap, {offset: noise(offset) for offset in range(10)})
    page_everything_out(tm)
    store_pages(swap, {offset: noise(offset) for offset in range(10, 20)})
    out = np.zeros((30, 4096), np.uint8)
    assert int(swap.load_many(keys(range(30)), out).sum()) == 20
    swap.invalidate_page(0)
    stats = tm.stats()
    assert (stats.swap_stores, stats.swap_loads, stats.swap_flushes) == (20, 30, 1)
    assert stats.swap_hits_region + stats.swap_hits_spill == 20
    assert stats.swap_hits_spill == 10
    assert stats.pages_swap == 19
    assert stats.load_errors == 0


def test_a_batch_of_loads_mixes_places_and_misses(opened):
    tm = opened(spill=True)
    swap = tm.frontswap(0)
    pages = {offset: mixed(offset) for offset in range(0, 90, 2)}
    store_pages(swap, {offset: page for offset, page in pages.items() if offset < 40})
    page_everything_out(tm)
    store_pages(swap, {offset: page for offset, page in pages.items() if offset >= 40})
    order = np.random.default_rng(7).permutation(90)
    out = np.full((90, 4096), 0xEE, np.uint8)
    hit = swap.load_many(order.astype(np.uint64), out)
    assert hit.tolist() == [int(offset) in pages for offset in order]
    expected = stack(pages.get(int(offset), b"\xee" * 4096) for offset in order)
    assert np.array_equal(out, expected)
