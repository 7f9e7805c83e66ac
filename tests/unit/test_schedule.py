"""When a replay allocates: the text of --allocate, the default, and both among a trace's events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_support import events_of
from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.schedule import HOLD_NS, LEAST, Allocate, merge, random, regular

MS, S = 10**6, 10**9
MIB = 1 << 20


def held(events):
    """(start, end, bytes) of each allocation, by its number."""
    starts = {int(event["index"]): event for event in events if event["op"] == Op.ALLOC}
    ends = {int(event["index"]): int(event["time_ns"]) for event in events if event["op"] == Op.RELEASE}
    assert starts.keys() == ends.keys()
    return [(int(event["time_ns"]), ends[number], int(event["object"])) for number, event in starts.items()]


@pytest.mark.parametrize(
    ("text", "size", "period", "hold"),
    [
        ("64MiB@1s:100ms", 64 * MIB, S, 100 * MS),
        ("64M@1s", 64 * MIB, S, 100 * MS),
        ("4096@250us:1ns", 4096, 250_000, 1),
        (" 1GiB@2s:3s ", 1 << 30, 2 * S, 3 * S),
    ],
)
def test_the_text_of_allocations(text, size, period, hold):
    assert Allocate.parse(text) == Allocate(size, period, hold)
    assert Allocate.parse(str(Allocate(size, period, hold))) == Allocate(size, period, hold)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("64MiB", "SIZE@PERIOD"),
        ("@1s", "SIZE@PERIOD"),
        ("64MiB@", "SIZE@PERIOD"),
        ("64MiB@1s:", "SIZE@PERIOD"),
        ("64MiB@1s:1ms:1ms", "SIZE@PERIOD"),
        ("", "SIZE@PERIOD"),
        ("64MB@1s", "powers of 1024|MiB"),
        ("5000@1s", "multiple of 4096"),
        ("0@1s", "multiple of 4096"),
        ("64MiB@1", "time"),
        ("64MiB@0s", "positive"),
        ("64MiB@1s:0ms", "positive"),
        ("64MiB@9999999999999s", "positive"),
        ("64MiB@-1s", "time"),
    ],
)
def test_another_text_is_refused_with_what_to_write(text, said):
    with pytest.raises(ValueError, match=said):
        Allocate.parse(text)


def test_regular_ones_come_every_period_and_go_after_their_hold():
    events = regular(Allocate(MIB, 10 * MS, 4 * MS), 45 * MS)
    assert held(events) == [(at * MS, (at + 4) * MS, MIB) for at in (10, 20, 30, 40)]


def test_ranges_held_longer_than_the_period_are_out_side_by_side():
    events = regular(Allocate(MIB, 10 * MS, 25 * MS), 60 * MS)
    assert (np.diff(events["time_ns"].astype(np.int64)) >= 0).all()
    assert held(events) == [(at * MS, (at + 25) * MS, MIB) for at in (10, 20, 30, 40, 50)]


def test_a_range_is_back_before_the_next_one_is_asked_for_at_the_same_time():
    events = regular(Allocate(MIB, 10 * MS, 10 * MS), 45 * MS)
    assert events["op"].tolist() == [Op.ALLOC, *[Op.RELEASE, Op.ALLOC] * 3, Op.RELEASE]


def test_more_allocations_than_any_trace_has_events_are_refused():
    with pytest.raises(ValueError, match="longer period"):
        regular(Allocate(4096, 1, 1), 3600 * S)


def test_no_range_is_held_beyond_the_end_of_time():
    with pytest.raises(ValueError, match="shorter hold"):
        regular(Allocate(4096, 2**62, 2**62), 2**64 - 2**61)


@given(st.integers(0, 2**64 - 1), st.one_of(st.integers(0, 10_000), st.integers(0, 10**15)))
def test_the_default_ones_never_overlap_and_lie_in_the_trace(seed, duration_ns):
    events = random(MIB, duration_ns, seed)
    ranges = held(events)
    assert len(ranges) == LEAST >= 1000
    assert events["op"].tolist() == [Op.ALLOC, Op.RELEASE] * LEAST
    times = events["time_ns"].astype(np.int64)
    assert (np.diff(times) >= 0).all()
    holds = times[1::2] - times[0::2]
    assert 0 < holds.min() <= holds.max() <= HOLD_NS == 100 * MS
    assert times[-1] <= max(duration_ns, LEAST)
    assert {size for _, _, size in ranges} == {MIB}


def test_the_default_ones_are_held_100_ms_where_the_trace_is_long_enough():
    assert {end - start for start, end, _ in held(random(MIB, 1000 * S, seed=5))} == {100 * MS}


def test_the_default_ones_come_at_exponential_distances():
    times = random(MIB, 10_000 * S, seed=3)["time_ns"].astype(np.float64)
    gaps = np.sort(times[2::2] - times[1:-2:2])
    expected = 1 - np.exp(-gaps / gaps.mean())
    # Kolmogorov and Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand times.
    assert np.abs(expected - (np.arange(len(gaps)) + 0.5) / len(gaps)).max() < 1.95 / np.sqrt(len(gaps))


def test_the_default_ones_are_those_of_their_seed():
    assert (random(MIB, S, seed=1) == random(MIB, S, seed=1)).all()
    assert (random(MIB, S, seed=1)["time_ns"] != random(MIB, S, seed=2)["time_ns"]).any()


times_of = st.lists(st.integers(0, 40), min_size=0, max_size=30).map(sorted)


@given(st.lists(st.integers(0, 40), max_size=30).map(sorted), times_of, st.data())
def test_a_merge_holds_all_of_both_in_order_of_time(trace, extra, data):
    events = events_of({"op": Op.STORE, "time_ns": at, "index": number} for number, at in enumerate(trace))
    put_in = events_of({"op": Op.ALLOC, "time_ns": at, "index": number} for number, at in enumerate(extra))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(trace)), max_size=4)))
    merged = [block for block in merge(np.split(events, cuts), put_in) if len(block)]
    whole = np.concatenate(merged) if merged else np.zeros(0, RECORD)
    # Those of the trace come first where the times are equal.
    expected = sorted([(at, 0, number) for number, at in enumerate(trace)] + [(at, 1, n) for n, at in enumerate(extra)])
    assert [(int(e["time_ns"]), int(e["op"] == Op.ALLOC), int(e["index"])) for e in whole] == expected
