"""The three endings: a refused allocation changes nothing, an aborted one loses nothing, none is late."""

import threading

import pytest

import tmemstore
from support import (
    FOREVER,
    MODEL,
    PAGE,
    assert_all_back,
    clean_survivors,
    disarm,
    held,
    mixed,
    noise,
    places,
    put_pages,
    scribble,
    store_pages,
    store_until_refused,
    text,
    try_alloc,
    wait_fired,
    wait_writes_done,
    whole,
)
from tmemstore import CostModel, Effort, Ending, FaultSite

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
# For a slow device: a second for every page, so that a deadline of 50 ms is out of reach before anything is tried.
SLOW = CostModel(t0_ns=1, drop_ns=1, object_ns=10**9, byte_ps=10**6, zero_ns=1, source="assumed")


def lend(tm, make=mixed):
    """Both kinds all over the region."""
    swap, fs = tm.frontswap(0), tm.cleancache("rootfs")
    third = tm.region.frames // 3
    pages = {offset: make(offset) for offset in range(third)}
    clean = {index: noise(7_000 + index) for index in range(third)}
    for number in range(third):
        assert swap.store(number, pages[number])
        assert fs.put_page(1, number, clean[number])
    return swap, pages, fs, clean


REFUSALS = {
    "effort free": {"effort": Effort.FREE},
    "effort drop": {"effort": Effort.DROP},
    "deadline": {"deadline": "50ms"},
    "named window with an allocated frame": {"start_pfn": 0},
    "no window": {"size": "whole"},
}


@CODECS
@pytest.mark.parametrize("why", REFUSALS)
def test_a_refused_allocation_changes_nothing(opened, codec, why):
    tm = opened("2MiB", spill=True, codec=codec, storage=SLOW)
    guard = tm.alloc_contig(PAGE, start_pfn=0) if "window" in why else None
    swap, pages, fs, clean = lend(tm)
    options = dict(REFUSALS[why])
    size = options.pop("size", "1MiB" if guard else "whole")
    before, chunks, counts = held(tm), tm.chunks().copy(), tm.frame_counts()
    where = places(swap, pages)
    refused_before = tm.stats().allocs_refused

    contig, report = try_alloc(tm, whole(tm) if size == "whole" else size, **options)

    assert contig is None
    assert report.ending == Ending.REFUSED
    assert report.reason == ("no-window" if guard else why.split()[0])
    assert (report.pages_dropped, report.paged_out, report.bytes_written) == (0, 0, 0)
    assert held(tm) == before
    assert (tm.chunks() == chunks).all()
    assert tm.frame_counts() == counts
    assert places(swap, pages) == where
    assert tm.stats().allocs_refused == refused_before + 1
    assert tm.stats().allocs_by_reason[report.reason] == 1
    assert_all_back(swap, pages)
    assert clean_survivors(fs, 1, clean) == len(clean), "a refused allocation dropped clean pages"
    tm.verify()
    if guard:
        guard.release()


def test_both_errors_carry_the_report_and_say_why(opened):
    tm = opened("1MiB", spill=True, storage=SLOW)
    store_pages(tm.frontswap(0), {1: noise(1)})
    with pytest.raises(tmemstore.AllocationRefused) as refused:
        tm.alloc_contig(whole(tm), deadline="50ms")
    assert isinstance(refused.value, tmemstore.TmemError)
    assert refused.value.report.bound_ns > refused.value.report.deadline_ns == 50_000_000
    assert len(str(refused.value).split()) >= 4
    tm.store.arm_fault(FaultSite.WRITE, count=FOREVER, error=5)
    with pytest.raises(tmemstore.AllocationAborted) as aborted:
        tm.alloc_contig(whole(tm))
    assert isinstance(aborted.value, tmemstore.TmemError)
    assert aborted.value.report.ending == Ending.ABORTED
    assert len(str(aborted.value).split()) >= 4


