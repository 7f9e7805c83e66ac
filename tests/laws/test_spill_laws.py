"""The laws of the spill file: never wrong bytes, never silence, and a device that recovers is used again."""

import stat
import threading

import numpy as np
import pytest

from support import (
    FOREVER,
    PAGE,
    PATIENCE,
    assert_all_back,
    disarm,
    fill,
    keys,
    load,
    mixed,
    noise,
    page_everything_out,
    places,
    scribble,
    store_pages,
    text,
    try_alloc,
    wait_fired,
    wait_writes_done,
    whole,
)
from tmemstore import Ending, FaultSite, Place, SpillError

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])


def spilled(opened, count=60, codec="lz4", make=mixed, **options):
    """A store with that many pages in its spill file only (the same-filled ones need no file)."""
    tm = opened("1MiB", spill=True, codec=codec, **options)
    swap = tm.frontswap(0)
    pages = {offset: make(offset) for offset in range(count)}
    store_pages(swap, pages)
    page_everything_out(tm)
    assert set(places(swap, pages)) <= {int(Place.SPILL), int(Place.FILL)}
    return tm, swap, pages


def answers(swap, pages):
    """Load each page alone: (came back, raised SpillError); anything else fails the test."""
    back, raised = [], []
    for offset, page in pages.items():
        try:
            got = load(swap, offset)
        except SpillError:
            raised.append(offset)
        else:
            assert got is not None, f"silence: persistent page {offset} is a miss"
            assert got == page, f"wrong bytes for page {offset}"
            back.append(offset)
    return back, raised


@CODECS
def test_a_corrupt_read_raises_spill_error_for_that_page_alone(opened, codec):
    tm, swap, pages = spilled(opened, codec=codec, make=noise)
    tm.store.arm_fault(FaultSite.CORRUPT, count=1)
    back, raised = answers(swap, pages)
    assert raised == [0]
    assert len(back) == len(pages) - 1
    assert tm.stats().load_errors >= 1
    assert_all_back(swap, pages)
    tm.verify()


@CODECS
def test_corrupt_reads_never_give_wrong_bytes(opened, codec):
    tm, swap, pages = spilled(opened, codec=codec, make=text)
    tm.store.arm_fault(FaultSite.CORRUPT, count=FOREVER)
    back, raised = answers(swap, pages)
    assert (back, raised) == ([], list(pages))
    disarm(tm)
    assert_all_back(swap, pages)


@CODECS
def test_a_lost_write_raises_spill_error_and_never_gives_wrong_bytes(opened, codec):
    """The device said done and wrote nothing.  The page is gone from RAM: every load must say so."""
    tm = opened("1MiB", spill=True, codec=codec)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(100)}
    store_pages(swap, pages)
    tm.store.arm_fault(FaultSite.WRITE, count=FOREVER, error=0)
    page_everything_out(tm)
    assert tm.store.fault_fired(FaultSite.WRITE) >= 1
    disarm(tm)
    for _ in range(2):
        assert answers(swap, pages) == ([], list(pages))
    tm.verify()
    new = {offset: text(offset) for offset in range(0, 100, 2)}  # the keys are not spoilt
    store_pages(swap, new)
    for offset in range(1, 100, 2):
        swap.invalidate_page(offset)
        assert load(swap, offset) is None
    assert_all_back(swap, new)
    page_everything_out(tm)
    assert_all_back(swap, new)


@CODECS
def test_a_lost_write_over_an_older_page_never_gives_the_older_page(opened, codec):
    """The block still holds a good page of the generation before, under the same key even."""
    tm, swap, old = spilled(opened, codec=codec, make=noise)
    new = {offset: noise(5_000 + offset) for offset in old}
    store_pages(swap, new)
    tm.store.arm_fault(FaultSite.WRITE, count=FOREVER, error=0)
    page_everything_out(tm)
    disarm(tm)
    back, raised = answers(swap, new)
    assert (back, raised) == ([], list(new))


