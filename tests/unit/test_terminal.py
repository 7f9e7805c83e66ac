"""Plots fit 80 columns, say what the numbers say, and keep to ASCII where nothing else can be written."""

import io
import sys

import numpy as np
import pytest

from tmemstore.report.terminal import curve_plot, distance_plot
from tmemstore.trace.distances import distances
from tmemstore.trace.events import RECORD, Op


def histogram(pages=300, count=5000, **options):
    events = np.zeros(count, RECORD)
    events["op"], events["index"] = Op.GET_PAGE, np.random.default_rng(1).zipf(1.3, count) % pages
    return distances([events], fill=True, **options).cleancache


def curve(*points, accesses=100, rate=1.0):
    named = [dict(zip(("size_bytes", "hit_ratio", "error"), point, strict=True)) for point in points]
    return {"accesses": accesses, "rate": rate, "points": named}


NOTHING = curve((65536, 0.0, 0.0), accesses=0)
STEP = curve((1 << 16, 0.0, 0.0), (1 << 20, 0.0, 0.0), ((1 << 20) + 1, 1.0, 0.0), (1 << 24, 1.0, 0.0))


def rows_of(plot):
    """The lines of the grid, from 100 % down, without their labels."""
    return [line[8:].ljust(72) for line in plot.splitlines() if line[7:8] in {"|", "│"}]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_plots_fit_80_columns_and_the_encoding(encoding):
    sampled = {"cleancache": curve((1 << 12, 0.1, 0.5), (1 << 45, 1.0, 0.2), rate=0.001), "frontswap": STEP}
    big = histogram(pages=5000, count=40_000, rate=0.3)
    for plot in (distance_plot(big, encoding=encoding), curve_plot(sampled, encoding=encoding)):
        assert plot.encode(encoding)
        assert max(map(len, plot.splitlines())) <= 80
        assert all(line == line.rstrip() for line in plot.splitlines())
        assert plot.isascii() == (encoding == "ascii")


def test_the_shares_of_a_histogram_add_up():
    plot = distance_plot(histogram(), encoding="ascii")
    rows = [line.split() for line in plot.splitlines()[2:]]
    never = float(rows[-1][1])
    shares = [float(row[2]) for row in rows[:-1]]
    assert rows[-1][0] == "never"
    assert sum(shares) + never == pytest.approx(100, abs=0.05 * len(rows))
    assert float(rows[-2][4]) + never == pytest.approx(100, abs=0.11)
    assert [row[:2] for row in rows[:3]] == [["4", "KiB"], ["8", "KiB"], ["16", "KiB"]]


def test_bars_are_as_long_as_their_shares():
    events = np.zeros(30, RECORD)
    events["op"], events["index"] = Op.GET_PAGE, [0] * 21 + list(range(1, 10))
    lines = distance_plot(distances([events], fill=True).cleancache, encoding="ascii").splitlines()
    assert {line.split()[0]: line.count("#") for line in lines[2:] if "#" in line} == {"4": 51, "never": 26}


def test_eighths_of_a_block_end_a_bar():
    events = np.zeros(30, RECORD)
    events["op"], events["index"] = Op.GET_PAGE, [0] * 21 + list(range(1, 10))
    lines = distance_plot(distances([events], fill=True).cleancache, encoding="utf-8").splitlines()
    assert lines[-1].endswith(" " + "█" * 25 + "▌")


def test_compressed_pages_have_smaller_sizes():
    assert "  1 KiB " in distance_plot(histogram(), page_bytes=1024.0, encoding="ascii")


def test_a_histogram_of_nothing_says_so():
    assert distance_plot(distances([]).cleancache) == "Re-use distances: no accesses\n"


def test_a_curve_is_where_its_points_are():
    rows = rows_of(curve_plot({"cleancache": STEP, "frontswap": NOTHING}, encoding="ascii"))
    # From 64 KiB to 16 MiB are eight doublings; the step is after the fourth.
    assert rows[0] == " " * 36 + "c" * 36
    assert rows[-1] == "c" * 36 + " " * 36
    assert {*rows[1:-1]} == {" " * 72}


def test_where_both_curves_meet_one_mark_stands_for_both():
    rows = rows_of(curve_plot({"cleancache": STEP, "frontswap": STEP}, encoding="ascii"))
    assert rows[0] == " " * 36 + "*" * 36
    assert "◉" * 36 in curve_plot({"cleancache": STEP, "frontswap": STEP}, encoding="utf-8")


def test_the_error_is_shaded():
    unsure = curve((1 << 16, 0.5, 0.22), (1 << 24, 0.5, 0.22), rate=0.1)
    rows = rows_of(curve_plot({"cleancache": unsure, "frontswap": NOTHING}, encoding="ascii"))
    # 16 rows from 100 % down to 0 %: 72 % is in row 4, 50 % in row 8, 28 % in row 11.
    assert {"".join(column) for column in zip(*rows, strict=True)} == {"    ....c...    "}


def test_curves_without_accesses_are_named_and_not_drawn():
    plot = curve_plot({"cleancache": NOTHING, "frontswap": NOTHING}, encoding="ascii")
    assert plot.count("no accesses") == 2
    assert not rows_of(plot)


def test_without_an_encoding_that_of_standard_output_counts(monkeypatch):
    for encoding in ("ascii", "latin-1", "utf-8"):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert distance_plot(histogram()).isascii() == (encoding != "utf-8")
        assert curve_plot({"cleancache": STEP, "frontswap": STEP}).isascii() == (encoding != "utf-8")


def test_a_document_that_lacks_a_kind_is_an_error():
    with pytest.raises(KeyError, match="frontswap"):
        curve_plot({"cleancache": STEP})
