"""Pages that change while their write hangs: the late write must harm neither them nor anybody else."""

import threading

import pytest

from support import (
    FOREVER,
    assert_all_back,
    disarm,
    fill,
    load,
    mixed,
    noise,
    scribble,
    store_pages,
    text,
    try_alloc,
    wait_fired,
    wait_writes_done,
    whole,
)
from tmemstore import Ending, FaultSite

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
DEADLINES = pytest.mark.parametrize("deadline", ["200ms", None], ids=["aborted", "still waiting"])


class Hanging:
    """A store whose whole region is being paged out to a device that hangs."""

    def __init__(self, opened, codec, deadline, count=FOREVER):
        self.tm = tm = opened("1MiB", spill=True, codec=codec)
        self.swap = tm.frontswap(0)
        self.pages = {offset: noise(offset) for offset in range(200)}
        store_pages(self.swap, self.pages)
        tm.store.arm_fault(FaultSite.STALL, count=count)
        self.result = []
        self.thread = threading.Thread(target=self.run, args=(deadline,))
        self.thread.start()
        wait_fired(tm, FaultSite.STALL)
        if deadline:
            self.thread.join(60)
            assert self.result[0][1].ending == Ending.ABORTED

    def run(self, deadline):
        self.result.append(try_alloc(self.tm, whole(self.tm), deadline=deadline))

    def end(self):
        """Let the device go; what a waiting allocation became."""
        disarm(self.tm)
        self.thread.join(60)
        assert not self.thread.is_alive()
        wait_writes_done(self.tm)
        self.tm.verify()
        contig, report = self.result[0]
        if contig is not None:
            assert report.ending == Ending.MET
            scribble(contig)
            contig.release()
        return report


def change(hanging):
    """A third of the pages is overwritten, a third invalidated; new keys come in."""
    swap, pages, made = hanging.swap, hanging.pages, (noise, text, fill)
    gone = set()
    for offset in range(0, 200, 3):
        new = made[offset % 9 // 3](40_000 + offset)
        if swap.store(offset, new):
            pages[offset] = new
        else:
            del pages[offset]
            gone.add(offset)
    for offset in range(1, 200, 3):
        swap.invalidate_page(offset)
        del pages[offset]
        gone.add(offset)
    for offset in range(1_000, 1_040):
        if swap.store(offset, text(offset)):
            pages[offset] = text(offset)
    hanging.tm.verify()
    return gone


@CODECS
@DEADLINES
def test_a_page_changed_while_its_write_hangs_never_shows_its_old_data(opened, codec, deadline):
    hanging = Hanging(opened, codec, deadline)
    gone = change(hanging)
    assert_all_back(hanging.swap, hanging.pages)
    hanging.end()
    assert_all_back(hanging.swap, hanging.pages)
    assert not any(load(hanging.swap, offset) for offset in gone)
    with hanging.tm.alloc_contig(whole(hanging.tm)) as contig:
        scribble(contig)
        assert_all_back(hanging.swap, hanging.pages)
        assert not any(load(hanging.swap, offset) for offset in gone)


@CODECS
@DEADLINES
def test_an_area_invalidated_while_its_writes_hang_stays_empty(opened, codec, deadline):
    hanging = Hanging(opened, codec, deadline)
    hanging.swap.invalidate_area()
    hanging.tm.verify()
    hanging.end()
    assert not any(load(hanging.swap, offset) for offset in range(200))
    stats = hanging.tm.stats()
    assert (stats.spill_blocks_used, stats.pages_spilled, stats.objects) == (0, 0, 0)
    assert hanging.tm.frame_counts().free == hanging.tm.region.frames


@CODECS
def test_a_late_write_does_not_clobber_another_pages_block(opened, codec):
    """One write hangs, its pages are invalidated, and others are paged out before it lands."""
    hanging = Hanging(opened, codec, "200ms", count=1)
    tm, swap = hanging.tm, hanging.swap
    swap.invalidate_area()
    pages = {offset: noise(70_000 + offset) for offset in range(250)}
    store_pages(swap, pages)
    contig, report = try_alloc(tm, whole(tm), deadline="3s")
    assert report.ending in (Ending.MET, Ending.ABORTED)
    if contig:
        scribble(contig)
        contig.release()
    hanging.end()
    assert_all_back(swap, pages)
    with tm.alloc_contig(whole(tm)) as contig:
        scribble(contig)
        assert_all_back(swap, pages)


def test_late_writes_pile_up_without_harm(opened):
    """Abort after abort on a device that hangs; then it wakes and writes everything at once."""
    hanging = Hanging(opened, "lz4", "150ms")
    tm, swap, pages = hanging.tm, hanging.swap, hanging.pages
    for generation in range(4):
        for offset in range(generation, 200, 4):
            new = mixed(1_000 * generation + offset)
            if swap.store(offset, new):
                pages[offset] = new
            else:
                pages.pop(offset, None)
        contig, report = try_alloc(tm, "512KiB", deadline="150ms")
        if contig is not None:
            assert report.paged_out == 0
            contig.release()
        tm.verify()
        assert_all_back(swap, pages)
    hanging.end()
    assert_all_back(swap, pages)


@DEADLINES
def test_a_destroyed_pool_is_gone_though_its_writes_hang(opened, deadline):
    tm = opened("1MiB", spill=True, codec="none")
    store = tm.store
    pool = store.new_pool(persistent=True)
    for index in range(200):
        assert store.put(pool, 1, index, noise(index))
    store.arm_fault(FaultSite.STALL, count=FOREVER)
    results = []
    thread = threading.Thread(target=lambda: results.append(try_alloc(tm, whole(tm), deadline=deadline)))
    thread.start()
    wait_fired(tm, FaultSite.STALL)
    if deadline:
        thread.join(60)
    store.destroy_pool(pool)
    tm.verify()
    disarm(tm)
    thread.join(60)
    wait_writes_done(tm)
    contig = results[0][0]
    if contig is not None:
        contig.release()
    stats = tm.stats()
    assert (stats.pages_swap, stats.pages_spilled, stats.spill_blocks_used, stats.pools) == (0, 0, 0, 0)
    assert tm.frame_counts().free == tm.region.frames
    tm.verify()
