"""`tune`: a trace, a device and a deadline in, a setting out; what lies beside it, and what would hold if none does."""

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import tmemstore
from support import files_of_at_most
from tmemstore import Contract
from tmemstore.cli.main import main
from tmemstore.report.page import headline, report_page
from tmemstore.report.result_drawings import drawings_of
from tmemstore.report.tune import tune_table
from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.format import TraceWriter
from tmemstore.trace.settings import Settings
from tmemstore.tuning import executors, sweep, tuner
from tmemstore.tuning.sweep import run_job

MIB = 1 << 20
TUNE = ["tune", "--executor", "threads", "--region", "4M", "--step", "50", "--quiet"]


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Both kinds, of 3000 pages each, over ten seconds."""
    count = 20_000
    random = np.random.default_rng(1)
    records = np.zeros(count, RECORD)
    records["time_ns"] = np.sort(random.integers(0, 10**10, count))
    records["op"] = random.choice([Op.PUT_PAGE, Op.GET_PAGE, Op.STORE, Op.LOAD], count)
    records["index"] = (3000 * random.random(count) ** 2).astype(np.uint32)
    records["object"] = records["op"] <= Op.GET_PAGE
    records["size"][records["op"] == Op.STORE] = 1300
    path = tmp_path_factory.mktemp("traces") / "both.tmt"
    with TraceWriter(path, {"kind": "seeded"}) as writer:
        writer.write(records)
    return path


def tuned(trace, contract, *, verify=False, step=50, **settings):
    base = Settings(region_bytes=4 * MIB, contract=contract, **settings)
    with executors.executor("threads", 1) as pool:
        return tuner.tune(str(trace), base, tuner.Grid.by_step(step), pool, verify=verify)


@pytest.fixture(scope="module")
def document(trace):
    return tuned(trace, Contract(2 * MIB, "50ms")) | {"machine": {}, "commit": None, "command": "", "remarks": []}


@pytest.fixture(scope="module")
def none_holds(trace):
    return tuned(trace, Contract(2 * MIB, "10us")) | {"machine": {}, "commit": None, "command": "", "remarks": []}


class TestDocument:
    def test_the_recommended_row_saves_most_of_those_that_hold(self, document):
        rows = document["rows"]
        assert [(row["writeback"], row["frontswap_percent"]) for row in rows] == [
            (policy, percent) for policy in ("back", "behind", "through") for percent in (0, 50, 100)
        ]
        recommended = document["recommended"]
        best = rows[recommended["row"]]
        assert best["holds"]
        assert recommended["saved_ns"] == best["saved_ns"] == max(row["saved_ns"] for row in rows if row["holds"])
        assert recommended["frontswap_percent"] > 0

    def test_the_next_steps_are_changes_against_it(self, document):
        recommended, rows = document["recommended"], document["rows"]
        step = recommended["next"]["down"]
        assert step["frontswap_percent"] == recommended["frontswap_percent"] - 50
        assert step["saved_change_ns"] == rows[step["row"]]["saved_ns"] - recommended["saved_ns"]

    def test_it_says_what_so_many_allocations_can_show(self, document):
        assert document["sample"]["allocations"] == 1000
        assert document["sample"]["shows_at_most"] == pytest.approx(0.99701, abs=1e-5)
        assert document["sample"]["needed"] == 2995

    def test_it_depends_on_trace_and_arguments_alone(self, trace, document):
        again = tuned(trace, Contract(2 * MIB, "50ms"))
        assert json.dumps(again) == json.dumps({name: document[name] for name in again})

    def test_curves_of_both_kinds_are_in_it(self, document):
        for kind in ("cleancache", "frontswap"):
            assert document["curves"][kind]["accesses"] > 4000
            assert document["curves"][kind]["points"][-1]["hit_ratio"] > 0.3

    def test_if_no_setting_holds_it_says_which_deadline_would(self, trace, none_holds):
        assert none_holds["recommended"] is None
        assert all(row["impossible"] or not row["holds"] for row in none_holds["rows"])
        needed = none_holds["needed"]
        assert needed["deadline_ns"] > 10_000
        there = tuned(trace, Contract(2 * MIB, needed["deadline_ns"]))
        assert there["recommended"] is not None
        assert any(row["holds"] for row in there["rows"] if row["frontswap_percent"] == needed["frontswap_percent"])

    def test_a_recommendation_is_verified_in_real_memory(self, trace):
        contract = Contract(2 * MIB, "20s", confidence=0.5)
        verify = tuned(trace, contract, verify=True, step=100, time_scale=0.02)["verify"]
        assert verify["speed"] == 1
        assert verify["real"]["allocations"]["count"] == verify["modelled"]["allocations"]["count"] == 1000
        assert verify["real"]["cleancache"]["gets"] == verify["modelled"]["cleancache"]["gets"]
        assert verify["real"]["holds"]

    def test_a_long_trace_is_verified_faster(self, trace, monkeypatch):
        monkeypatch.setattr(tuner, "VERIFY_NS", 10**8)
        contract = Contract(2 * MIB, "20s", confidence=0.5)
        verify = tuned(trace, contract, verify=True, step=100, rate=20_000)["verify"]
        assert verify["speed"] == pytest.approx(10)
        assert verify["modelled"]["trace_ns"] == pytest.approx(10**8, rel=0.2)

    def test_without_a_contract_there_is_nothing_to_tune(self, trace):
        with pytest.raises(ValueError, match="without a contract"):
            tuned(trace, None)

    @pytest.mark.parametrize(
        "wrong", [{"percents": []}, {"percents": [101]}, {"writebacks": []}, {"codecs": []}, {"admissions": []}]
    )
    def test_a_grid_has_something_to_try(self, wrong):
        with pytest.raises(ValueError, match=r"nothing to sweep|from 0 to 100"):
            tuner.Grid(**wrong)
        with pytest.raises(ValueError, match="a step is"):
            tuner.Grid.by_step(0)

    def test_a_step_that_does_not_divide_ends_at_all(self):
        assert tuner.Grid.by_step(30).percents == [0, 30, 60, 90, 100]


class TestConfig:
    def test_the_file_opens_the_store_that_was_recommended(self, document, tmp_path):
        path = tmp_path / "tune.toml"
        path.write_text(tuner.toml(document), encoding="utf-8")
        recommended = document["recommended"]
        with tmemstore.open(config=path, storage="emulate:emmc5.1", virtual_time=True) as tm:
            assert tm.region.size_bytes == 4 * MIB
            assert tm.frontswap_max_percent == recommended["frontswap_percent"]
            assert tm.store.write_through == (recommended["writeback"] == "through")
            (state,) = tm.stats().contracts
            assert (state.contract.frames, state.contract.deadline_ns) == (512, 50_000_000)

    def test_there_is_none_without_a_recommendation(self, none_holds):
        assert tuner.toml(none_holds) is None


class TestText:
    @pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
    def test_it_opens_with_the_setting_and_fits_80_columns(self, document, none_holds, encoding):
        emulated = "emulate:emmc5.1,sigma=0.5,pause_every=64MiB,pause=60ms"
        long = document | {"arguments": document["arguments"] | {"storage": emulated}}
        recommended, none = "Recommended: frontswap at most ", "No setting gives back 2 MiB"
        for each, first in ((document, recommended), (long, recommended), (none_holds, none)):
            lines = tune_table(each, encoding=encoding).splitlines()
            assert lines[0].startswith(first)
            assert max(map(len, lines)) <= 80
            "".join(lines).encode(encoding)

    def test_the_recommended_row_is_marked_and_each_row_is_there(self, document):
        lines = tune_table(document).splitlines()
        (marked,) = [line for line in lines if line.startswith("> ")]
        recommended = document["recommended"]
        assert f":{recommended['frontswap_percent']}" in marked
        assert recommended["writeback"] in marked
        table = [line for line in lines if re.search(r"\d:\d+ +(back|behind|through) +\d", line)]
        assert len(table) == sum(row["impossible"] is None for row in document["rows"])

    def test_rows_that_are_alike_stand_there_once(self, document):
        like = document["rows"][0]
        rows = [like | {"frontswap_percent": percent} for percent in (0, 25, 50, 75)]
        alike = tune_table(document | {"rows": rows, "recommended": document["recommended"] | {"row": 0}})
        assert "> 100:0" in alike
        assert "75:25" in alike
        assert "\nto 25:75 the same\n" in alike
        assert not re.search("50:50 +back", alike)

    def test_it_says_what_the_sample_shows_and_what_would_hold(self, document, none_holds):
        said = " ".join(tune_table(document).split())
        assert "show that at least 99.7 % are met" in said
        assert "to show 99.9 % takes 2995" in said
        assert "A deadline of " in tune_table(none_holds)

    def test_variants_have_their_own_tables(self, document):
        rows = [dict(row, codec=codec) for codec in ("lz4", "zstd") for row in document["rows"]]
        text = tune_table(document | {"rows": rows, "arguments": document["arguments"] | {"codecs": ["lz4", "zstd"]}})
        assert "codec lz4, eviction sieve, admission filter on" in text
        assert "codec zstd, eviction sieve, admission filter on" in text
        assert text.splitlines()[0].endswith(", lz4")

    def test_a_row_that_does_not_hold_is_marked(self, document):
        at = document["recommended"]["row"]
        rows = [dict(row) for row in document["rows"]]
        rows[at] |= {"holds": False, "missed": 41}
        assert " 41! " in tune_table(document | {"rows": rows})

    def test_thrash_is_shown_where_it_was_measured(self, document):
        rows = [row | {"thrash": {"refaults": 5, "per_admitted": 0.0525, "lost_ns": 1}} for row in document["rows"]]
        assert "5.25" in tune_table(document | {"rows": rows})

    def test_it_is_a_page_with_its_pictures(self, document, none_holds):
        for each in (document, none_holds):
            drawings = drawings_of(each)
            assert drawings[-1].name == "tune-curves"
            for drawing in drawings:
                ET.fromstring(drawing.svg().replace("xlink:href", "href"))  # noqa: S314 - what we drew
                assert all(len(row) == len(drawing.columns) for row in drawing.rows)
            assert headline(each) in report_page([("tune.json", each)])
        assert [drawing.name for drawing in drawings_of(document)] == ["tune", "tune-curves"]


class TestCommand:
    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_it_writes_its_files_and_prints_one_document(self, trace, tmp_path, capsys):
        out = tmp_path / "results"
        common = ["--trace", str(trace), "--contract", "2M:50ms", "--out", str(out)]
        assert main([*TUNE, *common, "--format", "json"]) == 0
        printed, remarks = capsys.readouterr()
        document = json.loads(printed)
        assert document["schema"] == "tmemstore.tune/1"
        assert document == json.loads((out / "tune.json").read_text(encoding="utf-8"))
        assert document["machine"]["python"]
        assert remarks == ""
        pictures = [f"{name}.{kind}" for name in ("tune", "tune-curves") for kind in ("png", "svg")]
        assert sorted(path.name for path in out.iterdir()) == sorted(["tune.json", "tune.toml", *pictures])
        assert main(["report", str(out / "tune.json"), "-o", str(tmp_path / "page.html"), "--quiet"]) == 0
        assert main(["compare", str(out / "tune.json"), str(out / "tune.json"), "--fail", "saved:1%"]) == 0
        assert "filter on" in capsys.readouterr().out

    def test_if_nothing_holds_it_ends_with_1_and_leaves_no_config(self, trace, tmp_path, capsys):
        (tmp_path / "bench-results").mkdir()
        old = [tmp_path / "bench-results" / name for name in ("tune.toml", "tune.svg", "tune.png", "tune-curves.svg")]
        for path in old:
            path.write_text("of an earlier run", encoding="utf-8")
        assert main([*TUNE, "--trace", str(trace), "--contract", "2M:10us:soft", "--step", "100"]) == 1
        assert capsys.readouterr().out.startswith("No setting gives back 2 MiB within 10 us")
        assert not (tmp_path / "bench-results" / "tune.toml").exists()
        assert not [path for path in old if path.exists() and path.read_bytes() == b"of an earlier run"]

    def test_lists_are_swept(self, trace, capsys):
        lists = ["--writeback", "behind", "--codec", "lz4,none", "--eviction", "lru,fifo,lru", "--admission", "on,off"]
        assert main([*TUNE, "--trace", str(trace), "--contract", "2M:50ms", *lists, "--format", "json"]) == 0
        rows = json.loads(capsys.readouterr().out)["rows"]
        names = ("codec", "eviction", "admission_filter", "frontswap_percent")
        assert len({tuple(row[name] for name in names) for row in rows}) == len(rows) == 2 * 2 * 2 * 3

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--contract", "8M:50ms"], "take a larger"),
            (["--contract", "2M"], "is no contract"),
            (["--contract", "2M:50ms", "--confidence", "0.999"], "write 99.9"),
            (["--contract", "2M:50ms", "--storage", "floppy"], "floppy"),
            (["--contract", "2M:50ms", "--storage", "broken.json"], "broken.json"),
            (["--contract", "2M:50ms", "--trace", "missing.tmt"], "missing.tmt"),
            (["--contract", "2M:50ms", "--trace", "broken.json"], "broken.json"),
            (["--contract", "2M:50ms", "--jobs", "0"], "at least 1"),
            (["--contract", "2M:50ms", "--step", "101"], "a step is"),
            (["--contract", "2M:50ms", "--writeback", "back,never"], "'never' is none of"),
            (["--contract", "2M:50ms", "--codec", ""], "is none of"),
            (["--contract", "2M:50ms", "--executor", "dask://here"], "is no executor"),
            (["--contract", "2M:50ms", "--allocate", "2M"], "SIZE@PERIOD"),
            (["--contract", "2M:50ms", "--time-scale", "nan"], "above 0"),
            (["--contract", "2M:50ms", "--rate", "fast"], "above 0"),
            (["--contract", "2M:50ms", "--region", "4194305"], "page"),
            (["--contract", "2M:50ms", "--escape", "5000"], "page"),
            (["--contract", "2M:50ms", "--out", "broken.json"], "--out broken.json"),
        ],
    )
    def test_bad_input_is_one_sentence_and_exit_code_2(self, trace, tmp_path, capsys, arguments, said):
        (tmp_path / "broken.json").write_text("{", encoding="utf-8")
        try:
            code = main([*TUNE, "--trace", str(trace), *arguments])
        except SystemExit as exited:
            code = exited.code
        printed, remarks = capsys.readouterr()
        assert (code, printed) == (2, "")
        assert remarks.count("\n") == 1
        assert said in remarks
        assert not list(tmp_path.glob("*/*"))

    @pytest.mark.parametrize(
        ("most", "left", "said"),
        [
            (5 << 10, set(), "make room and start it again"),  # while rows are kept
            (24 << 10, set(), "The result was printed, and is in no file"),
            (64 << 10, {"tune.json", "tune.toml"}, "The result is in results/tune.json"),  # while it draws
        ],
    )
    def test_a_full_disk_takes_no_row_that_was_measured(self, trace, tmp_path, capsys, monkeypatch, most, left, said):
        pytest.importorskip("matplotlib", reason="pictures need the extra tmemstore[plot]")
        out = tmp_path / "results"
        state = out / "tune.rows.jsonl"
        arguments = [*TUNE, "--trace", str(trace), "--contract", "2M:50ms", "--out", "results", "--format", "json"]
        with files_of_at_most(most):
            assert main(arguments) == 3
        printed, remarks = capsys.readouterr()
        assert remarks.count("\n") == 1
        assert "cannot be written to (File too large); make room" in remarks
        assert said in remarks
        assert ("rows" in printed) == ("The result" in said)
        assert {path.name for path in out.iterdir()} == left | {state.name}
        whole = state.read_text(encoding="utf-8").count("\n")
        ran = []
        monkeypatch.setattr(sweep, "run_job", lambda text: ran.append(text) or run_job(text))
        assert main(arguments) == 0
        assert len(json.loads(capsys.readouterr().out)["rows"]) == 9
        assert len(ran) == 9 - whole < 9
        assert not state.exists()

    def test_an_interrupted_sweep_goes_on(self, trace, tmp_path, capsys, monkeypatch):
        arguments = [*TUNE, "--trace", str(trace), "--contract", "2M:50ms", "--jobs", "1", "--format", "json"]
        assert main([*arguments, "--out", "whole"]) == 0
        whole = json.loads(capsys.readouterr().out)
        add, kept = tuner.State.add, []

        def interrupted(self, *row):
            add(self, *row)
            kept.append(row)
            if len(kept) == 4:
                raise KeyboardInterrupt

        monkeypatch.setattr(tuner.State, "add", interrupted)
        assert main([*arguments, "--out", "again"]) == 130
        capsys.readouterr()
        state = tmp_path / "again" / "tune.rows.jsonl"
        assert state.read_text(encoding="utf-8").count("\n") == 4
        assert main([*arguments, "--out", "again"]) == 0
        again = json.loads(capsys.readouterr().out)
        assert len(kept) == len(whole["rows"])
        assert not state.exists()
        assert {k: v for k, v in again.items() if k != "command"} == {k: v for k, v in whole.items() if k != "command"}
