"""An allocation slept until its deadline over the writes of an aborted one that had ended long before.

Found by tests/laws/test_ending_laws.py::test_an_allocation_aborted_by_a_write_error_loses_nothing, which now and then
took 60 s.  A page of the window was being written for an aborted allocation; that write ended while the new allocation
still waited for its own; then it waited for "the next write to end", and there was none.  Broken law: an allocation
ends as soon as its window is empty ("no hang": DESIGN.md, section 2).
"""

import threading

import pytest

from support import (
    PAGE,
    assert_all_back,
    disarm,
    noise,
    places,
    scribble,
    store_pages,
    try_alloc,
    wait_fired,
    wait_until,
    whole,
)
from tmemstore import Ending, FaultSite, Place

EIO = 5


@pytest.mark.parametrize("error", [None, EIO], ids=["succeed", "fail"])
def test_an_allocation_does_not_wait_for_writes_that_have_ended(opened, error):
    tm = opened("1MiB", spill=True, codec="none")
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(256)}  # full: no page can be moved out of a write's way
    store_pages(swap, pages)
    tm.store.arm_fault(FaultSite.STALL, count=1)
    contig, report = try_alloc(tm, 64 * PAGE, start_pfn=0, deadline="100ms")
    assert contig is None
    assert report.ending == Ending.ABORTED
    left_behind = tm.stats().spill_writes_pending
    assert left_behind > 0

    tm.store.arm_fault(FaultSite.SHORT_WRITE, count=1, delay_ns=800_000_000)  # the new allocation's own write is slow
    results = []
    thread = threading.Thread(target=lambda: results.append(try_alloc(tm, whole(tm), deadline="20s")))
    thread.start()
    wait_fired(tm, FaultSite.SHORT_WRITE)
    if error:
        tm.store.arm_fault(FaultSite.WRITE, count=1, error=error)
    disarm(tm, FaultSite.STALL)  # now the write that was left behind ends, well or badly
    if error:
        wait_fired(tm, FaultSite.WRITE)
    else:
        wait_until(lambda: Place.REGION | Place.SPILL in places(swap, pages), "the write left behind never ended")
    thread.join(60)
    contig, report = results[0]
    assert report.reason != "time", "it waited for writes that had ended"
    if contig is not None:
        scribble(contig)
        assert_all_back(swap, pages)
        contig.release()
    assert_all_back(swap, pages)
    tm.verify()
