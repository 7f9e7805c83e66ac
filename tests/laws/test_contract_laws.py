"""The laws of a hard contract: covered allocations are MET, the storage being dead or not; stores are refused instead.

Covered: no larger and no more urgent than the contract, effort MIGRATE or more, while a chunk-aligned window of the
contract's size has no allocated frame in it.  All of it in virtual time.
"""

import random

import pytest

import tmemstore
from support import PAGE, assert_all_back, clean_survivors, load, noise, scribble, text, try_alloc, whole
from tmemstore import Contract, Effort, Ending, FaultSite, SpillError

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
CHUNK = 2 << 20
FOR_EVER = "100000s"
EIO = 5


def emulated(opened, region="16MiB", device="emmc5.1", **options):
    return opened(region, storage=f"emulate:{device}", virtual_time=True, **options)


def partly(size):
    """A family of pages of which `size` bytes do not compress."""
    return lambda seed: noise(seed)[:size] + bytes(PAGE - size)


def medley(seed):
    """Sizes of every kind, the same-filled among them."""
    return partly((0, 40, 700, 1366, 2049, 2100, 2731, 3400, 3900, 4096)[seed % 10])(seed)


FAMILIES = {"noise": noise, "text": text, "just above half": partly(2080), "medley": medley}
DEATHS = {
    "stall": lambda tm: tm.disturb_device(duration=FOR_EVER),
    "stall soon": lambda tm: tm.disturb_device(duration=FOR_EVER, after="20us"),
    "eio": lambda tm: tm.store.arm_fault(FaultSite.WRITE, count=None, error=EIO),
}


