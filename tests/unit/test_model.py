"""What is learned of the device and the CPU, and what follows for a bound."""

import dataclasses
import random

import pytest

from support import plain_report, plain_window
from tmemstore.controller.convolve import sum_quantiles
from tmemstore.controller.cost import SPREAD_BYTES, CostModel
from tmemstore.controller.model import Model
from tmemstore.stats import Ending
from tmemstore.storage.profile import Lane
from tmemstore.stores.background import WriteServed

BATCH = 512 << 10
COST = CostModel(t0_ns=1000, frame_ns=2, drop_ns=50, byte_ps=8000)


def test_a_sum_of_equal_times_is_their_multiple():
    for terms in (1, 7, 64, 500):
        assert sum_quantiles([3000], terms, [0.5, 0.999]) == pytest.approx([3000 * terms] * 2)


@pytest.mark.parametrize("terms", [1, 8, 40, 256])
def test_the_quantile_of_a_sum_is_that_of_drawn_sums(terms):
    """Rare pauses of thirty times the usual: against sums that are really drawn."""
    draw = random.Random(7)
    sample = [draw.gauss(1000, 100) + (30_000 if draw.random() < 0.02 else 0) for _ in range(2000)]
    drawn = sorted(sum(draw.choices(sample, k=terms)) for _ in range(20_000))
    for confidence, said in zip((0.5, 0.99, 0.999), sum_quantiles(sample, terms, [0.5, 0.99, 0.999]), strict=True):
        assert said == pytest.approx(drawn[int(len(drawn) * confidence)], rel=0.12)


def writes(times_ns, start=1, size=BATCH):
    return [WriteServed(number, size, ns, 0, drains=False) for number, ns in enumerate(times_ns, start)]


def test_the_first_writes_tell_the_rate():
    model = Model(COST, None, batch_bytes=BATCH)
    assert model.learn_writes(writes([BATCH * 4] * 40))  # 4 ns a byte
    assert model.cost.byte_ps == pytest.approx(4000, rel=0.01)
    assert model.writes_seen() == 40


def test_writes_that_are_too_small_say_nothing_of_a_byte():
    model = Model(COST, None, batch_bytes=BATCH)
    assert not model.learn_writes(writes([10**9], size=4096))
    assert model.cost.byte_ps == COST.byte_ps


def test_a_device_that_became_slower_is_believed_after_a_few_dozen_writes():
    model = Model(COST, Lane(0, 8000), batch_bytes=BATCH)
    usual = BATCH * 8
    model.learn_writes(writes([usual] * 500))
    before = model.costs(0.999).bound.device_ns(8 << 20)
    model.learn_writes(writes([10 * usual] * 40, start=501))
    after = model.costs(0.999).bound.device_ns(8 << 20)
    assert 8 < after / before < 16
    for start in range(541, 621, 8):
        model.learn_writes(writes([usual] * 8, start=start))
    assert model.costs(0.999).bound.device_ns(8 << 20) == pytest.approx(before, rel=0.2)


def test_pauses_widen_the_bound_and_not_the_expectation():
    draw = random.Random(3)
    usual = BATCH * 8
    steady, pausing = Model(COST, Lane(0, 8000), batch_bytes=BATCH), Model(COST, Lane(0, 8000), batch_bytes=BATCH)
    steady.learn_writes(writes([usual] * 1000))
    pausing.learn_writes(writes([usual + (20_000_000 if draw.random() < 0.01 else 0) for _ in range(1000)]))
    size = 4 << 20
    assert pausing.costs().expected.device_ns(size) == pytest.approx(steady.costs().expected.device_ns(size), rel=0.05)
    assert pausing.costs(0.999).bound.device_ns(size) > steady.costs(0.999).bound.device_ns(size) + 20_000_000


def test_spread_never_falls_with_the_size():
    draw = random.Random(5)
    model = Model(COST, Lane(0, 8000), batch_bytes=BATCH)
    model.learn_writes(writes([int(BATCH * 8 * draw.lognormvariate(0, 0.3)) for _ in range(600)]))
    bound = model.costs(0.999).bound
    assert len(bound.spread_ns) == len(SPREAD_BYTES)
    assert list(bound.spread_ns) == sorted(bound.spread_ns)