def assert_nothing_lost(tm, report, swap, pages, fs, clean):
    """What every ABORTED must leave behind."""
    counts = tm.frame_counts()
    assert (counts.isolated, counts.allocated) == (0, 0), "a frame of the range is not the region's again"
    assert sum(counts) == tm.region.frames
    assert tm.stats().ranges_out == 0
    tm.verify()
    assert_all_back(swap, pages)
    lost = len(clean) - clean_survivors(fs, 1, clean)
    assert lost <= report.clean_dropped, f"{lost} clean pages gone, {report.clean_dropped} reported"


@CODECS
def test_a_stalled_device_is_not_waited_for_where_there_is_room(opened, codec):
    """Pages of the window go to frames of clean pages outside it, whatever the device does."""
    tm = opened("2MiB", spill=True, codec=codec)
    swap, pages, fs, clean = lend(tm)
    tm.store.arm_fault(FaultSite.STALL, count=FOREVER)
    with tm.alloc_contig("512KiB", start_pfn=64, deadline="20s") as contig:
        scribble(contig)
        report = contig.report
        assert report.migrated_inside > 0
        assert report.paged_out == 0
        assert_all_back(swap, pages)
        lost = len(clean) - clean_survivors(fs, 1, clean)
        assert lost <= report.clean_dropped + report.clean_evicted
    disarm(tm)


