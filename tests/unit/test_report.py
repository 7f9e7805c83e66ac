"""`report`: one page that needs no network, its pictures as files, and data that gnuplot can draw."""

import copy
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tmemstore.cli.main import main
from tmemstore.report.page import headline, report_page
from tmemstore.report.result_drawings import drawings_of

ROOT = Path(__file__).parents[2]
RESULTS = [
    ROOT / "bench" / "results" / "eviction.json",
    ROOT / "bench" / "results" / "ops" / "after.json",
    ROOT / "bench" / "results" / "deadline" / "hard.json",
    ROOT / "bench" / "results" / "copy.json",
]
MOST_BYTES = 1_000_000


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def interrupted(path, tmp_path, change):
    document = copy.deepcopy(load(path))
    change(document)
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document), encoding="utf-8")
    return changed


class Page(HTMLParser):
    """What a browser would load, the headings, the names of elements."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.ids, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)
        self.loads += [attributes[name] for name in ("src", "href", "xlink:href", "data") if attributes.get(name)]
        self.ids += [attributes["id"]] if "id" in attributes else []

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text():
    return report_page([(path.name, load(path)) for path in RESULTS])


def test_the_page_loads_nothing_and_is_small(text):
    page = Page(text)
    assert all(target.startswith("#") for target in page.loads)
    assert not page.open
    assert "<script" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    assert len(text.encode()) < MOST_BYTES


def test_names_within_pictures_are_their_own(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    wanted = set(re.findall(r"url\(#([^)]+)\)", text)) | {target[1:] for target in page.loads}
    assert wanted <= set(page.ids)


def test_it_opens_with_what_matters(text):
    heading = re.search(r"<h1>(.*?)</h1>", text)[1]
    assert heading == headline(load(RESULTS[0]))
    assert "gives back 64 MiB in" in heading
    assert "100000 were met" in text
    assert "With the admission filter" in text


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_pictures_are_whole_and_say_their_units(path):
    drawings = drawings_of(load(path))
    assert drawings
    assert len({drawing.name for drawing in drawings}) == len(drawings)
    for drawing in drawings:
        ET.fromstring(re.sub(r"xlink:href", "href", drawing.svg()))  # noqa: S314 - what we drew
        assert all(len(row) == len(drawing.columns) for row in drawing.rows)
        assert drawing.caption


def test_what_a_result_says_is_shown_as_text(tmp_path):
    def change(document):
        document["remarks"] = ["<b>noisy & loud</b>"]

    path = interrupted(RESULTS[1], tmp_path, change)
    page = report_page([("<i>.json", load(path))])
    assert "&lt;b&gt;noisy &amp; loud&lt;/b&gt;" in page
    assert "<i>" not in page


def test_an_allocation_that_was_never_met_has_no_time(tmp_path):
    def change(document):
        for row in document["rows"]:
            for times in (row["elapsed_ns"], row["cheapest_ns"]):
                times.update(dict.fromkeys(times))
            row["elapsed_samples_ns"], row["cheapest_samples_ns"] = [], []

    document = load(interrupted(RESULTS[0], tmp_path, change))
    assert headline(document) is None
    assert report_page([("x.json", document)])


def test_the_bound_is_drawn_where_the_result_holds_it():
    document = copy.deepcopy(load(RESULTS[0]))
    assert "bound of the cost model" not in drawings_of(document)[0].svg()
    assert "64 MiB bound ms" not in drawings_of(document)[0].columns
    for row in document["rows"]:
        row["bound_ns"] = 90_000_000
    drawing = drawings_of(document)[0]
    assert "bound of the cost model" in drawing.svg()
    assert drawing.columns[4] == "64 MiB bound ms"
    assert {row[4] for row in drawing.rows} == {90.0}


def with_baselines(document):
    """CMA's 32 pins refuse two of five calls."""
    percent = 30
    size_bytes = document["rows"][0]["size_bytes"]
    row = {"frontswap_percent": percent, "size_bytes": size_bytes, "calls": 5, "failed": 0}
    row |= {"latency_samples_ns": [1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000]}
    refused = row | {"failed": 2, "latency_samples_ns": [1_000_000, 2_000_000, 3_000_000]}
    return document | {
        "baselines": [
            {"system": "tmemstore", "setting": "dearest window", "rows": [row]},
            {"system": "cma", "setting": "32 scattered permanent, middle cost", "rows": [refused]},
        ]
    }


def test_other_systems_are_drawn_and_what_they_refused_is_said():
    document = with_baselines(load(RESULTS[0]))
    assert "CMA with 32 scattered pins refuses 40 % of such calls" in headline(document)
    drawing = next(each for each in drawings_of(document) if each.name.startswith("systems"))
    share = "share of the calls"
    assert drawing.columns[1:] == ["tmemstore, dearest window", share, "cma, 32 scattered pins", share]
    # Two of five were refused, so the curve of the others ends at 0.6.
    assert drawing.rows[0] == [1, 0.9, 0.0, 0.9, 0.0]
    assert drawing.rows[3] == [4, 3.0, 0.6, 3.0, 0.6]
    assert drawing.rows[4] == [5, 4.0, 0.8, 10.0, 0.6]
    assert drawing.rows[-1] == [7, 10.0, 1.0, None, None]
    assert drawing.svg()
    assert "CMA" not in headline(load(RESULTS[0]))