def report(elapsed_ns, costs, frames=16384, dropped=16384, **changes):
    window = plain_window(
        frames=frames,
        objects_copied=dropped,
        predicted_ns=costs.expected.t0_ns + frames * costs.expected.frame_ns + dropped * costs.expected.drop_ns,
        p99_ns=costs.p99.t0_ns + frames * costs.p99.frame_ns + dropped * costs.p99.drop_ns,
        bound_ns=costs.bound.t0_ns + frames * costs.bound.frame_ns + dropped * costs.bound.drop_ns,
    )
    took = {"elapsed_ns": elapsed_ns, "cpu_ns": elapsed_ns, "drop_ns": elapsed_ns, "copied_dropped": dropped}
    return plain_report(window=window, **(took | changes))


def test_a_bound_is_missed_as_rarely_as_its_confidence_says_and_is_tight():
    """Allocations whose time is drawn: the last thousand of two thousand."""
    draw = random.Random(11)
    model = Model(COST, None, batch_bytes=BATCH)
    missed, ratios = 0, []
    for number in range(2000):
        costs = model.costs(0.99)
        elapsed = int(2_000_000 * draw.lognormvariate(0, 0.1))
        seen = report(elapsed, costs)
        if number >= 1000:
            missed += elapsed > seen.bound_ns
            ratios.append(elapsed / seen.bound_ns)
        model.learn(seen, costs)
    assert missed <= 25
    assert 1 / sorted(ratios)[989] < 1.5


def test_a_starved_allocation_and_a_refused_one_teach_nothing():
    model = Model(COST, None, batch_bytes=BATCH)
    before = model.cost
    costs = model.costs(0.99)
    model.learn(report(10**9, costs, starved=True), costs)
    model.learn(report(10**9, costs, ending=Ending.REFUSED), costs)
    assert model.cost == before


def test_an_interruption_adds_a_time_to_the_bound_and_stretches_no_lane():
    """Windows that the CPU bounds take what is expected, but for a few that are held up, say nothing of the device."""
    model = Model(COST, Lane(0, 8000), batch_bytes=BATCH, virtual=True)
    draw = random.Random(9)
    model.learn_writes(writes([int(BATCH * 8 * draw.lognormvariate(0, 0.1)) for _ in range(600)]))
    before = model.costs(0.999).bound
    for number in range(4000):
        costs = model.costs(0.999)
        held_up_ns = 3_000_000 if number % 500 == 250 else 0
        plain = report(0, costs)
        model.learn(dataclasses.replace(plain, elapsed_ns=plain.predicted_ns + held_up_ns), costs)
    after = model.costs(0.999).bound
    assert after.device_ns(8 << 20) == before.device_ns(8 << 20)
    assert before.t0_ns + 2_900_000 < after.t0_ns < before.t0_ns + 3_100_000


def test_an_allowance_falls_where_nothing_interrupts_and_ceilings_do_not_count_on_it():
    model = Model(COST, Lane(0, 8000), batch_bytes=BATCH, virtual=True)
    before = model.ceiling_cost(0.99, 50_000_000).t0_ns, model.costs(0.99).bound.t0_ns
    for _ in range(500):
        costs = model.costs(0.99)
        plain = report(0, costs)
        model.learn(dataclasses.replace(plain, elapsed_ns=plain.predicted_ns), costs)
    assert model.costs(0.99).bound.t0_ns < before[1]
    assert model.ceiling_cost(0.99, 50_000_000).t0_ns == before[0]


def test_no_more_is_allowed_for_interruptions_than_a_part_of_the_deadline():
    """Otherwise one allocation that was held up would have all others refused, and nothing more would be learned."""
    model = Model(COST, Lane(0, 8000), batch_bytes=BATCH, virtual=True)
    plain = report(0, model.costs(0.999))
    model.learn(dataclasses.replace(plain, elapsed_ns=plain.predicted_ns + 4_000_000), model.costs(0.999))
    free_ns = model.costs(0.999).bound.t0_ns
    held_ns = model.costs(0.999, deadline_ns=5_000_000).bound.t0_ns
    assert 3_900_000 < free_ns < 4_100_000
    assert held_ns <= 500_000 + COST.t0_ns
    assert model.ceiling_cost(0.999, 5_000_000).t0_ns == held_ns


def test_zeroing_is_no_part_of_what_an_empty_window_takes():
    """Its time has a coefficient of its own, and would be counted twice."""
    model = Model(COST, Lane(0, 8000), batch_bytes=BATCH)
    for _ in range(100):
        costs = model.costs(0.99)
        zeroed = report(5_040_000, costs, dropped=0, zero_ns=5_000_000, drop_ns=0)
        model.learn(zeroed, costs)
    assert model.cost.t0_ns < 10_000
