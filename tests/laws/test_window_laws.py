"""Where a range may lie: several at once, alignment, a named start, both ends, regions of any size."""

from itertools import pairwise

import pytest

import tmemstore
from support import PAGE, assert_all_back, noise, put_pages, scribble, store_pages, try_alloc, whole
from tmemstore import Effort, Ending


def overlap(ranges):
    spans = sorted((r.start_pfn, r.start_pfn + r.size_bytes // PAGE) for r in ranges)
    return any(left[1] > right[0] for left, right in pairwise(spans))


def test_several_ranges_out_at_once(opened):
    """They never overlap, nobody writes into them, and they can be given back in any order."""
    tm = opened("4MiB", spill=True)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(500)}
    store_pages(swap, pages)
    sizes = ["64KiB", PAGE, "1MiB", "256KiB", 3 * PAGE, "128KiB"]
    ranges = [tm.alloc_contig(size) for size in sizes]
    assert not overlap(ranges)
    for byte, contig in enumerate(ranges, 1):
        scribble(contig, byte)
    assert tm.stats().ranges_out == len(ranges)
    tm.verify()
    assert_all_back(swap, pages)
    store_pages(swap, {offset: pages[offset] for offset in range(0, 500, 3)})
    for byte, contig in enumerate(ranges, 1):
        assert bytes(contig.view) == bytes([byte]) * contig.size_bytes
    for contig in ranges[1::2] + ranges[0::2]:
        contig.release()
        tm.verify()
    assert tm.frame_counts().allocated == 0
    assert_all_back(swap, pages)


def test_every_frame_can_be_a_range_of_its_own(opened):
    tm = opened()
    ranges = [tm.alloc_contig(PAGE) for _ in range(tm.region.frames)]
    assert sorted(contig.start_pfn for contig in ranges) == list(range(tm.region.frames))
    contig, report = try_alloc(tm, PAGE)
    assert contig is None
    assert (report.ending, report.reason) == (Ending.REFUSED, "no-window")
    even = [contig for contig in ranges if contig.start_pfn % 2 == 0]
    for contig in even:
        contig.release()
    contig, report = try_alloc(tm, 2 * PAGE)
    assert contig is None, "free frames that do not lie side by side are no window"
    assert report.reason == "no-window"
    with tm.alloc_contig(PAGE) as contig:
        assert contig.start_pfn % 2 == 0
    for contig in ranges:
        if not contig.released:
            contig.release()


@pytest.mark.parametrize("align", [PAGE, 2 * PAGE, "64KiB", "512KiB", "1MiB", "2MiB", "4MiB"])
def test_alignment_is_honoured(opened, align):
    tm = opened("8MiB", spill=True)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(300)}
    store_pages(swap, pages)
    frames = tmemstore.units.parse_size(align) // PAGE
    for size in (PAGE, 3 * PAGE, 17 * PAGE):
        # The first window of any alignment is taken.
        with tm.alloc_contig(PAGE, start_pfn=0), tm.alloc_contig(size, align=align) as contig:
            assert contig.start_pfn % frames == 0
            assert contig.start_pfn > 0
            address = tm.region.base_address + contig.start_pfn * PAGE
            assert address % min(frames * PAGE, 2 << 20) == 0
            scribble(contig)
    assert_all_back(swap, pages)


def test_no_aligned_window_is_refused(opened):
    tm = opened("3MiB")
    with tm.alloc_contig(PAGE, start_pfn=0):
        contig, report = try_alloc(tm, "64KiB", align="4MiB")
    assert contig is None
    assert (report.ending, report.reason) == (Ending.REFUSED, "no-window")