def test_what_the_calls_cost_others_stands_open_below_the_picture():
    document = with_baselines(load(RESULTS[0]))
    rows = [element["rows"][0] for element in document["baselines"]]
    for row in rows:
        row |= {"latency_ns": {"p50": 2_000_000, "p99": None, "p999": None, "max": 5_000_000}}
        row |= {"failed_ns": {"p50": None}, "pages_destroyed_by_failed": None, "refault_ns_per_mib": 7_000_000}
        row |= {"bytes_copied_per_mib": 1 << 19, "bytes_written_per_mib": None}
    rows[1] |= {"failed_ns": {"p50": 333_000_000}, "pages_destroyed_by_failed": 64_000}
    page = report_page([("x.json", document)])
    table = page[page.index('<table class="figures">') : page.index("<details>")]
    cells = re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", table[table.index("<tr><th>tmemstore") :])
    told = {name: re.findall(r"<td>(.*?)</td>", rest) for name, rest in cells}
    ours = ["2.000", "-", "5.000", "0", "-", "-", "0.50", "-", "7.000"]
    assert told["tmemstore, dearest window"] == ours
    assert told["cma, 32 scattered pins"] == [*ours[:3], "40", "333.0", "32000", *ours[6:]]


def test_a_thousand_allocations_carry_the_quantile_that_the_first_sentence_says():
    document = copy.deepcopy(load(RESULTS[0]))
    assert "the longest of 3" in headline(document)
    for row in document["rows"]:
        row["elapsed_samples_ns"] = [number * 1_000_000 for number in range(1, 1001)]
    assert "64 MiB in 999 ms at p99.9;" in headline(document)


def test_of_more_calls_than_a_row_holds_samples_of_the_curve_still_ends_at_all_of_them(tmp_path):
    document = with_baselines(load(RESULTS[0]))
    document["baselines"][0]["rows"][0] |= {"calls": 1001, "failed": 0}
    drawing = next(each for each in drawings_of(document) if each.name.startswith("systems"))
    assert [row[2] for row in drawing.rows] == [0, 1 / 1001, 251 / 1001, 501 / 1001, 751 / 1001, 1, 1]
    script = drawing.save_data(tmp_path)[1].read_text(encoding="utf-8")
    assert "set logscale x" in script
    assert f"'{drawing.name}.dat' u 2:3 t columnheader(2), '{drawing.name}.dat' u 4:5 t columnheader(4)" in script


def test_the_command_writes_page_pictures_and_data(tmp_path, capsys):
    page, figures = tmp_path / "report.html", tmp_path / "figures"
    assert main(["report", *map(str, RESULTS), "-o", str(page), "--figures", str(figures)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "wrote" in said.err
    names = {path.stem for path in figures.iterdir()}
    assert {"eviction", "routes", "ops", "copy"} <= names
    for name in names:
        assert {path.suffix for path in figures.glob(f"{name}.*")} == {".svg", ".png", ".dat", ".gp"}
    columns = (figures / "eviction.dat").read_text(encoding="utf-8").splitlines()[0].split("\t")
    assert f"'eviction.dat' u 1:{len(columns)}" in (figures / "eviction.gp").read_text(encoding="utf-8")


def test_two_results_of_one_benchmark_do_not_overwrite_each_others_pictures(tmp_path):
    second = tmp_path / "other.json"
    second.write_text(RESULTS[0].read_text(encoding="utf-8"), encoding="utf-8")
    page, figures = tmp_path / "report.html", tmp_path / "figures"
    assert main(["report", str(RESULTS[0]), str(second), "-o", str(page), "--figures", str(figures), "-q"]) == 0
    assert {"eviction.svg", "other-eviction.svg"} <= {path.name for path in figures.iterdir()}


def test_two_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / name / "result.json" for name in ("before", "after")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(RESULTS[0].read_text(encoding="utf-8"), encoding="utf-8")
    page, figures = tmp_path / "report.html", tmp_path / "figures"
    assert main(["report", *map(str, paths), "-o", str(page), "--figures", str(figures), "-q"]) == 0
    text = page.read_text(encoding="utf-8")
    assert "before/result.json</h2>" in text
    assert "after/result.json</h2>" in text
    assert str(tmp_path) not in text
    assert {"eviction.svg", "after-result-eviction.svg"} <= {path.name for path in figures.iterdir()}


@pytest.mark.parametrize(
    ("content", "word"),
    [("", "JSON"), ("{}", "schema"), ('{"schema": "tmemstore.bench.ops/9"}', "ops/9"), ("[1]", "object")],
)
def test_what_is_no_result_is_refused_by_name(tmp_path, capsys, content, word):
    path = tmp_path / "foreign.json"
    path.write_text(content, encoding="utf-8")
    page = tmp_path / "report.html"
    assert main(["report", str(path), "-o", str(page)]) == 2
    said = capsys.readouterr().err
    assert "foreign.json" in said
    assert word in said
    assert not page.exists()


@pytest.mark.parametrize("name", ["peers.json", "traces/sqlite.json", "traces/phases.json", "traces/real.json"])
def test_a_result_that_no_page_shows_is_refused_by_name(tmp_path, capsys, name):
    page = tmp_path / "report.html"
    assert main(["report", str(ROOT / "bench" / "results" / name), "-o", str(page)]) == 2
    said = capsys.readouterr().err
    assert Path(name).name in said
    assert "bench eviction, bench deadline, bench ops, bench copy or tune" in said
    assert not page.exists()


def test_what_a_page_is_not_made_of_is_not_asked_for(tmp_path, capsys):
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "report.html")]) == 2
    assert "replay" not in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_named(tmp_path, capsys):
    nowhere = tmp_path / "no" / "report.html"
    assert main(["report", str(RESULTS[1]), "-o", str(nowhere)]) == 2
    assert f"{nowhere} cannot be written" in capsys.readouterr().err
    assert main(["report", str(RESULTS[1]), "-o", str(tmp_path)]) == 2
