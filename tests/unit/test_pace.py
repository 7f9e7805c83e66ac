"""How fast the reserve is emptied is learned from the ends of the writes that emptied it."""

import pytest

from tmemstore.controller.cost import CostModel
from tmemstore.controller.model import Model
from tmemstore.controller.pace import DrainPace
from tmemstore.storage.profile import Lane
from tmemstore.stores.background import WriteServed

SIZE = 128 << 10
TAKES_NS = 1_000_000


def writes(count, *, every_ns=TAKES_NS, start=1, at_ns=0, drains=True, takes_ns=TAKES_NS):
    return [WriteServed(start + i, SIZE, takes_ns, at_ns + (i + 1) * every_ns, drains=drains) for i in range(count)]


def test_it_is_the_time_between_the_ends_not_that_of_each_write():
    pace = DrainPace()
    pace.learn(writes(40, every_ns=1_500_000))
    assert pace.byte_ps == pytest.approx(1_500_000_000 / SIZE, rel=0.001)


def test_it_is_the_mean_where_now_and_then_a_write_has_to_wait():
    pace = DrainPace()
    samples = [each._replace(ended_ns=each.ended_ns + 8 * TAKES_NS * (each.number // 10)) for each in writes(101)]
    pace.learn(samples)
    assert pace.byte_ps == pytest.approx(1.8 * TAKES_NS * 1000 / SIZE, rel=0.01)


def test_until_there_are_enough_it_is_what_writes_of_any_kind_take_and_a_tenth_for_others():
    pace = DrainPace()
    assert pace.byte_ps == 0
    pace.learn(writes(60, takes_ns=2 * TAKES_NS, every_ns=5 * TAKES_NS, drains=False))
    pace.learn(writes(20, start=61, at_ns=10**9, takes_ns=2 * TAKES_NS, every_ns=3 * TAKES_NS))
    assert pace.byte_ps == pytest.approx(1.1 * 2000 * TAKES_NS / SIZE, rel=0.001)
    pace.learn(writes(20, start=81, at_ns=10**9 + 60 * TAKES_NS, every_ns=3 * TAKES_NS))
    assert pace.byte_ps == pytest.approx(3000 * TAKES_NS / SIZE, rel=0.001)


@pytest.mark.parametrize("in_one", [True, False])
def test_neither_pauses_nor_other_writes_belong_to_it(in_one):
    """Forty drains, each of four writes, half a second apart, others between the last two of each."""
    pace = DrainPace()
    samples, number = [], 1
    for burst in range(40):
        at_ns = burst * 500_000_000
        samples += writes(4, start=number, at_ns=at_ns)
        samples += writes(3, start=number + 4, at_ns=at_ns + 4 * TAKES_NS, drains=False)
        samples += writes(1, start=number + 7, at_ns=at_ns + 40 * TAKES_NS)
        number += 8
    for part in [samples] if in_one else [[each] for each in samples]:
        pace.learn(part)
    assert pace.byte_ps == pytest.approx(TAKES_NS * 1000 / SIZE, rel=0.001)


def test_writes_that_nobody_saw_leave_a_gap_that_says_nothing():
    pace = DrainPace()
    pace.learn(writes(20))
    pace.learn(writes(20, start=100, at_ns=33 * TAKES_NS))
    pace.learn(writes(20, start=120, at_ns=53 * TAKES_NS))
    assert pace.byte_ps == pytest.approx(TAKES_NS * 1000 / SIZE, rel=0.001)


def test_a_device_that_became_slower_makes_the_pace_that_was_a_thing_of_the_past():
    model = Model(CostModel(byte_ps=8000), Lane(0, 8000), batch_bytes=SIZE)
    usual_ns = SIZE * 8
    model.learn_writes(writes(100, every_ns=2 * usual_ns, takes_ns=usual_ns))
    assert model.drain.byte_ps == pytest.approx(16_000, rel=0.01)
    assert model.cost.byte_ps == pytest.approx(8_000, rel=0.01)
    model.learn_writes(writes(10, start=101, at_ns=10**9, every_ns=20 * usual_ns, takes_ns=20 * usual_ns))
    assert model.drain.byte_ps == model.cost.byte_ps > 100_000
