"""Which settings keep a deadline as far as a sample tells, and which is recommended: on rows made by hand."""

import itertools
import math

import pytest

from tmemstore import Contract
from tmemstore.tuning.judge import Verdict, deadline_of, judge, miss_limit, needed, next_steps, recommend

MS = 1_000_000
SOFT = Contract("64MiB", 50 * MS, confidence=0.999)


def row(percent=20, *, saved=100, written=10, count=1000, refused=0, aborted=0, late=0, bound_ns=40 * MS, **others):
    met = count - refused - aborted
    times = {"p50_ns": 1 * MS, "p99_ns": 20 * MS, "p999_ns": 30 * MS, "max_ns": 35 * MS if count else None}
    return {
        "frontswap_percent": percent,
        "writeback": "behind",
        "codec": "lz4",
        "eviction": "sieve",
        "admission_filter": True,
        "impossible": None,
        "allocations": {
            "count": count,
            "met": met,
            "refused": refused,
            "aborted": aborted,
            "late": late,
            "reasons": {"none": met, **({"recovering": refused} if refused else {})},
        },
        "elapsed": times,
        "bound": times | {"max_ns": bound_ns},
        "saved_ns": saved,
        "bytes_written": written,
    } | others


class TestLimit:
    def test_none_missed_gives_the_closed_form(self):
        for count in (1, 10, 1000, 100_000):
            assert miss_limit(0, count) == pytest.approx(1 - 0.05 ** (1 / count), rel=1e-9)

    @pytest.mark.parametrize(("missed", "count"), [(1, 10), (3, 1000), (40, 5000)])
    def test_at_the_limit_so_few_are_seen_once_in_twenty(self, missed, count):
        limit = miss_limit(missed, count)
        seen = math.fsum(math.comb(count, k) * limit**k * (1 - limit) ** (count - k) for k in range(missed + 1))
        assert seen == pytest.approx(0.05, rel=1e-6)

    def test_all_missed_or_nothing_tried_leaves_all_possible(self):
        assert miss_limit(0, 0) == 1
        assert miss_limit(7, 7) == 1

    def test_more_misses_and_fewer_trials_leave_more_possible(self):
        limits = [miss_limit(missed, 500) for missed in range(50)]
        assert all(a < b for a, b in itertools.pairwise(limits))
        assert miss_limit(2, 500) > miss_limit(2, 600)

    def test_a_thousand_cannot_show_what_three_thousand_can(self):
        assert needed(0.999) == 2995
        assert miss_limit(0, 1000) > 0.001
        assert miss_limit(0, needed(0.999)) <= 0.001 < miss_limit(0, needed(0.999) - 1)
        assert needed(0.9999) == 29956


class TestVerdict:
    def test_a_deadline_holds_if_no_more_were_missed_than_the_confidence_allows(self):
        assert judge(row(), SOFT) == Verdict(holds=True, why="", missed=0, shown=1 - miss_limit(0, 1000))
        assert judge(row(aborted=1), SOFT).holds
        missed = judge(row(refused=1, aborted=1), SOFT)
        assert (missed.holds, missed.missed) == (False, 2)
        assert missed.why == "2 of 1000 allocations were not met (1 refused, 1 aborted: recovering)"

    def test_a_large_sample_must_show_it(self):
        count = 20_000
        at_most = max(k for k in range(20) if miss_limit(k, count) <= 0.001)
        assert judge(row(count=count, aborted=at_most), SOFT).holds
        verdict = judge(row(count=count, aborted=at_most + 1), SOFT)
        assert not verdict.holds
        assert "leaves" in verdict.why
        assert at_most < 20  # so many misses are allowed, and would not be shown

    def test_late_counts_as_missed(self):
        assert not judge(row(late=3), SOFT).holds

    def test_a_hard_contract_allows_no_miss(self):
        hard = Contract("64MiB", 50 * MS, kind="hard")
        assert judge(row(count=10**5), hard).holds
        assert not judge(row(count=10**5, aborted=1), hard).holds

    def test_a_bound_beyond_the_deadline_does_not_hold(self):
        verdict = judge(row(bound_ns=51 * MS), SOFT)
        assert (verdict.holds, verdict.why) == (False, "a bound of 51 ms is beyond the deadline")

    def test_without_an_allocation_nothing_is_known(self):
        assert judge(row(count=0, bound_ns=None), SOFT).why == "nothing was allocated"

    def test_what_is_impossible_does_not_hold_and_says_why(self):
        assert judge({"impossible": "cannot be"}, SOFT) == Verdict(holds=False, why="cannot be", missed=0, shown=0.0)


def chosen(*rows):
    return recommend(rows, [judge(each, SOFT) for each in rows])


class TestRecommendation:
    def test_the_largest_saving_that_holds(self):
        assert chosen(row(0, saved=5), row(10, saved=9), row(20, saved=7)) == 1
        assert chosen(row(0, saved=5), row(10, saved=9, aborted=5), row(20, saved=7)) == 2
        assert chosen(row(0, saved=-5), row(10, saved=-9)) == 0

    def test_of_equals_the_one_that_writes_less_then_the_smaller_share(self):
        assert chosen(row(10, written=9), row(20, written=3), row(30, written=5)) == 1
        assert chosen(row(30), row(20), row(25)) == 1
        assert chosen(row(20, writeback="back"), row(20, writeback="behind")) == 0

    def test_none_if_none_holds(self):
        assert chosen(row(0, aborted=100), row(10, bound_ns=60 * MS)) is None
        assert recommend([], []) is None

    def test_the_steps_beside_it_differ_in_the_share_alone(self):
        rows = [
            row(0),
            row(10),
            row(20),
            row(40),
            row(30, writeback="back"),
            row(15, codec="zstd"),
            row(15, admission_filter=False),
        ]
        assert next_steps(rows, 2) == {"down": 1, "up": 3}
        assert next_steps(rows, 0) == {"down": None, "up": 1}
        assert next_steps(rows, 4) == {"down": None, "up": None}


class TestDeadline:
    def test_it_is_the_larger_of_bound_and_time_at_the_confidence(self):
        assert deadline_of(row(), 0.99) == 20 * MS
        assert deadline_of(row(), 0.999) == 30 * MS
        assert deadline_of(row(), 0.9999) == 40 * MS

    def test_a_quantile_that_the_sample_lacks_is_the_next_one(self):
        few = row()
        for times in (few["bound"], few["elapsed"]):
            times |= {"p99_ns": None, "p999_ns": None}
        assert deadline_of(few, 0.99) == 40 * MS

    def test_nothing_suggests_nothing(self):
        assert deadline_of({"impossible": "no"}, 0.99) is None
        none = dict.fromkeys(("p50_ns", "p99_ns", "p999_ns", "max_ns"))
        assert deadline_of(row(bound=none, elapsed=none), 0.99) is None
