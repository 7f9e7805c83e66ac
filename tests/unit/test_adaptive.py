"""The adaptive knob: it follows a load that changes, says why, keeps to the contracts, and costs nothing when off."""

import numpy as np
import pytest

import tmemstore
from tmemstore.controller import adaptive
from tmemstore.controller.adaptive import Curve
from tmemstore.stores import background
from tmemstore.stores.background import Ghosts
from tmemstore.trace import phases
from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.outcome import device_time
from tmemstore.trace.replay import Replay
from tmemstore.trace.settings import Settings
from tmemstore.units import PAGE_SIZE

FRAMES = 2048
ACCESSES = (Op.PUT_PAGE, Op.GET_PAGE, Op.STORE, Op.LOAD)
BINS = 8
READ_NS, WRITE_PS = 100, 1000


def settings(percent, **options):
    return Settings(region_bytes=FRAMES * PAGE_SIZE, frontswap_percent=percent, **options)


def settled(load):
    """The place in the last phase from which on twice as many accesses as the region has frames have passed."""
    accesses = np.cumsum(np.isin(load.events["op"], ACCESSES))
    return int(np.searchsorted(accesses, accesses[load.starts[-1] - 1] + 2 * FRAMES))


def saved_from(load, at, percent):
    """Device time that is saved from a place on, and the changes of the knob."""
    made = settings(percent)
    with Replay(made) as running:
        running.run([load.events[:at]])
        before = device_time(running.tm.stats(), made)["saved_ns"]
        running.run([load.events[at:]])
        return device_time(running.tm.stats(), made)["saved_ns"] - before, running.tm.events


# ---- a load that changes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [("frontswap", "cleancache"), ("cleancache", "frontswap")])
def test_after_a_shift_it_saves_what_the_best_fixed_ratio_would(kinds):
    load = phases.make(FRAMES, 10 * FRAMES, kinds, seed=2)
    at = settled(load)
    fixed = [saved_from(load, at, percent)[0] for percent in range(0, 101, 5)]
    assert min(fixed) < 0.95 * max(fixed), "the ratio makes no difference: the load shows nothing"
    assert saved_from(load, at, "adaptive")[0] >= 0.95 * max(fixed)


def test_every_change_is_in_the_log_with_its_reason():
    load = phases.make(FRAMES, 10 * FRAMES, ("cleancache", "frontswap"), seed=1)
    in_force = [adaptive.START_PERCENT]
    with Replay(settings("adaptive")) as running:
        for events in np.array_split(load.events, 300):
            running.run([events])
            percent = running.tm.ratio.frontswap
            if percent != in_force[-1]:
                in_force.append(percent)
        log = running.tm.events
    told = [event.percent for event in log]
    assert len(in_force) > 1, "it never moved"
    assert set(in_force[1:]) <= set(told)
    assert told[-1] == in_force[-1]
    assert all(event.reason and event.what == "frontswap_max_percent" for event in log)
    assert [event.time_ns for event in log] == sorted(event.time_ns for event in log)