@CODECS
def test_an_allocation_aborted_by_a_stalled_device_loses_nothing(opened, codec):
    """The device hangs; the caller has its answer at the deadline, every page and every frame."""
    tm = opened("2MiB", spill=True, codec=codec)
    swap, pages, fs, clean = lend(tm)
    tm.store.arm_fault(FaultSite.STALL, count=FOREVER)
    contig, report = try_alloc(tm, whole(tm), deadline="150ms")
    assert contig is None
    assert (report.ending, report.reason) == (Ending.ABORTED, "time")
    assert report.clean_dropped == 0, "clean pages are dropped last: nothing was reached yet"
    assert_nothing_lost(tm, report, swap, pages, fs, clean)
    assert tm.stats().allocs_aborted == 1
    disarm(tm)
    wait_writes_done(tm)
    assert_nothing_lost(tm, report, swap, pages, fs, {})
    with tm.alloc_contig(whole(tm)) as contig:  # the device is well again
        scribble(contig)
        assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("error", [5, 28], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("skip", [0, 1])
def test_an_allocation_aborted_by_a_write_error_loses_nothing(opened, codec, error, skip):
    tm = opened("8MiB", spill=True, codec=codec)
    swap, pages, fs, clean = lend(tm, noise)
    tm.store.arm_fault(FaultSite.WRITE, skip=skip, count=FOREVER, error=error)
    contig, report = try_alloc(tm, whole(tm))
    assert contig is None
    assert (report.ending, report.reason) == (Ending.ABORTED, "spill")
    assert tm.stats().spill_write_errors >= 1
    assert_nothing_lost(tm, report, swap, pages, fs, clean)
    disarm(tm)
    with tm.alloc_contig(whole(tm)) as contig:
        scribble(contig)
        assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("site", [FaultSite.BEFORE_DROP, FaultSite.BEFORE_COMMIT])
def test_a_delay_past_the_deadline_ends_aborted_and_never_met(opened, codec, site):
    tm = opened("2MiB", spill=True, codec=codec)
    swap, pages, fs, clean = lend(tm)
    tm.store.arm_fault(site, count=1, delay_ns=600_000_000)
    contig, report = try_alloc(tm, whole(tm), deadline="500ms")
    assert tm.store.fault_fired(site) == 1
    assert contig is None, "a late success"
    assert (report.ending, report.reason) == (Ending.ABORTED, "time")
    if site == FaultSite.BEFORE_DROP:
        assert report.clean_dropped == 0, "clean pages are dropped last"
    assert_nothing_lost(tm, report, swap, pages, fs, clean)


@pytest.mark.parametrize("site", [FaultSite.BEFORE_DROP, FaultSite.BEFORE_COMMIT])
def test_met_is_never_later_than_the_deadline(opened, site):
    """Delays on both sides of the deadline: whatever the ending, it is one of the three."""
    tm = opened("1MiB", spill=True, storage=MODEL)
    swap = tm.frontswap(0)
    pages = {offset: mixed(offset) for offset in range(100)}
    store_pages(swap, pages)
    endings = set()
    for delay_ms in (0, 5, 15, 18, 19, 20, 21, 30, 0, 60):
        tm.store.arm_fault(site, count=1, delay_ns=delay_ms * 1_000_000)
        contig, report = try_alloc(tm, whole(tm), deadline="20ms")
        endings.add(report.ending)
        if contig is not None:
            assert report.ending == Ending.MET
            assert report.commit_ns <= report.deadline_ns == 20_000_000
            assert delay_ms <= 20
            contig.release()
        assert_nothing_lost(tm, report, swap, pages, tm.cleancache("none"), {})
        disarm(tm)
        store_pages(swap, pages)
    assert Ending.ABORTED in endings or Ending.REFUSED in endings


def test_an_aborted_allocation_leaves_moved_pages_where_they_are_and_serves_them(opened):
    """Some were written before the device hung: their copies count, and no page is lost over it."""
    tm = opened("8MiB", spill=True, codec="none")
    swap = tm.frontswap(0)
    pages = store_until_refused(swap, noise)
    tm.store.arm_fault(FaultSite.STALL, skip=1, count=FOREVER)
    contig, report = try_alloc(tm, whole(tm), deadline="400ms")
    assert contig is None
    assert report.ending == Ending.ABORTED
    assert_nothing_lost(
        tm, report, swap, {o: p for o, p in pages.items() if not spilled_only(swap, o)}, tm.cleancache("none"), {}
    )
    disarm(tm)
    wait_writes_done(tm)
    assert_all_back(swap, pages)
    with tm.alloc_contig(whole(tm)) as contig:
        scribble(contig)
        assert_all_back(swap, pages)


def spilled_only(swap, offset):
    return places(swap, [offset]) == [tmemstore.Place.SPILL]


def test_without_a_deadline_nothing_is_refused_for_time(opened):
    tm = opened("1MiB", spill=True, storage=SLOW)
    swap = tm.frontswap(0)
    pages = {offset: text(offset) for offset in range(200)}
    store_pages(swap, pages)
    with tm.alloc_contig(whole(tm)) as contig:
        assert contig.report.ending == Ending.MET
    assert_all_back(swap, pages)


def test_a_clean_page_put_while_an_allocation_waits_is_intact_or_absent(opened):
    """The window is isolated: what comes in meanwhile goes elsewhere or is refused."""
    tm = opened("2MiB", spill=True, codec="none")
    swap, fs = tm.frontswap(0), tm.cleancache("rootfs")
    pages = {offset: noise(offset) for offset in range(300)}
    store_pages(swap, pages)
    tm.store.arm_fault(FaultSite.STALL, count=FOREVER)
    results = []
    waiter = threading.Thread(target=lambda: results.append(try_alloc(tm, "1MiB", start_pfn=0)))
    waiter.start()
    wait_fired(tm, FaultSite.STALL)
    clean = {index: noise(9_000 + index) for index in range(400)}
    taken = {index: page for index, page in clean.items() if fs.put_page(1, index, page)}
    more = {offset: noise(offset) for offset in range(1000, 1050)}
    more = {offset: page for offset, page in more.items() if swap.store(offset, page)}
    tm.verify()
    disarm(tm)
    waiter.join(60)
    contig, report = results[0]
    assert report.ending == Ending.MET
    scribble(contig)
    tm.verify()
    assert_all_back(swap, pages | more)
    clean_survivors(fs, 1, taken)
    contig.release()
    put_pages(fs, 2, {0: noise(1)})