class Lent:
    """A store in use: what was accepted, and what the clean pages were."""

    def __init__(self, tm, make=medley):
        self.tm, self.make = tm, make
        self.swap, self.fs = tm.frontswap(0), tm.cleancache("rootfs")
        self.pages, self.clean, self.next = {}, {}, 0

    def run(self, count, clean_every=2, step="5us"):
        """Store so many pages, clean ones between them; a refusal leaves the key absent."""
        for number in range(self.next, self.next + count):
            page = self.make(number)
            if self.swap.store(number, page):
                self.pages[number] = page
            if number % clean_every == 0:
                self.clean[number] = noise(number + 500_000)
                self.fs.put_page(1, number, self.clean[number])
            if number % 16 == 0:
                self.tm.advance(step)
                if self.tm.contracts:
                    within_reserve(self.tm)
        self.next += count

    def check(self):
        """Every page that is in memory comes back though the device is dead; the rest is not lost."""
        self.tm.verify()
        for offset in sorted(self.pages)[:: max(1, len(self.pages) // 40)]:
            place = int(self.swap.where_many([offset])[0])
            assert place, f"page {offset} is lost"
            if place != tmemstore.Place.SPILL:
                assert load(self.swap, offset) == self.pages[offset]
        clean_survivors(self.fs, 1, self.clean)


def within_reserve(tm):
    stats = tm.stats()
    assert stats.uncopied_bytes <= stats.reserve_bytes, "data without a copy exceeds the escape reserve"


def chunk_rows(tm):
    return [int(row["frames_allocated"]) for row in tm.chunks()]


def whole_windows(tm, contract):
    """First chunks of the windows without an allocated frame."""
    taken = chunk_rows(tm)
    return [
        chunk
        for chunk in range(len(taken) - contract.chunks + 1)
        if not any(taken[chunk : chunk + contract.chunks]) and chunk * 512 + contract.frames <= tm.region.frames
    ]


def must_be_met(tm, contract, **options):
    """One covered allocation; its range."""
    options.setdefault("effort", Effort.MIGRATE)
    contig, report = try_alloc(tm, contract.size, deadline=contract.deadline, **options)
    assert contig is not None, f"covered, hard, but {report.ending}, {report.reason}: {report}"
    assert report.commit_ns <= contract.deadline_ns
    assert report.elapsed_ns <= contract.deadline_ns + 1_000_000
    assert report.paged_out == 0 or options["effort"] == Effort.PAGE_OUT
    scribble(contig)
    return contig


def take_until_no_window_is_left(tm, contract, **options):
    """Covered allocations side by side while they are covered."""
    ranges = []
    while whole_windows(tm, contract):
        ranges.append(must_be_met(tm, contract, **options))
        tm.verify()
        within_reserve(tm)
    assert ranges
    return ranges


@CODECS
@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize(("writeback", "death"), [("back", "stall"), *(("behind", death) for death in DEATHS)])
def test_covered_is_met_with_a_dead_device(opened, codec, make, writeback, death):
    """Dead from the middle of the admission on, with writes of the cleaner under way."""
    contract = Contract("4MiB", "20ms", "hard")
    tm = emulated(opened, contract=contract, escape="2MiB", codec=codec, writeback=writeback)
    lent = Lent(tm, make)
    lent.run(800, step="200us")
    DEATHS[death](tm)
    lent.run(800)
    assert lent.pages
    for effort in (Effort.MIGRATE, Effort.PAGE_OUT):
        ranges = take_until_no_window_is_left(tm, contract, effort=effort)
        lent.run(50)
        within_reserve(tm)
        lent.check()
        for contig in ranges:
            contig.release()
        lent.run(200)
    lent.check()


@CODECS
@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_every_window_is_met_wherever_the_death_falls(opened, codec, death, when):
    contract = Contract("4MiB", "20ms", "hard")
    tm = emulated(opened, contract=contract, escape="2MiB", codec=codec, writeback="behind")
    lent = Lent(tm)
    if when == "before":
        DEATHS[death](tm)
    lent.run(1500, step="100us")
    if when == "after":
        tm.advance("50ms")
        lent.run(300)
        DEATHS[death](tm)
    for chunk in range(len(chunk_rows(tm)) - 1):
        must_be_met(tm, contract, start_pfn=chunk * 512).release()
        within_reserve(tm)
        lent.run(60)
    lent.check()


@CODECS
@pytest.mark.parametrize("death", ["stall", "eio"])
def test_with_a_dead_disk_stores_are_refused_for_the_ceiling(opened, codec, death):
    tm = emulated(opened, contract=Contract("4MiB", "20ms", "hard"), escape="1MiB", codec=codec, writeback="behind")
    DEATHS[death](tm)
    lent = Lent(tm, noise)
    lent.run(600, clean_every=10**9)
    refused = {reason: count for reason, count in tm.stats().swap_rejects.items() if count}
    assert refused == {"ceiling": 600 - len(lent.pages)}
    assert 200 <= len(lent.pages) <= 256, "the reserve has room for 256 pages"
    assert not any(lent.swap.where_many([n])[0] for n in range(600) if n not in lent.pages)
    assert_all_back(lent.swap, lent.pages)


@CODECS
def test_with_a_live_disk_a_small_reserve_carries_more(opened, codec):
    """Pages that got a copy count no more; and when the device comes back, so do the stores."""
    tm = emulated(opened, contract=Contract("4MiB", "20ms", "hard"), escape="1MiB", codec=codec, writeback="behind")
    lent = Lent(tm, noise)
    lent.run(1500, clean_every=10**9, step="5ms")
    tm.advance("2s")
    lent.run(100, clean_every=10**9, step="5ms")
    assert len(lent.pages) > 2 * 256
    tm.disturb_device(duration="3s")
    lent.run(1000, clean_every=10**9)
    before = len(lent.pages)
    assert tm.stats().swap_rejects["ceiling"] > 0
    tm.advance("20s")
    lent.run(100, clean_every=10**9, step="1ms")
    assert len(lent.pages) > before
    assert_all_back(lent.swap, lent.pages)


@CODECS
@pytest.mark.parametrize("seed", range(2))
def test_uncopied_never_exceeds_the_reserve_in_a_random_history(opened, codec, seed):  # noqa: C901 - one step after the other
    """And whatever is covered is MET at any time of it."""
    rng = random.Random(seed)
    contract = Contract("4MiB", "10ms", "hard")
    writeback = rng.choice(["back", "behind", "behind", "through"])
    tm = emulated(
        opened, "12MiB", device="emmc5.1,sigma=0.3", contract=contract, escape="1MiB", codec=codec, writeback=writeback
    )
    lent, ranges, met = Lent(tm), [], 0

    def alloc():
        nonlocal met
        if whole_windows(tm, contract):
            ranges.append(must_be_met(tm, contract, effort=rng.choice(list(Effort)[2:])))
            met += 1

    def overwrite():
        for offset in rng.sample(sorted(lent.pages), min(len(lent.pages), 30)):
            page = medley(rng.randrange(10**6))
            lent.pages.pop(offset)
            try:
                if lent.swap.store(offset, page):
                    lent.pages[offset] = page
            except SpillError:
                assert writeback == "through"
                assert not lent.swap.where_many([offset])[0]

    def forget():
        for offset in rng.sample(sorted(lent.pages), min(len(lent.pages), 60)):
            lent.swap.invalidate_page(offset)
            del lent.pages[offset]

    steps = {
        alloc: 6,
        overwrite: 3,
        forget: 2,
        lambda: writeback == "through" or lent.run(rng.randrange(150), step="20us"): 8,
        lambda: tm.advance(f"{rng.randrange(1, 40)}ms"): 3,
        lambda: writeback == "through" or tm.disturb_device(duration=f"{rng.randrange(1, 60)}ms"): 2,
        lambda: tm.disturb_device(duration=f"{rng.randrange(1, 60)}ms", slow=10, after=f"{rng.randrange(5)}ms"): 2,
        lambda: ranges and ranges.pop(rng.randrange(len(ranges))).release(): 6,
    }
    lent.run(300, step="50us")
    for _ in range(80):
        rng.choices(list(steps), list(steps.values()))[0]()
        within_reserve(tm)
    assert met >= 3
    for contig in ranges:
        contig.release()
    tm.advance("1s")
    tm.verify()
    assert_all_back(lent.swap, lent.pages)


@CODECS
def test_more_than_the_contract_says_is_not_covered(opened, codec):
    """Larger or more urgent: it may be refused, it may be had; it is never late, and nothing is lost."""
    contract = Contract("4MiB", "10ms", "hard")
    tm = emulated(opened, contract=contract, escape="1MiB", codec=codec, writeback="behind")
    lent = Lent(tm, noise)
    lent.run(2000, step="1ms")
    tm.disturb_device(duration=FOR_EVER)
    lent.run(1000)
    endings = set()
    for size, deadline in (("14MiB", "10ms"), ("4MiB", "1us"), (whole(tm), "5ms"), ("6MiB", "100us"), ("4MiB", "2us")):
        contig, report = try_alloc(tm, size, deadline=deadline)
        endings.add(report.ending)
        assert report.returned_ns <= report.deadline_ns + 1_000_000
        if contig is not None:
            assert report.commit_ns <= report.deadline_ns
            scribble(contig)
            contig.release()
        lent.check()
    assert Ending.REFUSED in endings
    must_be_met(tm, contract).release()


SHAPES = [("10MiB", "4MiB"), ("1MiB", "1MiB"), ("1MiB", "64KiB"), ("5MiB", "4MiB"), ("8MiB", "8MiB"), ("7MiB", "7MiB")]


@CODECS
@pytest.mark.parametrize(("region", "size"), SHAPES)
@pytest.mark.parametrize("writeback", ["back", "behind"])
def test_regions_and_windows_of_any_shape(opened, codec, region, size, writeback):
    contract = Contract(size, "10ms", "hard")
    tm = emulated(opened, region, contract=contract, escape="256KiB", codec=codec, writeback=writeback)
    lent = Lent(tm, noise)
    lent.run(2500, step="200us")
    tm.disturb_device(duration=FOR_EVER)
    lent.run(500)
    for _ in range(3):
        for contig in take_until_no_window_is_left(tm, contract):
            contig.release()
        lent.run(100)
    lent.check()


def test_the_tail_of_the_region_is_a_chunk_of_its_own(opened):
    """4 MiB windows in 5 MiB; the 3 MiB from the second chunk on are no larger, so they are covered."""
    contract = Contract("4MiB", "10ms", "hard")
    tm = emulated(opened, "5MiB", contract=contract, escape="256KiB", codec="none", writeback="back")
    lent = Lent(tm, noise)
    tm.disturb_device(duration=FOR_EVER)
    lent.run(1500)
    contig, report = try_alloc(tm, "3MiB", deadline="10ms", effort=Effort.MIGRATE, start_pfn=512)
    assert report.ending == Ending.MET, report
    scribble(contig)
    assert_all_back(lent.swap, lent.pages)


@CODECS
def test_several_contracts_hold_at_once(opened, codec):
    small, large = Contract("2MiB", "2ms", "hard"), Contract("8MiB", "40ms", "hard", zero=True)
    soft = Contract("6MiB", "30ms", confidence=0.99)
    tm = emulated(opened, contract=[small, soft, large], escape="2MiB", codec=codec, writeback="behind")
    assert tuple(tm.contracts) == (small, soft, large)
    lent = Lent(tm)
    lent.run(2500, step="200us")
    DEATHS["stall"](tm)
    lent.run(800)
    for _ in range(3):
        with must_be_met(tm, large) as contig, must_be_met(tm, small):
            assert contig.size_bytes == 8 << 20
            tm.verify()
        zeroed, report = try_alloc(tm, large.size, deadline=large.deadline, effort=Effort.MIGRATE, zero=True)
        assert report.ending == Ending.MET
        assert not any(zeroed.view)
        zeroed.release()
        for contig in take_until_no_window_is_left(tm, small):
            contig.release()
        lent.run(100)
    lent.check()
    states = {state.contract: state.state for state in tm.stats().contracts}
    assert states[small] == states[large] == "holding"


@CODECS
def test_a_new_contract_bounds_what_was_stored_without_one(opened, codec):
    """Set over a full store it is refused, or brings the store under it; it never claims to hold and does not."""
    tm = emulated(opened, escape="1MiB", codec=codec, writeback="behind")
    lent = Lent(tm, noise)
    lent.run(2000, step="1us")
    contract = Contract("4MiB", "20ms", "hard")
    tm.contracts = contract
    for _ in range(200):
        if tm.stats().contracts[0].state == "holding":
            break
        tm.advance("50ms")
    assert tm.stats().contracts[0].state == "holding", tm.stats().contracts
    within_reserve(tm)
    tm.disturb_device(duration=FOR_EVER)
    for contig in take_until_no_window_is_left(tm, contract):
        contig.release()
    lent.check()


def test_a_hard_contract_that_does_not_hold_yet_refuses_at_once(opened):
    """Set while more lies in the region without a copy than the reserve takes: no plan waits for the device for it."""
    tm = emulated(opened, escape="1MiB", codec="none")
    lent = Lent(tm, noise)
    lent.run(4090, clean_every=10**9)  # no window is nearly empty
    tm.contracts = Contract("4MiB", "20ms", "hard")
    assert tm.stats().contracts[0].state == "recovering"
    estimate = tm.estimate("4MiB", deadline="20ms")
    assert not estimate.feasible
    assert estimate.reason == "recovering"
    _, report = try_alloc(tm, "4MiB", deadline="20ms")
    assert report.ending == Ending.REFUSED
    assert report.reason == "recovering"
    assert report.recovery_ns > 0
    for _ in range(100):
        if tm.stats().contracts[0].state == "holding":
            break
        tm.advance("20ms")
    contig, report = try_alloc(tm, "4MiB", deadline="20ms")
    assert report.ending == Ending.MET
    contig.release()
    lent.check()


def test_a_window_that_begins_within_a_chunk_is_not_covered(opened):
    """The promise is for chunk-aligned windows: another may hold the share of one chunk more."""
    tm = emulated(opened, escape="1MiB", codec="none")
    lent = Lent(tm, noise)
    lent.run(4090, clean_every=10**9)
    tm.contracts = Contract("4MiB", "20ms", "hard")
    for start_pfn, reason in ((512, "recovering"), (256, "deadline")):
        estimate = tm.estimate("4MiB", deadline="20ms", start_pfn=start_pfn)
        _, report = try_alloc(tm, "4MiB", deadline="20ms", start_pfn=start_pfn)
        assert (report.ending, report.reason, estimate.reason) == (Ending.REFUSED, reason, reason)
    lent.check()
