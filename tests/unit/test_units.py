"""Sizes and times: what is taken, what is refused, and what comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmemstore.units import format_size, format_time_ns, parse_pages, parse_size, parse_time_ns


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4096", 4096),
        ("64K", 64 << 10),
        ("64KiB", 64 << 10),
        ("64m", 64 << 20),
        ("1.5GiB", 3 << 29),
        (" 2 MiB ", 2 << 20),
        (4096, 4096),
    ],
)
def test_a_size_is_in_powers_of_1024(text, size_bytes):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["64MB", "1kb", "2GB"])
def test_an_ambiguous_unit_is_refused_with_the_one_to_use(text):
    with pytest.raises(ValueError, match="iB"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "MiB", "64 parsec", "-4K", "1e3", "0.3K", "0x10", "9" * 400])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match=r"\w+"):
        parse_size(text)


@pytest.mark.parametrize("value", [None, 1.5, True, b"4096", [4096]])
def test_a_size_of_another_type_is_a_type_error(value):
    with pytest.raises(TypeError, match="64MiB"):
        parse_size(value)


@pytest.mark.parametrize("value", [0, -4096, 4097, "1K", "0"])
def test_pages_are_positive_multiples(value):
    with pytest.raises(ValueError, match=r"multiple|positive"):
        parse_pages(value)


@given(st.integers(0, 2**50))
def test_a_formatted_size_reads_back(size_bytes):
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "ns"), [("50ms", 50_000_000), ("1.5s", 1_500_000_000), ("100us", 100_000), ("5ns", 5), (7, 7)]
)
def test_a_time_is_in_nanoseconds(text, ns):
    assert parse_time_ns(text) == ns


@pytest.mark.parametrize("text", ["50", "50 minutes", "", "ms", "-5ms", "9" * 400 + "s"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="50ms"):
        parse_time_ns(text)


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "0 ns"), (870, "870 ns"), (12_340_000, "12.3 ms"), (2_500, "2.5 us"), (61e9, "61 s")]
)
def test_a_formatted_time_has_three_digits_and_a_unit(ns, text):
    assert format_time_ns(ns) == text
