"""Numbers as a table shows them; the table as a whole is in tests/golden."""

import copy
import json
from pathlib import Path

import pytest

from tmemstore.report.deadline import deadline_table
from tmemstore.report.tables import endings_text, eviction_table, milliseconds, size_text

DOCUMENT = json.loads((Path(__file__).parents[1] / "golden" / "eviction.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "0.000"),
        (999, "0.001"),
        (1_234_567, "1.235"),
        (9_999_499, "9.999"),
        (9_999_500, "10.00"),
        (99_994_999, "99.99"),
        (99_995_000, "100.0"),
        (999_949_999, "999.9"),
        (999_950_000, "1000"),
        (60_000_000_000, "60000"),
        (None, "-"),
    ],
)
def test_a_time_has_four_significant_digits(time_ns, text):
    assert milliseconds(time_ns) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(64 << 20, "64 MiB"), (1 << 30, "1 GiB"), (3 << 29, "1536 MiB"), (4096, "4 KiB"), (513, "513 B")],
)
def test_a_size_has_the_largest_unit_that_fits(size_bytes, text):
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(
    ("endings", "text"),
    [
        ({"met": 5, "refused": 0, "aborted": 0}, "met"),
        ({"met": 0, "refused": 3, "aborted": 0}, "refused"),
        ({"met": 99, "refused": 1, "aborted": 2}, "99m 1r 2a"),
        ({"met": 0, "refused": 0, "aborted": 0}, "-"),
    ],
)
def test_endings(endings, text):
    assert endings_text(endings) == text


def test_columns_keep_apart_with_large_numbers():
    document = copy.deepcopy(DOCUMENT)
    for row in document["rows"]:
        row |= {"pages_dropped": 1_048_576, "pages_paged_out": 12_345_678, "bytes_written": 9999 << 20}
        row |= {"ns_per_page": 999_999, "endings": {"met": 9, "refused": 9, "aborted": 9}}
        for name in ("elapsed_ns", "cheapest_ns"):
            row[name] = dict.fromkeys(row[name], 59_999_000_000)
    lines = eviction_table(document).splitlines()
    assert max(len(line) for line in lines) <= 80
    rows = [line for line in lines if "1048576" in line]
    assert len(rows) == 6
    assert all(len(line.split()) == 12 for line in rows)


def test_a_deadline_and_a_spill_file_without_o_direct_are_named():
    document = copy.deepcopy(DOCUMENT)
    document["arguments"]["deadline_ns"] = 50_000_000
    document["machine"]["spill"]["direct"] = False
    head = eviction_table(document).splitlines()[1]
    assert head.endswith("spill file on ext4 without O_DIRECT, deadline 50.00 ms")


def test_a_document_that_lacks_a_key_is_an_error():
    with pytest.raises(KeyError, match="rows"):
        eviction_table({key: value for key, value in DOCUMENT.items() if key != "rows"})


def test_intervals_of_a_deadline_result_and_an_end_that_is_not_to_be_had():
    whole = json.loads((Path(__file__).parents[1] / "golden" / "deadline-stalls.json").read_text(encoding="utf-8"))
    within = {"p50": [30_000, 40_000], "p99": [400_000, None], "p999": [None, None]}
    whole["outcome"] |= {"intervals_95_ns": {"elapsed": within}, "tightness_interval_95": [None, 1.2345]}
    table = " ".join(deadline_table(whole).split())
    assert "elapsed, 95 % p50 0.030 ms to 0.040 ms, p99 from 0.400 ms, p99.9 - return lag" in table
    assert "95 %: up to 1.23 predicted" in table
    assert max(len(line) for line in deadline_table(whole).splitlines()) <= 80