def test_one_lost_write_harms_its_own_pages_only(opened):
    tm = opened("8MiB", spill=True, codec="none")
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(2048)}
    store_pages(swap, pages)
    tm.store.arm_fault(FaultSite.WRITE, count=1, error=0)
    with tm.alloc_contig(whole(tm)) as contig:
        batches = contig.report.write_batches
    back, raised = answers(swap, pages)
    assert raised
    if batches > 1:
        assert back, "one lost write of several took all pages"
    out = np.zeros((len(back), PAGE), np.uint8)
    assert swap.load_many(keys(back), out).all()
    with pytest.raises(SpillError):
        swap.load_many(keys([*back[:3], *raised[:1]]), np.zeros((len(back[:3]) + 1, PAGE), np.uint8))
    tm.verify()


@CODECS
@pytest.mark.parametrize("error", [5, 110], ids=["EIO", "ETIMEDOUT"])
def test_a_read_error_raises_spill_error_and_load_works_again(opened, codec, error):
    tm, swap, pages = spilled(opened, codec=codec, make=noise)
    tm.store.arm_fault(FaultSite.READ, count=FOREVER, error=error)
    assert answers(swap, pages) == ([], list(pages))
    assert tm.stats().spill_read_errors >= 1
    tm.verify()
    assert set(places(swap, pages)) == {int(Place.SPILL)}, "the page is still held"
    disarm(tm)
    assert_all_back(swap, pages)


def test_a_batch_with_a_failed_read_raises_and_nothing_is_lost(opened):
    tm, swap, pages = spilled(opened, make=noise)
    tm.store.arm_fault(FaultSite.READ, skip=5, count=2, error=5)
    out = np.zeros((len(pages), PAGE), np.uint8)
    with pytest.raises(SpillError):
        swap.load_many(keys(pages), out)
    disarm(tm)
    assert_all_back(swap, pages)


def test_same_filled_pages_come_back_from_a_dead_device(opened):
    tm, swap, pages = spilled(opened, make=fill)
    for site in (FaultSite.READ, FaultSite.WRITE):
        tm.store.arm_fault(site, count=FOREVER, error=5)
    assert_all_back(swap, pages)


@CODECS
def test_a_short_write_is_carried_on_with_or_reported(opened, codec):
    tm = opened("4MiB", spill=True, codec=codec)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(1000)}
    store_pages(swap, pages)
    tm.store.arm_fault(FaultSite.SHORT_WRITE, count=3)
    contig, report = try_alloc(tm, whole(tm))
    assert tm.store.fault_fired(FaultSite.SHORT_WRITE) >= 1
    assert report.ending in (Ending.MET, Ending.ABORTED)
    if contig:
        scribble(contig)
    assert_all_back(swap, pages)
    tm.verify()
    if contig:
        contig.release()


# ---- a device that hangs ----------------------------------------------------------------------------------


def test_a_load_from_a_stalled_device_ends_after_io_timeout(opened):
    tm, swap, pages = spilled(opened, make=noise, io_timeout="300ms")
    tm.store.arm_fault(FaultSite.STALL, count=FOREVER)
    with pytest.raises(SpillError) as error:
        load(swap, 1)
    assert len(str(error.value).split()) >= 4
    assert places(swap, [1]) == [Place.SPILL], "the page is still held"
    assert swap.store(1_000, text(1)), "a store waits for no device"
    assert load(swap, 1_000) == text(1)
    tm.verify()
    disarm(tm)
    assert_all_back(swap, pages)


def test_a_batch_of_loads_from_a_stalled_device_ends_after_io_timeout(opened):
    """After one io_timeout, not after one for each of its pages."""
    tm, swap, pages = spilled(opened, make=noise, count=200, io_timeout="2s")
    tm.store.arm_fault(FaultSite.STALL, count=FOREVER)
    results = []

    def load_all():
        try:
            swap.load_many(keys(pages), np.zeros((len(pages), PAGE), np.uint8))
        except SpillError as error:
            results.append(error)

    waiter = threading.Thread(target=load_all)
    waiter.start()
    waiter.join(PATIENCE)
    hangs = waiter.is_alive()
    disarm(tm)
    waiter.join()
    assert not hangs, "200 pages take 200 times io_timeout"
    assert len(results) == 1
    assert_all_back(swap, pages)


