"""No late success: a delay at any step of an allocation ends it ABORTED by its deadline, never MET after it."""

import pytest

from support import PAGE, assert_all_back, clean_survivors, mixed, noise, scribble, try_alloc, whole
from tmemstore import Contract, Effort, Ending, FaultSite

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
SITES = [
    FaultSite.AFTER_PROPOSE,
    FaultSite.DURING_MOVE,
    FaultSite.DURING_GATHER,
    FaultSite.BEFORE_DROP,
    FaultSite.BEFORE_ZERO,
    FaultSite.BEFORE_COMMIT,
]
EFFORTS = [Effort.DROP, Effort.MIGRATE, Effort.COMPRESS, Effort.PAGE_OUT]
ALWAYS = {FaultSite.AFTER_PROPOSE, FaultSite.BEFORE_DROP, FaultSite.BEFORE_ZERO, FaultSite.BEFORE_COMMIT}
PASSED = {  # what an allocation of that effort surely comes by
    Effort.DROP: ALWAYS,
    Effort.MIGRATE: ALWAYS | {FaultSite.DURING_MOVE},
    Effort.COMPRESS: ALWAYS | {FaultSite.DURING_MOVE},
    Effort.PAGE_OUT: set(SITES),
}
DEADLINE_NS = 40_000_000


class Lent:
    """A region of two chunks; the first holds both kinds, and the effort's routes are the way out of it."""

    def __init__(self, opened, codec, effort, **options):
        options.setdefault("escape", "256KiB" if effort == Effort.PAGE_OUT else "4MiB")
        self.tm = opened("4MiB", storage="emulate:emmc5.1", virtual_time=True, codec=codec, **options)
        self.tm.advance("1s")
        self.swap, self.fs = self.tm.frontswap(0), self.tm.cleancache("rootfs")
        count = 0 if effort == Effort.DROP else 300
        self.pages = {offset: mixed(offset) if offset % 2 else noise(offset) for offset in range(count)}
        self.clean = {index: noise(9_000 + index) for index in range(200)}
        for offset, page in self.pages.items():
            assert self.swap.store(offset, page)
        for index, page in self.clean.items():
            assert self.fs.put_page(1, index, page)
        self.effort = effort

    def alloc(self, **options):
        options.setdefault("deadline", DEADLINE_NS)
        return try_alloc(self.tm, whole(self.tm), effort=self.effort, zero=True, **options)

    def check_aborted(self, report):
        """Nothing persistent is lost, and every frame of the range is the region's again."""
        tm = self.tm
        counts = tm.frame_counts()
        assert counts.allocated == counts.isolated == 0
        assert report.returned_ns <= report.deadline_ns + 1_000_000 or report.elapsed_ns >= report.deadline_ns
        assert report.elapsed_ns > report.deadline_ns or report.reason != "time"
        tm.verify()
        assert_all_back(self.swap, self.pages)
        gone = report.clean_dropped + report.clean_evicted
        assert clean_survivors(self.fs, 1, self.clean) >= len(self.clean) - gone, "a loss the report does not count"
        tm.advance("2s")
        self.swap.invalidate_area()
        self.fs.invalidate_fs()
        with tm.alloc_contig(whole(tm), effort=Effort.FREE) as contig:
            scribble(contig)


@CODECS
@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("site", SITES)
def test_a_delay_beyond_the_deadline_is_aborted(opened, codec, effort, site):
    lent = Lent(opened, codec, effort)
    lent.tm.store.arm_fault(site, delay_ns=DEADLINE_NS + 1)
    contig, report = lent.alloc()
    fired = lent.tm.store.fault_fired(site)
    assert fired or site not in PASSED[effort], f"the allocation did not come by: {report}"
    if fired:
        assert (report.ending, report.reason) == (Ending.ABORTED, "time"), report
        assert contig is None
        lent.check_aborted(report)
    else:
        assert report.ending == Ending.MET
        assert_all_back(lent.swap, lent.pages)