def test_start_pfn_is_honoured(opened):
    tm = opened("4MiB", spill=True)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(1024)}
    for offset, page in pages.items():
        swap.store(offset, page)
    for start, frames in [(0, 1), (1, 7), (500, 24), (511, 2), (512, 512), (1023, 1), (300, 700)]:
        window = tm.propose(frames * PAGE, start_pfn=start)
        assert (window.start_pfn, window.end_pfn, window.frames) == (start, start + frames, frames)
        with tm.alloc_contig(frames * PAGE, start_pfn=start) as contig:
            assert contig.start_pfn == start
            assert contig.size_bytes == frames * PAGE
            scribble(contig)
            contig_again, report = try_alloc(tm, PAGE, start_pfn=start + frames - 1)
            assert contig_again is None
            assert report.reason == "no-window"
        tm.verify()
    held = {offset: page for offset, page in pages.items() if swap.where_many([offset])[0]}
    assert len(held) >= 1000
    assert_all_back(swap, held)


@pytest.mark.parametrize("region", ["1MiB", "2MiB", 256 * PAGE + PAGE, 511 * PAGE, 513 * PAGE, 1283 * PAGE, "3MiB"])
@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_a_range_at_both_ends_of_a_region_of_any_size(opened, region, codec):
    tm = opened(region, spill=True, codec=codec)
    frames = tm.region.frames
    assert whole(tm) == frames * PAGE
    assert tm.region.chunks == len(tm.chunks()) == -(-frames // 512)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(frames)}
    store_pages(swap, pages)
    assert tm.frame_counts().free == 0
    for start, size in [(0, 1), (frames - 1, 1), (0, 100), (frames - 100, 100), (0, frames)]:
        with tm.alloc_contig(size * PAGE, start_pfn=start) as contig:
            assert contig.start_pfn == start
            scribble(contig)
            tm.verify()
        assert_all_back(swap, pages)
    first, last = tm.alloc_contig(PAGE, start_pfn=0), tm.alloc_contig(PAGE, start_pfn=frames - 1)
    scribble(first)
    scribble(last)
    contig, report = try_alloc(tm, whole(tm))
    assert contig is None
    assert report.reason == "no-window"
    with tm.alloc_contig((frames - 2) * PAGE, start_pfn=1) as middle:  # all between them
        scribble(middle)
    first.release()
    last.release()
    assert_all_back(swap, pages)


def test_windows_of_2_mib_and_more_are_chunk_aligned_when_proposed(opened):
    tm = opened(4 * 512 * PAGE + 5 * PAGE)
    put_pages(tm.cleancache("rootfs"), 1, {index: noise(index) for index in range(900)})
    for size in ("2MiB", 513 * PAGE, "4MiB", 2000 * PAGE):
        assert tm.propose(size).start_pfn % 512 == 0
        with tm.alloc_contig(size) as contig:
            assert contig.start_pfn % 512 == 0


def test_proposing_touches_nothing(opened):
    tm = opened("2MiB", spill=True)
    swap, fs = tm.frontswap(0), tm.cleancache("rootfs")
    store_pages(swap, {offset: noise(offset) for offset in range(200)})
    put_pages(fs, 1, {index: noise(index) for index in range(200)})
    before, chunks = tm.stats(), tm.chunks().copy()
    refusals = 0
    for effort in Effort:
        for size in (PAGE, "1MiB", "2MiB"):
            try:
                window = tm.propose(size, effort=effort)
            except tmemstore.AllocationRefused:
                refusals += 1
            else:
                assert window.frames == tmemstore.units.parse_size(size) // PAGE
                assert window.frames_free + window.frames_clean + window.frames_frontswap <= window.frames
    assert refusals >= 2
    assert tm.stats() == before
    assert (tm.chunks() == chunks).all()


def test_the_region_says_what_it_is(opened):
    tm = opened("3MiB")
    region = tm.region
    assert (region.size_bytes, region.frames, region.chunks) == (3 << 20, 768, 2)
    assert region.base_address % (2 << 20) == 0
    assert region.copy_variant
    assert all(isinstance(note, str) and note for note in region.notes)


def test_the_layers_below_open_compose_by_hand():
    region = tmemstore.Region("2MiB")
    try:
        store = tmemstore.TmemStore(region, codec="none")
        try:
            pool = store.new_pool(persistent=True)
            assert store.put(pool, 1, 1, noise(1))
            out = bytearray(PAGE)
            assert store.get(pool, 1, 1, out)
            assert out == noise(1)
            store.verify()
        finally:
            store.close()
    finally:
        region.close()
