"""The laws of the routes: each effort takes its own and no other, and what has moved is served all the same."""

import pytest

from support import (
    PAGE,
    assert_all_back,
    clean_survivors,
    load,
    mixed,
    noise,
    places,
    scribble,
    store_until_refused,
    text,
    try_alloc,
    whole,
)
from tmemstore import Effort, Ending, FaultSite, Place, Ratio

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])


def emulated(opened, region="8MiB", **options):
    options.setdefault("writeback", "back")
    tm = opened(region, storage="emulate:emmc5.1", virtual_time=True, **options)
    tm.advance("1s")
    return tm


def fill_region(tm, make=noise, swap_share=1.0):
    """All frames in use, by both kinds: (swap, pages, fs, clean pages)."""
    swap, fs, pages, clean = tm.frontswap(0), tm.cleancache("rootfs"), {}, {}
    for number in range(int(tm.region.frames * swap_share)):
        page = make(number)
        if not swap.store(number, page):
            break
        pages[number] = page
    for index in range(tm.frame_counts().free):
        clean[index] = noise(100_000 + index)
        assert fs.put_page(1, index, clean[index])
    return swap, pages, fs, clean


def by_route(report):
    return {
        "drop": report.clean_dropped + report.copied_dropped,
        "inside": report.migrated_inside,
        "reserve": report.migrated_reserve,
        "compress": report.compressed,
        "page_out": report.paged_out,
    }


MAY = {
    Effort.FREE: set(),
    Effort.DROP: {"drop"},
    Effort.MIGRATE: {"drop", "inside", "reserve"},
    Effort.COMPRESS: {"drop", "inside", "reserve", "compress"},
    Effort.PAGE_OUT: {"drop", "inside", "reserve", "compress", "page_out"},
}


@CODECS
@pytest.mark.parametrize("effort", Effort)
@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("make", [noise, mixed])
def test_each_effort_takes_its_own_routes_and_no_other(opened, codec, effort, share, make):
    tm = emulated(opened, escape="512KiB", codec=codec)
    swap, pages, fs, clean = fill_region(tm, make, share)
    written = tm.stats().written_by_cause["reclaim"]
    contig, report = try_alloc(tm, "2MiB", effort=effort)
    used = {route for route, count in by_route(report).items() if count}
    assert used <= MAY[effort], report
    if effort != Effort.PAGE_OUT:
        assert tm.stats().written_by_cause["reclaim"] == written
    if effort == Effort.PAGE_OUT or (effort >= Effort.DROP and not share):
        assert contig is not None, report
    if contig is None:
        assert report.ending == Ending.REFUSED
        assert not used
    else:
        scribble(contig)
    assert_all_back(swap, pages)
    assert clean_survivors(fs, 1, clean) == len(clean) - report.clean_dropped - report.clean_evicted
    tm.verify()