@CODECS
@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("site", SITES)
def test_a_delay_that_leaves_time_is_met(opened, codec, effort, site):
    lent = Lent(opened, codec, effort)
    lent.tm.store.arm_fault(site, delay_ns=DEADLINE_NS // 4)
    contig, report = lent.alloc()
    assert report.ending == Ending.MET, report
    if site in PASSED[effort]:
        assert report.commit_ns >= DEADLINE_NS // 4
    assert report.commit_ns <= DEADLINE_NS
    assert not any(contig.view)
    scribble(contig)
    assert_all_back(lent.swap, lent.pages)


@CODECS
@pytest.mark.parametrize("site", SITES)
def test_delays_just_around_the_deadline_are_never_met_late(opened, codec, site):
    """The same allocation with delays that step over its deadline: MET up to it, ABORTED from there on."""
    endings = []
    for delay in range(DEADLINE_NS - 12_000_000, DEADLINE_NS + 1_000_000, 1_500_000):
        lent = Lent(opened, codec, Effort.PAGE_OUT)
        lent.tm.store.arm_fault(site, delay_ns=delay)
        contig, report = lent.alloc()
        endings.append(report.ending)
        assert report.ending in (Ending.MET, Ending.ABORTED)
        if contig is not None:
            assert report.commit_ns <= report.deadline_ns, f"late: {report}"
            contig.release()
        assert_all_back(lent.swap, lent.pages)
        lent.tm.close()
    assert Ending.ABORTED in endings
    assert endings == sorted(endings, key=[Ending.MET, Ending.ABORTED].index)


@CODECS
@pytest.mark.parametrize("site", SITES)
def test_an_aborted_allocation_does_not_spoil_the_next(opened, codec, site):
    lent = Lent(opened, codec, Effort.PAGE_OUT)
    lent.tm.store.arm_fault(site, delay_ns=DEADLINE_NS)
    assert lent.alloc()[0] is None
    lent.tm.advance("2s")
    contig, report = lent.alloc(deadline="1s")
    assert report.ending == Ending.MET
    scribble(contig)
    assert_all_back(lent.swap, lent.pages)
    contig.release()
    for offset, page in lent.pages.items():
        assert lent.swap.store(offset, page)
    assert_all_back(lent.swap, lent.pages)


@CODECS
@pytest.mark.parametrize("site", [FaultSite.AFTER_PROPOSE, FaultSite.DURING_MOVE, FaultSite.BEFORE_COMMIT])
def test_a_delay_ends_a_covered_hard_allocation_as_any_other(opened, codec, site):
    """A thread that is held up may be ABORTED whatever the contract; it is never handed a range late."""
    contract = Contract("4MiB", DEADLINE_NS, "hard", zero=True)
    lent = Lent(opened, codec, Effort.MIGRATE, contract=contract, escape="4MiB")
    lent.tm.store.arm_fault(site, delay_ns=DEADLINE_NS + 1)
    contig, report = lent.alloc()
    assert contig is None
    assert report.ending == Ending.ABORTED
    lent.check_aborted(report)


@CODECS
def test_clean_pages_are_dropped_last(opened, codec):
    """An abort for a device that stalls costs no clean page, or the report counts it."""
    lent = Lent(opened, codec, Effort.PAGE_OUT, escape=0)
    lent.tm.disturb_device(duration="1s")
    contig, report = lent.alloc()
    assert contig is None
    assert report.ending == Ending.ABORTED
    assert report.clean_dropped == 0
    assert clean_survivors(lent.fs, 1, lent.clean) == len(lent.clean)
    lent.tm.advance("3s")
    assert_all_back(lent.swap, lent.pages)
    assert lent.tm.region.frames == whole(lent.tm) // PAGE


def test_the_interpreters_slack_is_taken_off_the_deadline(opened):
    """What Python may need on the way back is no time of the core's: a delay that eats it ends ABORTED."""
    tm = opened("4MiB", storage="emulate:emmc5.1", virtual_time=True)
    with tm.alloc_contig("2MiB", deadline="40ms", interpreter_slack="15ms") as contig:
        assert contig.report.deadline_ns == 25_000_000
    tm.store.arm_fault(FaultSite.BEFORE_COMMIT, delay_ns=30_000_000)
    contig, report = try_alloc(tm, "2MiB", deadline="40ms", interpreter_slack="15ms")
    assert contig is None
    assert report.ending == Ending.ABORTED
    tm.store.arm_fault(FaultSite.BEFORE_COMMIT, delay_ns=30_000_000)
    with tm.alloc_contig("2MiB", deadline="40ms"):
        pass
    for slack in (-1, "40ms", "1s"):
        with pytest.raises(ValueError, match="interpreter_slack"):
            tm.alloc_contig("2MiB", deadline="40ms", interpreter_slack=slack)