def test_a_load_that_stays_as_it_is_moves_it_seldom():
    load = phases.make(FRAMES, 40 * FRAMES, ("cleancache",), seed=3)
    log = saved_from(load, 1, "adaptive")[1]
    assert log
    assert sum(event.time_ns > len(load.events) // 2 * phases.PERIOD_NS for event in log) <= 4


# ---- what it may do --------------------------------------------------------------------------------------------


def test_it_never_exceeds_what_the_contract_allows():
    contract = tmemstore.Contract("1MiB", "4ms")
    load = phases.make(FRAMES, 6 * FRAMES, ("cleancache", "frontswap"), seed=4)
    made = settings("adaptive", contract=contract, writeback="back")
    with Replay(made) as running:
        running.tm.frontswap_max_percent = "auto"
        largest = running.tm.ratio.frontswap
        assert 0 < largest < 100
        running.tm.frontswap_max_percent = "adaptive"
        for events in np.array_split(load.events, 100):
            running.run([events])
            assert running.tm.ratio.frontswap <= largest
        assert all(event.percent <= largest for event in running.tm.events)


def test_a_number_stops_it():
    load = phases.make(FRAMES, 10 * FRAMES, ("frontswap", "cleancache"), seed=1)
    with Replay(settings("adaptive")) as running:
        running.tm.frontswap_max_percent = 40
        running.run([load.events])
        assert running.tm.ratio.frontswap == 40
        assert running.tm.events == ()


@pytest.mark.parametrize("value", ["adapt", "", 101, -1])
def test_a_wrong_value_is_refused_and_it_goes_on(value):
    with tmemstore.open("4MiB", storage="emulate:emmc5.1", virtual_time=True, frontswap_max_percent="adaptive") as tm:
        with pytest.raises((ValueError, TypeError)):
            tm.frontswap_max_percent = value
        assert tm.frontswap_max_percent == "adaptive"


# ---- what it reckons with --------------------------------------------------------------------------------------


def seen(clean=(), swap=(), freed=(), pages=(), **fields):
    """Ghosts of BINS bins, four of which make up the region."""
    bins = {"clean": clean, "swap": swap, "swap_freed_units": freed, "swap_pages": pages}
    padded = {name: [*values, *[0] * (BINS - len(values))] for name, values in bins.items()}
    rest = {"swap_stores": 0, "units": (0, 0), "accesses": 0, "let_in": 0, "rate_ppb": 10**9, **fields}
    for field in Ghosts._fields:
        rest.setdefault(field, (0, 0) if field.startswith("units") else [0] * BINS)
    return Ghosts(**(rest | padded))


def curve_of(*ghosts):
    curve = Curve(BINS)
    before = seen()
    for ghost in ghosts:
        curve.add(ghost, before, READ_NS, WRITE_PS)
        before = ghost
    return curve


def test_a_curve_saves_what_lies_within_each_share():
    curve = curve_of(seen(clean=(3, 2, 1, 1, 9), swap=(5, 4, 0, 2, 9)))
    assert curve.saved(0, 100) == 7 * READ_NS
    assert curve.saved(100, 100) == 11 * READ_NS
    assert curve.saved(50, 100) == (5 + 9) * READ_NS
    assert curve.saved(62.5, 100) == (4 + 9 + 0) * READ_NS
    assert curve.uses == 36


def test_pages_that_fill_a_share_need_no_larger_one():
    curve = curve_of(seen(clean=(1, 1, 1, 1), swap=(5, 4)))
    assert curve.saved(100, 50) == curve.saved(50, 100) == (2 + 9) * READ_NS


def test_gaps_between_pages_make_a_share_hold_less_and_pages_fill_more():
    curve = curve_of(seen(swap=(5, 4, 3, 2)))
    assert curve.saved(100, 100, dense=0.5) == 9 * READ_NS
    assert curve.saved(100, 25, dense=0.5) == curve.saved(50, 100, dense=0.5) == 5 * READ_NS


def test_a_page_that_is_freed_in_the_region_was_never_written():
    units = 64 * PAGE_SIZE // 64
    assert curve_of(seen(freed=(units,))).saved(25, 100) == units * 64 * WRITE_PS / 1000


def test_only_what_came_since_is_added():
    first = seen(clean=(10,), swap=(4,))
    assert curve_of(first, first).saved(0, 0) == 10 * READ_NS


@pytest.mark.parametrize(("came", "kept"), [(0, 0.5), (7, 0.5), (9, 0.5), (10, 1), (60, 1)])
def test_a_kind_that_is_used_much_less_fades_faster(came, kept):
    """As many are expected as a fade by half takes away: 25."""
    curve = curve_of(seen(clean=(50,), swap=(50,)))
    curve.fade(0.5, came, 25)
    assert curve.clean_uses == pytest.approx(25 * kept)
    assert curve.swap_uses == 25
    assert curve.saved(0, 0) == pytest.approx(25 * kept * READ_NS)


def test_of_a_few_uses_nothing_is_concluded():
    curve = curve_of(seen(clean=(20,)))
    curve.fade(0.5, 0, 0)
    assert curve.clean_uses == 10


# ---- off -------------------------------------------------------------------------------------------------------


def test_it_samples_nothing_and_holds_nothing_once_it_is_off():
    held = []
    for was_on in (False, True):
        knob = "adaptive" if was_on else 30
        with tmemstore.open("4MiB", storage="emulate:emmc5.1", virtual_time=True, frontswap_max_percent=knob) as tm:
            tm.frontswap_max_percent = 30
            files, page = tm.cleancache("files"), bytearray(PAGE_SIZE)
            for number in range(1500):
                files.put_page(number % 1000, 0, page)
                files.get_page(number % 700, 0, page)
            ghosts = background.ghosts(tm.store)
            assert not any(ghosts.clean + ghosts.swap)
            held.append(tm.stats())
    assert held[0] == held[1]


# ---- the load itself -------------------------------------------------------------------------------------------


def test_phases_repeat_for_a_seed_and_are_a_trace():
    load, again = (phases.make(256, 2000, ("frontswap", "cleancache"), seed=7) for _ in range(2))
    assert load.events.dtype == RECORD
    assert load.starts == (0, 2000)
    assert (load.events == again.events).all()
    assert (np.diff(load.events["time_ns"].astype(np.int64)) >= 0).all()
    assert (load.events["op"] != phases.make(256, 2000, ("frontswap", "cleancache"), seed=8).events["op"]).any()


def test_phases_load_only_what_is_swapped_out_and_get_what_was_put():
    events = phases.make(256, 4000, ("frontswap", "cleancache"), seed=7).events
    swapped = set()
    for op, pool, index in zip(events["op"].tolist(), events["pool"].tolist(), events["index"].tolist(), strict=True):
        page = (pool, index)
        if op == Op.STORE:
            assert page not in swapped
            swapped.add(page)
        elif op == Op.LOAD:
            assert page in swapped
        elif op == Op.INVALIDATE_SWAP:
            swapped.remove(page)
        elif op == Op.INVALIDATE_AREA:
            swapped = {each for each in swapped if each[0] != pool}
    assert not swapped
