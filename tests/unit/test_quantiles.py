"""Nearest ranks, and how many samples carry a quantile."""

import pytest

from tmemstore.quantiles import CARRIED_FROM, SHARES, carried, carries, nearest_rank, rank_of


@pytest.mark.parametrize(
    ("ordered", "q", "expected"),
    [
        ([7], 0.5, 7),
        ([1, 2], 0.5, 1),
        ([1, 2, 3], 0.5, 2),
        ([1, 2, 3, 4], 0.5, 2),
        (range(1, 101), 0.99, 99),
        (range(1, 102), 0.99, 100),
        (range(1, 11), 0.99, 10),
        ([5, 6], 0, 5),
        ([5, 6], 1, 6),
    ],
)
def test_it_is_a_value_that_was_seen(ordered, q, expected):
    assert nearest_rank(ordered, q) == expected


def test_a_rank_is_not_moved_by_binary_fractions():
    assert nearest_rank(range(1, 101), 0.07) == 7
    for count in (1, 7, 999, 1000, 1001, 123_457, 10**6):
        for permille in range(1001):
            assert rank_of(count, permille / 1000) == max(1, -(-count * permille // 1000))


def test_what_has_none_is_refused():
    with pytest.raises(ValueError, match="no values"):
        nearest_rank((), 0.5)
    with pytest.raises(ValueError, match=r"not 99; write 0\.99"):
        nearest_rank([1], 99)


def test_so_many_samples_carry_so_many_quantiles():
    assert list(SHARES) == list(CARRIED_FROM)
    assert carried(0) == []
    assert carried(99) == ["p50", "max"]
    assert carried(1000) == list(SHARES)
    assert carries("p99", 100)
    assert not carries("p999", 999)
