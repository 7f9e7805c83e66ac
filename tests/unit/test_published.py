"""Published latencies of GCMA: as they stand in their letters, beside ours, and marked as what they are."""

import copy
import json
from pathlib import Path

import pytest

from tmemstore.cli.main import main
from tmemstore.report.page import headline, report_page
from tmemstore.report.published import LETTERS, PAGES, published_table
from tmemstore.report.result_drawings import drawings_of

DOCUMENT = json.loads((Path(__file__).parents[1] / "golden" / "eviction.json").read_text(encoding="utf-8"))


def with_pages(pages, *samples):
    document = copy.deepcopy(DOCUMENT)
    row = document["rows"][0] | {"size_bytes": pages * 4096, "elapsed_samples_ns": list(samples)}
    document["rows"] = [row]
    document["arguments"]["published"] = True
    return document


@pytest.mark.parametrize("letter", LETTERS, ids=lambda letter: str(letter.year))
def test_each_system_has_each_page_count_and_an_average_between_its_ends(letter):
    assert set(letter.latency_us) == {"gcma", "gcma.zram", "cma"}
    for rows in letter.latency_us.values():
        assert len(rows) == len(PAGES)
        assert all(low <= average <= high for low, high, average in rows)


def test_what_the_text_of_the_letters_says_of_them_is_so():
    """Two sentences of theirs: CMA's longest is "more than 4 seconds", and GCMA takes "significantly" less."""
    for letter in LETTERS:
        longest = {name: max(high for _, high, _ in rows) for name, rows in letter.latency_us.items()}
        assert longest["cma"] > 4_000_000
        assert longest["gcma"] < 100_000
        assert str(letter.year) in letter.source
        assert "sj38.park@gmail.com>" in letter.source


def test_ours_stand_beside_theirs_for_the_same_page_counts_only():
    table = published_table(with_pages(32000, 30_000_000, 50_000_000, 25_000_000))
    lines = table.splitlines()
    assert max(map(len, lines)) <= 80
    (largest, *_) = [" ".join(line.split()) for line in lines if line.startswith(" 32000")]
    assert largest == "32000 25.00 50.00 35.00 32.33 92.50 44.67 44.86 655.0 249.5 8.612 3910 641.3"
    (single, *_) = [" ".join(line.split()) for line in lines if line.startswith("     1 ")]
    assert single == "1 - - - 0.013 0.279 0.026 0.014 0.274 0.101 0.381 2.853 0.684"


def test_they_are_marked_as_published_with_their_machine_and_source():
    table = published_table(with_pages(1, 1000))
    assert "published: CuBox i4 Pro, class 10 microSD card" in table
    for letter in LETTERS:
        assert all(f"{name} {letter.year}*" in table for name in letter.latency_us)
        assert letter.source.rpartition(", ")[2] in table


def test_the_page_has_them_where_the_run_asked_for_them():
    pytest.importorskip("matplotlib", reason="pictures need the extra tmemstore[plot]")
    asked = with_pages(512, 1_000_000, 2_000_000)
    assert "gcma.zram 2015*" in report_page([("x.json", asked)])
    asked["arguments"]["published"] = False
    assert "gcma.zram 2015*" not in report_page([("x.json", asked)])


def test_a_run_of_one_ratio_is_drawn_along_its_sizes_beside_the_published_averages():
    pytest.importorskip("matplotlib", reason="pictures need the extra tmemstore[plot]")
    document = with_pages(512, 1_000_000, 3_000_000)
    document["rows"] = [document["rows"][0] | {"size_bytes": pages * 4096} for pages in (1, 512, 700)]
    (drawing,) = drawings_of(document)
    assert drawing.columns[4:] == [f"{name}, published 2015 ms" for name in ("gcma", "gcma.zram", "cma")]
    assert drawing.rows[1] == [512, 2.0, 1.0, 3.0, 2.002, 0.6, 1.162]
    assert drawing.rows[2] == [700, 2.0, 1.0, 3.0, None, None, None]
    assert "not measured here" in drawing.caption
    assert "gcma.zram, published 2015" in drawing.svg()
    assert "gives back 4 KiB in" in headline(document)
    document["rows"].append(document["rows"][0] | {"size_bytes": 64 << 20})
    assert headline(document).endswith(f", the longest of {document['rows'][0]['repeats']}.")
    assert "gives back 64 MiB in" in headline(document)
    document["arguments"]["published"] = False
    (drawing,) = drawings_of(document)
    assert len(drawing.columns) == 4
    document["rows"][0]["frontswap_percent"] += 1
    assert len(drawings_of(document)) > 1


def test_the_command_prints_them_below_its_table(tmp_path, capsys):
    arguments = ["bench", "eviction", "--published", "--region", "4MiB", "--ratios", "30", "--repeats", "1", "-q"]
    arguments += ["--storage", "emulate:emmc5.1", "--out", str(tmp_path)]
    assert main(arguments) == 2
    assert "--size 125MiB is larger than the region" in capsys.readouterr().err
    assert main([*arguments, "--size", "4KiB,2MiB"]) == 0
    table = capsys.readouterr().out
    assert table.index("Every 2 MiB chunk") < table.index("gcma.zram 2015*")
    row = next(line.split() for line in table[table.index("gcma 2015*") :].splitlines() if line.startswith("   512"))
    assert float(row[1]) > 0
    document = json.loads((tmp_path / "eviction.json").read_text(encoding="utf-8"))
    assert document["arguments"]["published"] is True
