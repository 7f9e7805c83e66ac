"""The CPU's coefficients, and by how much they must be stretched, from what allocations took."""

import random

import pytest

from support import plain_report, plain_window
from tmemstore.controller.cost import CostModel
from tmemstore.controller.cpu_times import CpuSpread, CpuTimes, Work

COST = CostModel(t0_ns=1000, frame_ns=10, drop_ns=200, move_ns=1000, move_ps=100)
WORK = Work(frames=16384, clean=0, drops=12_000, moved=9000, moved_bytes=16 << 20)


def spread_of(ratios, cost=COST, work=WORK):
    spread = CpuSpread()
    for ratio in ratios:
        spread.learn(work, round(ratio * work.predicted_ns(COST)), cost)
    return spread


def test_what_is_predicted_is_the_sum_over_the_work():
    assert WORK.predicted_ns(COST) == 1000 + 16384 * 10 + 12_000 * 200 + 9000 * 1000 + (16 << 20) * 100 // 1000


@pytest.mark.parametrize("confidence", [0.9, 0.99, 0.999])
def test_it_is_the_quantile_of_what_was_used(confidence):
    draw = random.Random(4)
    ratios = [draw.lognormvariate(0, 0.25) for _ in range(3000)]
    expected = sorted(ratios)[int(3001 * confidence)]
    assert spread_of(ratios).factor(COST, confidence) == pytest.approx(expected, rel=0.03)


def test_what_was_seen_while_the_coefficients_were_wrong_does_not_stand_against_the_right_ones():
    wrong = CostModel(t0_ns=1000, frame_ns=10, drop_ns=100, move_ns=300, move_ps=100)
    spread = spread_of([1.1] * 200, cost=wrong)
    assert spread.factor(wrong, 0.999) > 2
    spread.look_again()
    assert spread.factor(COST, 0.999) == pytest.approx(1.1, rel=0.01)


def test_it_neither_shrinks_a_coefficient_nor_grows_without_end():
    assert spread_of([0.5] * 100).factor(COST, 0.999) == 1
    assert spread_of([50.0] * 100).factor(COST, 0.999) == 3


def test_until_anything_is_known_it_is_on_the_safe_side():
    assert CpuSpread().factor(COST, 0.999) == 3
    assert spread_of([1.0] * 49).factor(COST, 0.999) == 3


def test_small_windows_teach_the_coefficients_and_say_nothing_of_the_spread():
    small = Work(frames=512, clean=0, drops=512, moved=0, moved_bytes=0)
    assert spread_of([20.0] * 200, work=small).factor(COST, 0.999) == 1.5


def test_the_oldest_are_forgotten():
    assert spread_of([2.5] * 100 + [1.2] * 4096).factor(COST, 0.999) == pytest.approx(1.2, rel=0.01)


def met(drops, each_ns, moved=0, each_moved_ns=0):
    """Return the report of an allocation in which that was dropped and moved, each in its time."""
    window = plain_window(frames=16384)
    drop_ns = drops * each_ns
    write_ns = moved * each_moved_ns + COST.t0_ns + window.frames * COST.frame_ns
    left = {"copied_dropped": drops, "migrated_inside": moved}
    return plain_report(window=window, drop_ns=drop_ns, write_ns=write_ns, elapsed_ns=drop_ns + write_ns, **left)


def followed(reports):
    times, cost = CpuTimes(), COST
    for report in reports:
        cost = times.learn(report, cost)
    return cost


def test_coefficients_follow_within_a_few_dozen_allocations():
    cost = followed([met(1000, 200, 1000, 1000)] * 63 + [met(1000, 500, 1000, 3000)] * 32)
    assert (cost.drop_ns, cost.move_ns, cost.source) == (500, 3000, "measured")


def test_a_few_interruptions_leave_a_coefficient_where_it_is():
    usual, held_up = met(1000, 200, 1000, 1000), met(1000, 20_000, 1000, 50_000)
    cost = followed(([usual] * 3 + [held_up]) * 20)
    assert (cost.drop_ns, cost.move_ns) == (200, 1000)


def test_a_first_allocation_that_is_held_up_leaves_them_as_well():
    cost = followed([met(16384, 1400, 1000, 50_000)] * 2)
    assert (cost.drop_ns, cost.move_ns) == (200, 1000)


def test_what_is_answered_follows_a_coefficient_at_once():
    """Three times slower from some moment on: first the spread is stretched, then the coefficient, and never both."""
    times, cost = CpuTimes(), COST
    for _ in range(100):
        cost = times.learn(met(12_000, 200, 9000, 1000), cost)
    for number in range(80):
        cost = times.learn(met(12_000, 600, 9000, 3000), cost)
        if number % 32 == 15:
            times.look_again()
        assert times.factor(cost, 0.999) * cost.move_ns <= 1.1 * 3000
    assert cost.move_ns == 3000


def test_clean_pages_have_a_coefficient_of_their_own():
    """Learned from windows with nothing else to drop; what they take elsewhere is not the frontswap pages'."""
    clean = plain_report(window=plain_window(frames=16384), clean_dropped=16384, drop_ns=16384 * 9, elapsed_ns=10**6)
    assert followed([clean] * 63).clean_ns == 9
    both = plain_report(
        window=plain_window(frames=16384),
        clean_dropped=10_000,
        copied_dropped=1000,
        drop_ns=10_000 * COST.clean_ns + 1000 * 700,
        elapsed_ns=10**6,
    )
    cost = followed([both] * 63)
    assert (cost.clean_ns, cost.drop_ns) == (COST.clean_ns, 700)


def test_small_reclaims_say_nothing_of_a_coefficient():
    cost = followed([met(200, 5000, 200, 50_000)] * 40)
    assert (cost.drop_ns, cost.move_ns) == (COST.drop_ns, COST.move_ns)


def test_windows_that_were_free_tell_what_every_allocation_takes():
    cost = followed([met(0, 0)] * 10)
    assert cost.t0_ns == COST.t0_ns
