"""The laws of contiguous allocation when nothing goes wrong: where, what is in it, and what is left elsewhere."""

import numpy as np
import pytest

import tmemstore
from support import (
    PAGE,
    assert_all_back,
    clean_survivors,
    get,
    load,
    mixed,
    noise,
    places,
    put_pages,
    scribble,
    store_pages,
    store_until_refused,
    text,
    try_alloc,
    whole,
)
from tmemstore import Effort, Ending

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])


def lend(tm, swap_pages=None, clean_pages=None, make=mixed):
    """Fill the region with both kinds; (swap, its pages, fs, its pages)."""
    frames = tm.region.frames
    swap, fs = tm.frontswap(0), tm.cleancache("rootfs")
    clean = {index: noise(50_000 + index) for index in range(frames // 2 if clean_pages is None else clean_pages)}
    pages = {offset: make(offset) for offset in range(frames // 2 if swap_pages is None else swap_pages)}
    offsets = iter(pages)
    for index, page in clean.items():  # interleaved, so that every chunk holds both
        assert fs.put_page(1, index, page)
        offset = next(offsets, None)
        if offset is not None:
            assert swap.store(offset, pages[offset])
    rest = {offset: pages[offset] for offset in offsets}
    if rest:
        store_pages(swap, rest)
    return swap, pages, fs, clean


@CODECS
@pytest.mark.parametrize("region", ["1MiB", 1024 * PAGE + 3 * PAGE, "4MiB"])
def test_a_claimed_range_holds_no_page(opened, codec, region):
    """Garbage all over it harms nobody: persistent pages come back, clean pages are intact or absent."""
    tm = opened(region, spill=True, codec=codec)
    swap, pages, fs, clean = lend(tm)
    frames = tm.region.frames // 2
    with tm.alloc_contig(frames * PAGE) as contig:
        scribble(contig)
        tm.verify()
        assert tm.frame_counts().allocated == frames
        assert sum(int(n) for n in tm.chunks()["frames_allocated"]) == frames
        assert_all_back(swap, pages)
        left = clean_survivors(fs, 1, clean)
        assert left >= len(clean) - contig.report.clean_dropped - contig.report.clean_evicted
        assert (np.frombuffer(bytes(contig.view), np.uint8) == 0xA5).all(), "somebody wrote into a claimed range"
        store_pages(swap, {offset: noise(offset) for offset in range(90_000, 90_020)})
        assert (np.frombuffer(bytes(contig.view), np.uint8) == 0xA5).all()
    assert_all_back(swap, pages)
    tm.verify()


@CODECS
@pytest.mark.parametrize("make", [noise, text, mixed])
def test_the_whole_region_can_be_had_at_100_percent_frontswap(opened, codec, make):
    tm = opened("2MiB", spill=True, codec=codec)
    swap = tm.frontswap(0)
    pages = store_until_refused(swap, make)
    with tm.alloc_contig(whole(tm)) as contig:
        assert (contig.start_pfn, contig.size_bytes) == (0, whole(tm))
        assert len(contig.view) == whole(tm)
        scribble(contig)
        assert tm.frame_counts() == (0, 0, 0, 0, tm.region.frames)
        assert contig.report.paged_out > 0
        compressed = contig.report.compressed > 0  # on the way out, where that is faster
        assert compressed or contig.report.bytes_written >= contig.report.window.bytes_uncopied
        assert_all_back(swap, pages)
    assert_all_back(swap, pages)
    tm.verify()


def test_a_clean_region_can_be_had_whole_without_a_spill_file(opened):
    tm = opened("2MiB")
    fs = tm.cleancache("rootfs")
    pages = {index: noise(index) for index in range(512)}
    put_pages(fs, 1, pages)
    with tm.alloc_contig(whole(tm), effort=Effort.DROP) as contig:
        report = contig.report
        assert (report.clean_dropped, report.pages_dropped, report.paged_out) == (512, 512, 0)
        scribble(contig)
        assert clean_survivors(fs, 1, pages) == 0
        assert not fs.put_page(1, 1, noise(1)), "there is no frame that is not the caller's"
        assert fs.put_page(1, 1, b"\0" * PAGE), "a same-filled page needs none"
    tm.verify()


def test_release_makes_frames_usable(opened):
    tm = opened(codec="none")
    swap = tm.frontswap(0)
    contig = tm.alloc_contig(whole(tm))
    assert not swap.store(1, noise(1))
    assert not contig.released
    contig.release()
    assert contig.released
    assert tm.frame_counts().free == tm.region.frames
    assert len(store_until_refused(swap)) == tm.region.frames


def test_the_controller_can_release_too(opened):
    tm = opened()
    contig = tm.alloc_contig("64KiB")
    tm.release(contig)
    assert contig.released
    assert tm.frame_counts().allocated == 0


FREEING = {
    "invalidate_page": lambda fs, swap: (
        [swap.invalidate_page(o) for o in range(100)] + [fs.invalidate_page(1, i) for i in range(100)]
    ),
    "invalidate_inode and area": lambda fs, swap: (fs.invalidate_inode(1), swap.invalidate_area()),
    "invalidate_fs": lambda fs, swap: (fs.invalidate_fs(), swap.invalidate_area()),
    "exclusive get": lambda fs, swap: ([get(fs, 1, i) for i in range(100)], swap.invalidate_area()),
    "overwritten by a same-filled page": lambda fs, swap: (
        put_pages(fs, 1, dict.fromkeys(range(100), b"\1" * PAGE)),
        store_pages(swap, dict.fromkeys(range(100), b"\2" * PAGE)),
    ),
}


@pytest.mark.parametrize("way", FREEING)
@CODECS
def test_freed_frames_are_allocatable_at_once(opened, codec, way):
    tm = opened(codec=codec)
    fs, swap = tm.cleancache("rootfs"), tm.frontswap(0)
    put_pages(fs, 1, {index: noise(index) for index in range(100)})
    store_pages(swap, {offset: (noise, text)[offset % 2](offset) for offset in range(100)})
    assert try_alloc(tm, whole(tm), effort=Effort.FREE)[0] is None
    FREEING[way](fs, swap)
    with tm.alloc_contig(whole(tm), effort=Effort.FREE) as contig:
        assert contig.report.pages_dropped == 0


def test_a_released_range_is_allocatable_at_once(opened):
    tm = opened()
    for _ in range(20):
        with tm.alloc_contig(whole(tm), effort=Effort.FREE):
            pass
    assert tm.stats().allocs_met == 20
    assert tm.stats().ranges_out == 0


# ---- effort --------------------------------------------------------------------------------------------


def test_effort_free_takes_free_frames_only(opened):
    tm = opened("4MiB")
    fs = tm.cleancache("rootfs")
    put_pages(fs, 1, {0: noise(0)})
    contig, report = try_alloc(tm, whole(tm), effort=Effort.FREE)
    assert contig is None
    assert (report.ending, report.reason) == (Ending.REFUSED, "effort")
    assert get(fs, 1, 0) == noise(0)
    assert fs.put_page(1, 0, noise(0))
    with tm.alloc_contig("2MiB", effort=Effort.FREE) as contig:  # the chunk without it
        assert contig.report.pages_dropped == contig.report.paged_out == 0
        assert get(fs, 1, 0) == noise(0)


@pytest.mark.parametrize("effort", [Effort.DROP, Effort.MIGRATE, Effort.COMPRESS])
@CODECS
def test_effort_drop_drops_clean_pages_and_pages_nothing_out(opened, codec, effort):
    tm = opened("1MiB", spill=True, codec=codec)
    fs, swap = tm.cleancache("rootfs"), tm.frontswap(0)
    put_pages(fs, 1, {index: noise(index) for index in range(100)})
    with tm.alloc_contig(whole(tm), effort=effort) as contig:
        assert contig.report.clean_dropped == 100
    assert clean_survivors(fs, 1, {index: noise(index) for index in range(100)}) == 0
    assert swap.store(1, noise(1))
    contig, report = try_alloc(tm, whole(tm), effort=effort)
    assert contig is None
    assert (report.ending, report.reason) == (Ending.REFUSED, "effort")
    assert places(swap, [1]) == [tmemstore.Place.REGION]
    assert load(swap, 1) == noise(1)
    assert tm.stats().spill_bytes_written == 0


def test_effort_page_out_without_a_spill_file_is_refused(opened):
    tm = opened()
    assert tm.spill is None
    swap = tm.frontswap(0)
    assert swap.store(1, noise(1))
    contig, report = try_alloc(tm, whole(tm), effort=Effort.PAGE_OUT)
    assert contig is None
    assert report.ending == Ending.REFUSED
    assert load(swap, 1) == noise(1)


def test_the_cheapest_window_is_taken_not_the_first(opened):
    """Chunk by chunk: frontswap is dearer than clean pages, which are dearer than free frames."""
    tm = opened("8MiB", spill=True, codec="none")
    fs, swap = tm.cleancache("rootfs"), tm.frontswap(0)
    store_pages(swap, {offset: noise(offset) for offset in range(1024)})
    put_pages(fs, 1, {index: noise(index) for index in range(512)})
    order, ranges = [], []
    for _ in range(3):
        before = tm.chunks()
        window = tm.propose("2MiB")
        contig = tm.alloc_contig("2MiB")
        ranges.append(contig)
        assert contig.start_pfn == window.start_pfn
        assert contig.start_pfn % 512 == 0
        row = before[contig.start_pfn // 512]
        order.append("swap" if row["frames_frontswap"] else "clean" if row["frames_clean"] else "free")
        assert window.frames_frontswap == row["frames_frontswap"]
        assert window.frames_clean == row["frames_clean"]
    assert order == ["free", "clean", "swap"]
    for contig in ranges:
        contig.release()
    assert_all_back(swap, {offset: noise(offset) for offset in range(1024)})


def test_the_report_says_what_was_done(opened):
    tm = opened("2MiB", spill=True, codec="none")
    swap, pages, fs, clean = lend(tm, 100, 100, noise)
    with tm.alloc_contig(whole(tm), deadline="30s") as contig:
        report = contig.report
        assert (report.ending, report.reason) == (Ending.MET, "none")
        assert (report.clean_dropped, report.copied_dropped, report.paged_out) == (100, 0, 100)
        assert report.pages_dropped == 100
        assert report.bytes_written >= 100 * PAGE
        assert report.write_batches >= 1
        assert report.deadline_ns == 30 * 10**9
        assert 0 < report.commit_ns <= report.deadline_ns
        assert report.elapsed_ns >= report.commit_ns
        window = report.window
        assert (window.start_pfn, window.end_pfn, window.frames) == (0, 512, 512)
        assert (window.frames_free, window.frames_clean, window.frames_frontswap) == (312, 100, 100)
        assert (window.objects_copied, window.objects_uncopied, window.bytes_uncopied) == (0, 100, 100 * PAGE)
        with pytest.raises(AttributeError):
            report.paged_out = 0
    stats = tm.stats()
    assert (stats.allocs_met, stats.alloc_clean_dropped, stats.alloc_paged_out) == (1, 100, 100)
    assert_all_back(swap, pages)
    assert clean_survivors(fs, 1, clean) == 0


@CODECS
def test_zero_gives_zeros(opened, codec):
    tm = opened("1MiB", spill=True, codec=codec)
    swap, pages, _, _ = lend(tm, make=noise)
    with tm.alloc_contig(whole(tm), zero=True) as contig:
        assert not any(contig.view)
    with tm.alloc_contig("128KiB") as contig:
        scribble(contig)
    with tm.alloc_contig(whole(tm), zero=True) as contig:
        assert not any(contig.view)
        scribble(contig)
    assert_all_back(swap, pages)


def test_met_is_decided_by_the_deadline(opened):
    tm = opened("2MiB", spill=True)
    swap, pages, _, _ = lend(tm)
    for deadline in ("1us", "50us", "200us", "1ms", "5ms", "20ms", "2s"):
        contig, report = try_alloc(tm, whole(tm), deadline=deadline)
        if contig is None:
            assert report.ending in (Ending.REFUSED, Ending.ABORTED)
            assert tm.frame_counts().allocated == tm.frame_counts().isolated == 0
        else:
            assert report.ending == Ending.MET
            assert report.commit_ns <= report.deadline_ns
            scribble(contig)
            contig.release()
        tm.verify()
        assert_all_back(swap, pages)
        store_pages(swap, pages)  # back into the region