@CODECS
def test_free_frames_inside_come_first(opened, codec):
    """With room in the region nothing goes to the reserve, nothing to the device, and no clean page has to go."""
    tm = emulated(opened, escape="4MiB", codec=codec)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(400)}
    for offset, page in pages.items():
        assert swap.store(offset, page)
    start = 512 * max(range(4), key=lambda chunk: int(tm.chunks()[chunk]["frames_frontswap"]))
    inside = int(tm.chunks()[start // 512]["frames_frontswap"])
    contig, report = try_alloc(tm, "2MiB", start_pfn=start)
    assert report.ending == Ending.MET
    assert inside
    assert by_route(report) == {"drop": 0, "inside": inside, "reserve": 0, "compress": 0, "page_out": 0}
    assert report.clean_evicted == tm.stats().pages_reserve == 0
    scribble(contig)
    assert_all_back(swap, pages)


@CODECS
def test_frames_of_clean_pages_come_next_then_the_reserve_then_the_device(opened, codec):
    tm = emulated(opened, escape="256KiB", codec=codec)
    swap, fs, pages, clean = tm.frontswap(0), tm.cleancache("rootfs"), {}, {}
    for number in range(tm.region.frames):  # both kinds in every chunk
        if number % 5 < 2:
            pages[number] = noise(number)
            assert swap.store(number, pages[number])
        else:
            clean[number] = noise(number)
            assert fs.put_page(1, number, clean[number])
    ranges, routes = [], []
    for _ in range(4):
        contig, report = try_alloc(tm, "2MiB")
        assert report.ending == Ending.MET
        scribble(contig)
        ranges.append(contig)
        routes.append(by_route(report) | {"evicted": report.clean_evicted})
        assert_all_back(swap, pages)
    paged = [number for number, route in enumerate(routes) if route["page_out"]]
    assert paged, "1600 pages do not fit into 64"
    assert sum(route["inside"] for route in routes) > 0
    assert sum(route["reserve"] for route in routes) <= 64
    first = paged[0]
    assert sum(route["reserve"] for route in routes[: first + 1]) >= 60, "paged out though the reserve had room"
    assert sum(route["evicted"] for route in routes) <= sum(route["inside"] for route in routes)
    assert clean_survivors(fs, 1, clean) <= len(clean) - sum(route["evicted"] for route in routes)
    assert tm.stats().ranges_out == len(ranges)


@CODECS
def test_the_reserve_drains_in_the_background_and_is_free_again(opened, codec):
    tm = emulated(opened, "4MiB", escape="1MiB", codec=codec)
    swap, pages, _, _ = fill_region(tm, noise)
    for _ in range(3):
        contig, report = try_alloc(tm, "2MiB")
        assert report.ending == Ending.MET
        assert 240 <= report.migrated_reserve <= 256
        assert tm.stats().pages_reserve == report.migrated_reserve
        assert_all_back(swap, pages)
        scribble(contig)
        contig.release()
        tm.advance("1s")
        stats = tm.stats()
        assert (stats.pages_reserve, stats.reserve_bytes_used) == (0, 0)
        assert stats.written_by_cause["drain"] > 0
        assert_all_back(swap, pages)
        for offset in pages:
            if places(swap, [offset]) == [Place.SPILL]:
                swap.store(offset, pages[offset])
    tm.verify()
    assert_all_back(swap, pages)


@CODECS
def test_pages_in_the_reserve_are_loaded_overwritten_and_invalidated(opened, codec):
    tm = emulated(opened, "4MiB", escape="4MiB", codec=codec)
    swap = tm.frontswap(0)
    pages = store_until_refused(swap, lambda seed: noise(seed) if seed % 4 else text(seed))
    contig, report = try_alloc(tm, "2MiB", effort=Effort.MIGRATE)
    assert report.ending == Ending.MET
    assert tm.stats().pages_reserve == report.migrated_reserve > 300
    tm.disturb_device(duration="1s")  # nobody is held up by the device while it drains
    assert_all_back(swap, pages)
    for offset in list(pages)[::3]:
        swap.invalidate_page(offset)
        del pages[offset]
        assert load(swap, offset) is None
    contig.release()
    for offset in list(pages)[::4]:
        pages[offset] = text(offset + 70_000)
        assert swap.store(offset, pages[offset])
    tm.verify()
    assert_all_back(swap, pages)
    tm.advance("5s")
    assert tm.stats().pages_reserve == 0
    tm.verify()
    assert_all_back(swap, pages)
    swap.invalidate_area()
    stats = tm.stats()
    assert (stats.pages_swap, stats.reserve_bytes_used, stats.uncopied_bytes, stats.spill_blocks_used) == (0, 0, 0, 0)


@CODECS
def test_overwritten_while_its_drain_is_under_way(opened, codec):
    """The late write of the old bytes must not become the page."""
    tm = emulated(opened, "4MiB", escape="4MiB", codec=codec)
    swap, pages, _, _ = fill_region(tm)
    contig, _ = try_alloc(tm, "2MiB", effort=Effort.MIGRATE)
    contig.release()
    tm.advance("100us")
    for offset in pages:
        pages[offset] = text(offset)
        assert swap.store(offset, pages[offset])
    tm.verify()
    tm.advance("3s")
    assert_all_back(swap, pages)
    with tm.alloc_contig(whole(tm)) as whole_range:
        scribble(whole_range)
        assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("effort", [Effort.MIGRATE, Effort.PAGE_OUT])
def test_an_abort_leaves_what_has_moved_where_it_is_and_serves_it(opened, codec, effort):
    tm = emulated(opened, "4MiB", escape="4MiB", codec=codec)
    swap, pages, _, _ = fill_region(tm)
    tm.store.arm_fault(FaultSite.BEFORE_COMMIT, delay_ns=10**9)
    contig, report = try_alloc(tm, "2MiB", deadline="500ms", effort=effort)
    assert contig is None
    assert report.ending == Ending.ABORTED
    assert report.migrated_reserve > 0
    assert tm.stats().pages_reserve == report.migrated_reserve
    assert tm.frame_counts().allocated == tm.frame_counts().isolated == 0
    tm.verify()
    assert_all_back(swap, pages)
    tm.advance("3s")
    assert tm.stats().pages_reserve == 0
    assert_all_back(swap, pages)


def test_compress_makes_raw_pages_smaller_where_there_is_no_room_for_them_raw(opened):
    """A reserve too small for the pages as they are, large enough for them compressed; no device is needed."""
    tm = emulated(opened, "4MiB", escape="512KiB", codec="lz4")
    swap, pages, _, _ = fill_region(tm, text)
    contig, report = try_alloc(tm, "2MiB", effort=Effort.COMPRESS)
    if contig is not None:
        assert report.paged_out == 0
        scribble(contig)
    assert_all_back(swap, pages)


@CODECS
def test_counts_of_the_reports_add_up_in_the_stats(opened, codec):
    tm = emulated(opened, escape="512KiB", codec=codec)
    fill_region(tm, mixed, 0.6)
    total = dict.fromkeys(("clean_dropped", "copied_dropped", "paged_out", "migrated_inside", "migrated_reserve"), 0)
    for _ in range(6):
        with tm.alloc_contig("2MiB") as contig:
            for name in total:
                total[name] += getattr(contig.report, name)
    stats = tm.stats()
    assert {name: getattr(stats, f"alloc_{name}") for name in total} == total
    assert stats.allocs_met == stats.allocs_run == 6


def test_the_ratio_prints_as_cleancache_to_frontswap():
    assert str(Ratio(70, 30)) == "70:30"
    assert PAGE == 4096


@CODECS
@pytest.mark.parametrize("failed", [1, 2])
def test_a_failed_drain_harms_no_page_of_the_reserve(opened, codec, failed):
    """The device refuses writes while the reserve drains, pages of it go, and its holes are filled: all come back."""
    tm = emulated(opened, "4MiB", escape="1MiB", codec=codec)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(1024)}
    for offset, page in pages.items():
        assert swap.store(offset, page)
    contig, report = try_alloc(tm, "2MiB", effort=Effort.PAGE_OUT)
    assert report.migrated_reserve > 200
    tm.store.arm_fault(FaultSite.WRITE, count=failed, error=5)
    tm.advance("2ms")
    assert tm.store.fault_fired(FaultSite.WRITE) >= 1
    tm.disturb_device(duration="100s")  # the rest stays in the reserve
    tm.verify()
    for offset in list(pages)[::3]:
        swap.invalidate_page(offset)
        del pages[offset]
    for _ in range(40):
        tm.advance("1ms")
        tm.verify()
    in_memory = {offset: page for offset, page in pages.items() if places(swap, [offset])[0] & Place.REGION}
    assert len(in_memory) > 100
    assert_all_back(swap, in_memory)
    tm.advance("300s")
    contig.release()
    assert_all_back(swap, pages)