def test_a_load_that_waits_holds_nobody_else_up(opened):
    tm, swap, pages = spilled(opened, make=noise)
    resident = {offset: mixed(offset) for offset in range(500, 560)}
    fs = tm.cleancache("rootfs")
    store_pages(swap, resident)
    tm.store.arm_fault(FaultSite.STALL, count=FOREVER)
    got = []
    waiter = threading.Thread(target=lambda: got.append(load(swap, 3)))
    waiter.start()
    wait_fired(tm, FaultSite.STALL)

    assert_all_back(swap, resident)
    assert swap.store(600, text(600))
    assert fs.put_page(1, 1, noise(1))
    swap.invalidate_page(500)
    with tm.alloc_contig(PAGE, deadline="20s") as contig:
        scribble(contig)
    tm.verify()
    tm.stats()
    assert waiter.is_alive(), "the load did not wait for its device"

    disarm(tm)
    waiter.join(60)
    assert got == [pages[3]]


@pytest.mark.parametrize("then", ["overwritten", "invalidated", "area invalidated"])
def test_a_load_in_flight_never_returns_what_came_after_it_in_pieces(opened, then):
    """The key changes while its read hangs: the old page whole, the new page whole, or absent."""
    tm, swap, pages = spilled(opened, make=noise)
    tm.store.arm_fault(FaultSite.STALL, count=FOREVER)
    got = []
    waiter = threading.Thread(target=lambda: got.append(load(swap, 3)))
    waiter.start()
    wait_fired(tm, FaultSite.STALL)
    if then == "overwritten":
        assert swap.store(3, text(9))
    elif then == "invalidated":
        swap.invalidate_page(3)
    else:
        swap.invalidate_area()
    tm.verify()
    disarm(tm)
    waiter.join(60)
    assert len(got) == 1
    assert got[0] in (pages[3], text(9) if then == "overwritten" else None)
    assert load(swap, 3) == (text(9) if then == "overwritten" else None)
    tm.verify()


# ---- the file ------------------------------------------------------------------------------------------------


def test_the_spill_file_is_private_to_its_owner(opened, tmp_path):
    path = tmp_path / "made.img"
    tm = opened(spill=path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tm.spill.created
    assert not tm.spill.is_device


def test_a_spill_file_of_an_earlier_run_is_used_again(opened, tmp_path):
    path = tmp_path / "twice.img"
    for generation in range(3):
        tm = opened(spill=path)
        swap = tm.frontswap(0)
        assert load(swap, 0) is None, "a new store holds nothing of an earlier run"
        pages = {offset: noise(1_000 * generation + offset) for offset in range(100)}
        store_pages(swap, pages)
        page_everything_out(tm)
        assert_all_back(swap, pages)
        tm.close()


def test_spill_direct_false_works_and_says_so(opened):
    tm, swap, pages = spilled(opened, spill_direct=False)
    assert tm.spill.direct is False
    assert_all_back(swap, pages)


def test_blocks_that_a_background_write_holds_are_waited_for(opened):
    emulated = {"storage": "emulate:emmc5.1", "virtual_time": True, "writeback": "behind"}
    tm = opened("2MiB", codec="none", spill_limit="512KiB", **emulated)
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(400)}
    store_pages(swap, pages)
    tm.advance("1ms")
    assert tm.stats().spill_writes_pending == 1  # it holds all blocks, for the oldest pages
    for offset in range(360):
        swap.invalidate_page(offset)
        del pages[offset]
    with tm.alloc_contig(whole(tm)) as contig:
        assert contig.report.ending is Ending.MET
        assert contig.report.paged_out == 40
    assert_all_back(swap, pages)


def test_a_limited_spill_file_aborts_what_does_not_fit_and_loses_nothing(opened):
    tm = opened("2MiB", spill=True, codec="none", spill_limit="512KiB")
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(512)}
    store_pages(swap, pages)
    contig, report = try_alloc(tm, whole(tm))
    assert contig is None
    assert report.ending in (Ending.REFUSED, Ending.ABORTED)
    assert tm.frame_counts().isolated == 0
    assert_all_back(swap, pages)
    for offset in range(462):
        swap.invalidate_page(offset)
        del pages[offset]
    with tm.alloc_contig(whole(tm)) as contig:
        scribble(contig)
        assert_all_back(swap, pages)
    wait_writes_done(tm)
