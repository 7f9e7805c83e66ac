"""What a user writes for a contract, a confidence and a ratio."""

import argparse

import pytest

from tmemstore.cli.promises import confidence, contract, ratio

MIB, MS = 1 << 20, 10**6


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("30", 30),
        ("100", 100),
        ("70:30", 30),
        ("100:0", 0),
        ("0:100", 100),
        ("auto", "auto"),
        ("adaptive", "adaptive"),
    ],
)
def test_a_ratio_is_frontswaps_percentage(text, value):
    assert ratio(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("70:40", "does not add up to 100"),
        ("70:20", "does not add up to 100"),
        ("101", "no ratio"),
        ("0:101", "no ratio"),
        ("-1", "no ratio"),
        ("30%", "no ratio"),
        ("0.3", "no ratio"),
        ("", "no ratio"),
        ("70:", "no ratio"),
        (":30", "no ratio"),
        ("70:30:0", "no ratio"),
        ("Auto", "no ratio"),
        ("³0", "no ratio"),
        ("30\n", "no ratio"),
    ],
)
def test_another_ratio_is_refused_with_the_forms(text, said):
    with pytest.raises(argparse.ArgumentTypeError, match=said) as refused:
        ratio(text)
    for form in ("30", "70:30", "auto", "adaptive"):
        assert form in str(refused.value)


def test_a_contract_is_size_time_and_kind():
    assert contract("soft")("64MiB:50ms") == (64 * MIB, 50 * MS, "soft")
    assert contract("hard")("64MiB:50ms") == (64 * MIB, 50 * MS, "hard")
    assert contract("soft")("4096:1s:hard") == (4096, 1000 * MS, "hard")
    assert contract("hard")("1G:200us:soft") == (1024 * MIB, MS // 5, "soft")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("64MiB", "SIZE:TIME"),
        ("64MiB:50ms:firm", "firm.*SIZE:TIME"),
        ("64MiB:50ms:soft:1", "SIZE:TIME"),
        ("64MiB:50ms:", "SIZE:TIME"),
        ("64MB:50ms", "MiB"),
        ("64MiB:50", "ms"),
        (":50ms", "no size"),
        ("", "SIZE:TIME"),
    ],
)
def test_another_contract_is_refused_with_the_form(text, said):
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        contract("soft")(text)


@pytest.mark.parametrize(("text", "value"), [("99.9", 0.999), ("50", 0.5), ("99.9999", 0.999999), ("99", 0.99)])
def test_a_confidence_is_a_percentage(text, value):
    assert confidence(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.999", "write 99.9, not 0.999"),
        ("0.5", "write 50, not 0.5"),
        ("100", "below 100"),
        ("49.9", "from 50"),
        ("0", "from 50"),
        ("99,9", "no percentage"),
        ("99.9%", "no percentage"),
        ("nan", "no percentage"),
        ("1e2", "no percentage"),
        ("", "no percentage"),
    ],
)
def test_another_confidence_is_refused_with_a_hint(text, said):
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        confidence(text)
