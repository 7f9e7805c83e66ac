"""The laws of a soft contract: any window's bound stays within the deadline, or the contract says that it recovers."""

import random

import pytest

from support import PAGE, assert_all_back, noise, scribble, text, try_alloc
from tmemstore import Contract, Ending, SpillError

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
WRITEBACKS = pytest.mark.parametrize("writeback", ["back", "behind", "through"])
BATCH_NS = 3_000_000  # what one batch of the cleaner takes on emmc5.1, and a little
CONTRACT = Contract("4MiB", "20ms")


def emulated(opened, region="16MiB", device="emmc5.1", settled=True, **options):
    tm = opened(region, storage=f"emulate:{device}", virtual_time=True, **options)
    if settled:
        tm.advance("1s")  # what opening wrote has landed
    return tm


def state(tm, contract=CONTRACT):
    return next(state for state in tm.stats().contracts if state.contract == contract)


def fill_up(swap, pages, start, count=3000, make=noise, enough=120):
    """Store, until so many in a row were refused; the next number."""
    in_a_row = 0
    for number in range(start, start + count):
        page = make(number)
        if swap.store(number, page):
            pages[number] = page
            in_a_row = 0
        else:
            in_a_row += 1
            if in_a_row == enough:
                return number + 1
    return start + count


def windows(tm, contract):
    taken = [int(row["frames_allocated"]) for row in tm.chunks()]
    chunks = range(len(taken) - contract.chunks + 1)
    return [512 * chunk for chunk in chunks if not any(taken[chunk : chunk + contract.chunks])]


def recovers_as_said(tm, contract, report, ask):
    """The law: what was refused as recovering is met after about the time said."""
    said, begun = report.recovery_ns, tm.now_ns
    while not tm.estimate(contract.size, **ask).feasible:
        tm.advance(max(said // 50, 10_000))
        assert tm.now_ns - begun <= 1.2 * said + BATCH_NS, f"said {said}: {tm.estimate(contract.size, **ask)}"
    assert tm.now_ns - begun >= 0.8 * said - BATCH_NS, f"said {said}, took {tm.now_ns - begun}"
    contig, report = try_alloc(tm, contract.size, **ask)
    assert report.ending == Ending.MET, report
    contig.release()


def cpu_became(tm, **coefficients):
    """What allocations in real time would teach; in virtual time the CPU takes what it is said to take."""
    tm._model._cost = tm._model._cost.changed(coefficients)
    tm._model._answers.clear()


def bounds_hold(tm, *contracts):
    """The law: of every window, at any time, unless the contract says that it recovers."""
    for contract in contracts:
        before = state(tm, contract)
        if before.state == "holding":
            for start in windows(tm, contract):
                estimate = tm.estimate(
                    contract.size, deadline=contract.deadline, start_pfn=start, confidence=contract.confidence
                )
                assert estimate.feasible, f"holding, but the window at {start} is refused: {estimate}"
                assert estimate.bound_ns <= contract.deadline_ns
        elif before.state == "recovering":
            assert before.recovery_ns > 0
            assert before.reason
        else:
            assert before.reason


@CODECS
@WRITEBACKS
@pytest.mark.parametrize("seed", range(1))
def test_bounds_keep_to_the_deadline_at_all_times_of_a_random_history(  # noqa: C901, PLR0912 - one step after the other
    opened, codec, writeback, seed
):
    """And what a steady device is asked for while the contract holds is MET, within its bound."""
    rng = random.Random(f"{codec} {writeback} {seed}")
    other = Contract("2MiB", "8ms", confidence=0.99)
    tm = emulated(opened, contract=[CONTRACT, other], escape="512KiB", codec=codec, writeback=writeback)
    swap, fs, pages, ranges, number, ran = tm.frontswap(0), tm.cleancache("rootfs"), {}, [], 0, 0
    for _ in range(70):
        step = rng.choice(["store", "store", "clean", "forget", "advance", "allocate", "allocate", "release"])
        if step == "store":
            number = fill_up(swap, pages, number, rng.randrange(300), rng.choice([noise, text]), enough=20)
        elif step == "clean":
            for index in range(rng.randrange(200)):
                fs.put_page(1, index, noise(index))
        elif step == "forget":
            for offset in rng.sample(sorted(pages), len(pages) // 4):
                swap.invalidate_page(offset)
                del pages[offset]
        elif step == "advance":
            tm.advance(rng.randrange(1, 20_000_000))
        elif step == "allocate":
            contract = rng.choice([CONTRACT, other])
            holding = state(tm, contract).state == "holding"
            if windows(tm, contract):
                contig, report = try_alloc(tm, contract.size, deadline=contract.deadline)
                if holding:
                    assert report.ending == Ending.MET, f"holding, steady, but {report}"
                    assert report.elapsed_ns <= 1.01 * report.bound_ns, f"beyond its bound: {report}"
                    ran += 1
                elif report.ending == Ending.REFUSED:
                    assert report.reason == "recovering"
                    assert report.recovery_ns > 0
                if contig is not None:
                    scribble(contig)
                    ranges.append(contig)
        elif ranges:
            ranges.pop(rng.randrange(len(ranges))).release()
        bounds_hold(tm, CONTRACT, other)
    assert ran
    tm.verify()
    assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("writeback", ["back", "behind"])
def test_a_contract_that_holds_from_the_start_is_kept_from_the_start(opened, codec, writeback):
    """What opening left under way counts: holding is holding."""
    tm = emulated(opened, contract=CONTRACT, escape="512KiB", codec=codec, writeback=writeback, settled=False)
    swap, pages = tm.frontswap(0), {}
    number = fill_up(swap, pages, 0)
    assert state(tm).state == "holding"
    for start in (0, 1024):
        if state(tm).state == "holding":
            contig, report = try_alloc(tm, CONTRACT.size, deadline=CONTRACT.deadline, start_pfn=start)
            assert report.ending == Ending.MET, report
            contig.release()
            number = fill_up(swap, pages, number)
    assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("escape", [0, "512KiB"])
@pytest.mark.parametrize("deadline", ["20ms", "50ms"])
def test_a_store_is_refused_only_if_no_window_has_room(opened, codec, escape, deadline):
    """Filled evenly, what is there without a copy is what the ceilings allow, less a tenth."""
    contract = Contract("4MiB", deadline)
    tm = emulated(opened, contract=contract, escape=escape, codec=codec, writeback="back")
    swap, pages = tm.frontswap(0), {}
    fill_up(swap, pages, 0, 4096)
    now = state(tm, contract)
    allowed = min(now.ceiling_bytes, int(contract.frames) * PAGE)
    assert now.uncopied_bytes >= 0.9 * allowed, f"{len(pages)} pages stored, then refused; {now}"


@CODECS
def test_an_allocation_does_what_its_estimate_says_when_the_reserve_is_full(opened, codec):
    """The reserve is full from the one before; then room inside is either there, or not promised."""
    tm = emulated(opened, contract=CONTRACT, escape="512KiB", codec=codec, writeback="back")
    swap, pages = tm.frontswap(0), {}
    number = fill_up(swap, pages, 0)
    for start in (0, 0, 1024, 2048, 0):
        contig, report = try_alloc(tm, CONTRACT.size, deadline=CONTRACT.deadline, start_pfn=start)
        if contig is not None:
            assert report.elapsed_ns <= report.bound_ns, f"a steady device, but beyond its bound: {report}"
            contig.release()
        number = fill_up(swap, pages, number)
    assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("pause_us", [0, 1000, 5000])
@pytest.mark.parametrize("writeback", ["back", "behind"])
def test_recovering_says_how_long_and_is_right(opened, codec, pause_us, writeback):
    """Right after a large allocation: the next is MET, or REFUSED as recovering until about the time said."""
    contract = Contract("4MiB", "40ms")
    tm = emulated(opened, contract=contract, escape="1MiB", codec=codec, writeback=writeback)
    swap, pages, refused = tm.frontswap(0), {}, 0
    number = fill_up(swap, pages, 0)
    for start in (0, 1024, 2048, 512):
        contig, report = try_alloc(tm, contract.size, deadline=contract.deadline, start_pfn=start)
        if contig is not None:
            contig.release()
        number = fill_up(swap, pages, number)
        if pause_us:
            tm.advance(f"{pause_us}us")
        busiest = max(windows(tm, contract), key=lambda at: tm.estimate(contract.size, start_pfn=at).bound_ns)
        ask = {"deadline": contract.deadline, "start_pfn": busiest}
        contig, report = try_alloc(tm, contract.size, **ask)
        if contig is not None:
            contig.release()
            continue
        assert (report.ending, report.reason) == (Ending.REFUSED, "recovering"), report
        assert state(tm, contract).state == "recovering"
        refused += 1
        recovers_as_said(tm, contract, report, ask)
    assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("object_us", [50, 80])
@pytest.mark.parametrize("drained", [True, False])
def test_a_cpu_that_became_slower_is_recovered_from_in_the_time_said(opened, codec, object_us, drained):
    """What was at its ceilings keeps the CPU too long now: pages that have a copy need not be moved."""
    tm = emulated(opened, contract=CONTRACT, escape="512KiB", codec=codec, writeback="back")
    swap, pages = tm.frontswap(0), {}
    fill_up(swap, pages, 0)
    if drained:
        tm.advance("1s")
    else:
        try_alloc(tm, CONTRACT.size, deadline=CONTRACT.deadline)[0].release()
    cpu_became(tm, move_ns=object_us * 1000, object_ns=object_us * 1000)
    busiest = max(windows(tm, CONTRACT), key=lambda at: tm.estimate(CONTRACT.size, start_pfn=at).bound_ns)
    ask = {"deadline": CONTRACT.deadline, "start_pfn": busiest}
    _, report = try_alloc(tm, CONTRACT.size, **ask)
    assert (report.ending, report.reason) == (Ending.REFUSED, "recovering"), report
    assert state(tm).state == "recovering"
    recovers_as_said(tm, CONTRACT, report, ask)
    tm.advance("2s")
    assert state(tm).state == "holding", state(tm)
    bounds_hold(tm, CONTRACT)
    assert_all_back(swap, pages)


@pytest.mark.parametrize("writeback", ["back", "behind"])
def test_pages_that_take_too_long_to_drop_break_the_contract_and_it_says_so(opened, writeback):
    """Nothing is gained by a copy: each page of a full window costs a drop, and there are several in a frame."""
    tm = emulated(opened, contract=CONTRACT, escape="512KiB", codec="lz4", writeback=writeback)
    swap, pages = tm.frontswap(0), {}
    fill_up(swap, pages, 0, count=20_000, make=text)
    tm.advance("5s")
    assert state(tm).state == "holding"
    busiest = max(windows(tm, CONTRACT), key=lambda at: tm.estimate(CONTRACT.size, start_pfn=at).bound_ns)
    objects = tm.propose(CONTRACT.size, start_pfn=busiest)
    held = objects.objects_copied + objects.objects_uncopied
    assert held > 1.5 * 1024
    cpu_became(tm, drop_ns=CONTRACT.deadline_ns // 1400)  # 1024 frames with one page each would do
    now = state(tm)
    assert not tm.estimate(CONTRACT.size, deadline=CONTRACT.deadline, start_pfn=busiest).feasible
    assert now.state == "broken", now
    assert "drop" in now.reason
    assert_all_back(swap, pages)


@CODECS
def test_stores_that_would_prolong_a_recovery_are_refused(opened, codec):
    tm = emulated(opened, contract=CONTRACT, escape="512KiB", codec=codec, writeback="back")
    swap, pages = tm.frontswap(0), {}
    number, recovering = fill_up(swap, pages, 0), 0
    for start in (0, 1024, 2048, 512, 0, 1024):
        contig, _ = try_alloc(tm, CONTRACT.size, deadline=CONTRACT.deadline, start_pfn=start)
        if contig is not None:
            contig.release()
        before = state(tm)
        number = fill_up(swap, pages, number)
        if before.state == "recovering":
            recovering += 1
            assert state(tm).recovery_ns <= before.recovery_ns * 1.02 + 1000
    tm.verify()
    assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("slow", [4, 20])
def test_a_slower_device_shrinks_the_ceilings_and_the_contract_recovers_or_says_broken(opened, codec, slow):
    tm = emulated(opened, contract=CONTRACT, escape="512KiB", codec=codec, writeback="behind")
    swap, pages = tm.frontswap(0), {}
    number = fill_up(swap, pages, 0)
    room = state(tm).ceiling_bytes
    tm.disturb_device(duration="100000s", slow=slow)
    aborted = 0
    for _ in range(12):
        contig, report = try_alloc(tm, CONTRACT.size, deadline=CONTRACT.deadline)
        aborted += report.ending == Ending.ABORTED
        if contig is not None:
            contig.release()
        tm.advance("40ms")
        number = fill_up(swap, pages, number, 400)
    assert state(tm).ceiling_bytes < room, "nothing was learnt"
    assert aborted <= 4, "the slow-down was seen, and allocations were begun all the same"
    tm.advance("200s")
    assert state(tm).state in {"holding", "broken"}, state(tm)
    bounds_hold(tm, CONTRACT)
    for start in windows(tm, CONTRACT):
        if state(tm).state == "holding":
            contig, report = try_alloc(tm, CONTRACT.size, deadline=CONTRACT.deadline, start_pfn=start)
            assert report.ending == Ending.MET, f"holding on a device that is slow but steady: {report}"
            contig.release()
            tm.advance("2s")
    tm.verify()
    assert_all_back(swap, pages)


@CODECS
def test_when_the_device_is_fast_again_so_are_the_ceilings(opened, codec):
    tm = emulated(opened, contract=CONTRACT, escape="512KiB", codec=codec, writeback="behind")
    swap, pages = tm.frontswap(0), {}
    number = fill_up(swap, pages, 0)
    room = state(tm).ceiling_bytes
    tm.disturb_device(duration="2s", slow=10)
    for step in range(200):
        contig, _ = try_alloc(tm, CONTRACT.size, deadline=CONTRACT.deadline)
        if contig is not None:
            contig.release()
        tm.advance("50ms")
        number = fill_up(swap, pages, number, 300)
        if step > 40 and state(tm).ceiling_bytes >= 0.8 * room:
            break
    assert state(tm).ceiling_bytes >= 0.8 * room, f"{state(tm)} after a slow-down that passed; before {room}"
    assert_all_back(swap, pages)


@CODECS
def test_a_dead_device_ends_no_soft_allocation_late(opened, codec):
    """It may be refused or aborted; never late, nothing lost; and it is had again when the device answers."""
    tm = emulated(opened, contract=CONTRACT, escape="512KiB", codec=codec, writeback="behind")
    swap, pages = tm.frontswap(0), {}
    fill_up(swap, pages, 0)
    tm.disturb_device(duration="3s")
    for start in (0, 1024, 2048, 0):
        contig, report = try_alloc(tm, CONTRACT.size, deadline=CONTRACT.deadline, start_pfn=start)
        assert report.returned_ns <= report.deadline_ns + 1_000_000
        assert report.commit_ns <= report.deadline_ns
        tm.verify()
        if contig is not None:
            scribble(contig)
            contig.release()
    tm.advance("60s")
    assert_all_back(swap, pages)
    contig, report = try_alloc(tm, CONTRACT.size, deadline="5s")
    assert report.ending == Ending.MET
    contig.release()


@CODECS
def test_the_write_budget_stops_the_cleaner_and_tightens_admission(opened, codec):
    """What opening measured is not of the budget; a day later there is a new one."""
    options = {"contract": CONTRACT, "escape": "512KiB", "codec": codec, "writeback": "behind"}
    free, tight = emulated(opened, **options), emulated(opened, spill_write_limit="2MiB", **options)
    cleaned = []
    for tm in (free, tight):
        swap, pages, number = tm.frontswap(0), {}, 0
        for _ in range(40):
            number = fill_up(swap, pages, number, 600, enough=30)
            tm.advance("100ms")
            for offset in list(pages)[::5]:
                swap.invalidate_page(offset)
                del pages[offset]
        assert_all_back(swap, pages)
        cleaned.append(tm.stats().written_by_cause["clean"])
    assert cleaned[0] > 4 << 20, "the cleaner is idle under a load that is refused stores"
    written = tight.stats().written_by_cause
    assert sum(written.values()) - written["measure"] <= (2 << 20) + (1 << 20), "the budget was passed"
    assert cleaned[1] < cleaned[0]
    assert state(tight).ceiling_bytes < state(free).ceiling_bytes, "contracts count on no more writes"
    tight.advance("90000s")
    fill_up(tight.frontswap(0), {}, 100_000, 3000)
    tight.advance("10s")
    assert tight.stats().written_by_cause["clean"] > cleaned[1], "another day, another budget"


def test_stores_are_errors_not_silence_when_through_meets_a_dead_device(opened):
    tm = emulated(opened, contract=CONTRACT, codec="lz4", writeback="through", io_timeout="50ms")
    swap = tm.frontswap(0)
    assert swap.store(1, noise(1))
    tm.disturb_device(duration="1s")
    with pytest.raises(SpillError):
        swap.store(2, noise(2))
    tm.advance("3s")
    assert swap.store(2, noise(2))
    assert_all_back(swap, {1: noise(1), 2: noise(2)})
