"""Comparing two results: what is paired, what is noise, what got worse, and what is refused."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tmemstore.bench import copy as copy_bench
from tmemstore.bench import deadline, eviction, ops
from tmemstore.bench.ops_rows import Row
from tmemstore.cli.main import main
from tmemstore.report import figures, noise
from tmemstore.trace import outcome
from tmemstore.tuning import tuner

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
RESULTS = ROOT / "bench" / "results"


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def ops_document(*rows, **changes):
    whole = {"schema": "tmemstore.bench.ops/1", "arguments": {"rounds": 7}, "machine": {"cpu": "a", "cores": 2}}
    return whole | {"pages": {"source": "live"}, "rows": [row.to_document() for row in rows]} | changes


def eviction_row(*samples, percent=50, **changes):
    times = sorted(samples)
    spread = {"min": times[0], "p50": times[(len(times) - 1) // 2], "p99": times[-1], "max": times[-1]}
    endings = {"met": len(times), "refused": 0, "aborted": 0}
    row = {"size_bytes": 64 << 20, "frontswap_percent": percent, "elapsed_ns": spread, "bytes_written": 1 << 20}
    row |= {"elapsed_samples_ns": list(samples), "cheapest_ns": spread, "cheapest_samples_ns": list(samples)}
    row |= {"endings": endings, "cheapest_endings": endings, "late": 0, "cheapest_late": 0}
    return row | {"cheapest": {"bytes_written": 0}} | changes


def eviction_document(*rows, **changes):
    return ops_document() | {"schema": "tmemstore.bench.eviction/1", "rows": list(rows)} | changes


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """Compare two documents by the command; return the exit code, the document, the remarks."""
    monkeypatch.chdir(tmp_path)

    def run(before, after, *more):
        Path("old.json").write_text(json.dumps(before), encoding="utf-8")
        Path("new.json").write_text(json.dumps(after), encoding="utf-8")
        code = main(["compare", "old.json", "new.json", "--format", "json", *more])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


def figure(document, metric, row=0):
    (found,) = [each for each in document["rows"][row]["figures"] if each["metric"] == metric]
    return found


def put(*ours, floor=(), **more):
    return Row("region", "put", "ns", list(ours), list(floor), judged="ratio" if floor else "value", **more)


class TestPairs:
    def test_ops_by_group_and_name_and_what_one_has_is_named(self, compare):
        before = ops_document(put(10, 10), Row("region", "get", "ns", [5], judged="value"))
        after = ops_document(Row("Python", "put", "ns", [7], judged="value"), put(20, 20))
        code, document, remarks = compare(before, after)
        assert code == 0
        assert [row["row"] for row in document["rows"]] == ["region: put"]
        assert figure(document, "ours")["change_percent"] == 100
        assert (document["only_baseline"], document["only_candidate"]) == (["region: get"], ["Python: put"])
        assert "1 row is in the baseline only: region: get" in remarks
        assert "1 row is in the candidate only: Python: put" in remarks

    def test_eviction_by_size_ratio_and_window(self, compare):
        other = {"min": 40, "p50": 40, "p99": 40, "max": 40}
        before = eviction_document(eviction_row(10, 11), eviction_row(20, 21, percent=80))
        after = eviction_document(eviction_row(22, 20, percent=80, cheapest_ns=other), eviction_row(10, 11))
        _, document, remarks = compare(before, after)
        assert remarks == ""
        names = [row["row"] for row in document["rows"]]
        assert names[0] == "64 MiB at 50:50, dearest window"
        assert names[3] == "64 MiB at 20:80, cheapest window"
        assert {"size_bytes": 64 << 20, "frontswap_percent": 80, "window": "cheapest"}.items() <= document["rows"][
            3
        ].items()
        assert figure(document, "p50", 0)["verdict"] == "same"
        assert (figure(document, "p50", 3)["baseline"], figure(document, "p50", 3)["candidate"]) == (20, 40)
        assert figure(document, "bytes_written", 2)["baseline"] == 1 << 20
        assert figure(document, "bytes_written", 3)["baseline"] == 0

    def test_times_are_whole_nanoseconds_and_change_is_of_what_was_measured(self, compare):
        before = ops_document(Row("g", "a", "us", [1.5], judged="value"), Row("g", "b", "ns", [20.4], judged="value"))
        after = ops_document(Row("g", "a", "us", [3.0], judged="value"), Row("g", "b", "ns", [20.6], judged="value"))
        _, document, _ = compare(before, after)
        first, second = figure(document, "ours", 0), figure(document, "ours", 1)
        assert (first["unit"], first["baseline"], first["candidate"]) == ("ns", 1500, 3000)
        assert (second["baseline"], second["candidate"], second["change_percent"]) == (20, 21, 0.98)
        assert all(type(second[side]) is int for side in ("baseline", "candidate"))

    def test_what_else_differs_is_said(self, compare):
        before = ops_document(put(1), arguments={"rounds": 7, "out": "a", "gone": 1})
        after = ops_document(
            put(1), arguments={"rounds": 9, "out": "b"}, machine={"cpu": "b", "cores": 2, "load_average_before": 3}
        )
        _, document, remarks = compare(before, after | {"pages": {"source": "x.npy"}})
        assert remarks == (
            "not only the program differs: arguments rounds (7; 9), machine cpu (a; b), pages source (live; x.npy)\n"
        )
        assert document["differences"][0] == {"what": "arguments rounds", "baseline": 7, "candidate": 9}

    def test_what_a_result_says_of_its_noise_is_passed_on(self, compare):
        _, document, remarks = compare(ops_document(put(1)), ops_document(put(1), remarks=["noisy\x1b[2J machine"]))
        assert remarks == "candidate: noisy?[2J machine\n"
        assert document["baseline"]["remarks"] == []


class TestVerdict:
    def verdict(self, compare, before, after, *more, metric="ours"):
        code, document, _ = compare(ops_document(before), ops_document(after), *more)
        return figure(document, metric)["verdict"], code

    def test_more_of_a_time_is_worse_and_less_is_better(self, compare):
        assert self.verdict(compare, put(10), put(12)) == ("worse", 0)
        assert self.verdict(compare, put(12), put(10)) == ("better", 0)
        assert self.verdict(compare, put(10), put(10)) == ("same", 0)

    @pytest.mark.parametrize(("unit", "at_least"), [("MB/s", False), ("x one thread", True)])
    def test_less_of_a_rate_and_of_what_has_a_least_is_worse(self, compare, unit, at_least):
        rows = [Row("g", "n", unit, [value], judged="value", goal=1, at_least=at_least) for value in (10, 8)]
        assert self.verdict(compare, *rows, "--fail", "ours:10%") == ("regressed", 1)
        assert self.verdict(compare, *rows[::-1], "--fail", "ours:10%") == ("better", 0)

    def test_exactly_so_many_percent_is_not_more(self, compare):
        assert self.verdict(compare, put(1.0), put(1.1), "--fail", "ours:10%") == ("worse", 0)
        assert self.verdict(compare, put(1.0), put(1.1001), "--fail", "ours:10%") == ("regressed", 1)
        assert self.verdict(compare, put(1.0), put(1.1001), "--fail", "ours:10.5%") == ("worse", 0)

    def test_within_the_noise_of_both_is_no_regression(self, compare):
        fail = ("--fail", "ours:10%")
        assert self.verdict(compare, put(8, 10, 14), put(9, 13, 15), *fail) == ("within noise", 0)
        # the baseline could have been 13, but the candidate was never as low as 10
        assert self.verdict(compare, put(8, 10, 14), put(12, 13, 15), *fail) == ("regressed", 1)
        # the candidate could have been 10, but the baseline was never as high as 13
        assert self.verdict(compare, put(9, 10, 11), put(9, 13, 15), *fail) == ("regressed", 1)

    def test_one_round_says_nothing_of_its_noise(self, compare):
        _, document, _ = compare(ops_document(put(10)), ops_document(put(8, 10.5, 12)))
        assert figure(document, "ours")["noise_percent"] == {"baseline": None, "candidate": 38.095}
        assert figure(document, "ours")["verdict"] == "worse"

    def test_only_the_figure_that_was_named_fails(self, compare):
        rows = put(10, floor=[10]), put(20, floor=[20])
        assert self.verdict(compare, *rows, "--fail", "figure:1%") == ("worse", 0)
        assert self.verdict(compare, *rows, "--fail", "figure:1%,floor:500%", "--fail", "ours:99%") == ("regressed", 1)

    def test_from_nothing_to_something_is_more_than_any_percentage(self, compare):
        rows = eviction_row(10, 11), eviction_row(10, 11, late=1)
        code, document, _ = compare(*map(eviction_document, rows), "--fail", "late:900%")
        assert code == 1
        assert figure(document, "late")["change_percent"] is None

    def test_a_candidate_that_refuses_all_has_lost_its_times(self, compare):
        none = dict.fromkeys(("min", "p50", "p99", "max"))
        refused = eviction_row(
            10, 11, elapsed_ns=none, elapsed_samples_ns=[], endings={"met": 0, "refused": 2, "aborted": 0}
        )
        pair = eviction_document(eviction_row(10, 11)), eviction_document(refused)
        code, document, _ = compare(*pair)
        assert (code, figure(document, "p99")["verdict"]) == (0, "gone")
        assert figure(document, "miss_rate")["verdict"] == "worse"
        assert compare(*pair, "--fail", "p99:10%")[0] == 1
        code, document, _ = compare(*pair[::-1], "--fail", "p99:10%")
        assert (code, figure(document, "p99")["verdict"]) == (0, "new")

    def test_a_figure_of_almost_nothing_is_still_json(self, compare):
        before, after = ops_document(put(1.0)), ops_document(put(1.0))
        before["rows"][0]["ours"] = {"p50": 1e-310, "min": 0, "max": 1e14, "rounds": 7}
        _, document, _ = compare(before, after)
        assert figure(document, "ours")["change_percent"] is None
        assert figure(document, "ours")["noise_percent"]["baseline"] is None


class TestNoise:
    def test_a_median_of_few_lies_anywhere_among_them(self):
        assert noise.of_quantile([30, 10, 20], 500) == (10, 30)
        assert noise.of_quantile([10], 500) is None
        assert noise.of_quantile([], 500) is None

    def test_a_median_of_many_is_surer(self):
        assert noise.of_quantile(range(1, 101), 500) == (40, 60)

    def test_a_largest_one_may_be_larger_by_as_much_as_it_stands_out(self):
        assert noise.of_quantile([10, 20, 24], 1000) == (20, 28)
        assert noise.of_quantile([10, 20, 24], 990) == (20, 28)

    def test_none_of_n_may_be_some_of_n(self):
        # Wilson (1927) at 95 %: 0 of 10 reaches 0.2775, 5 of 10 from 0.2366 to 0.7634
        assert noise.of_rate(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
        assert noise.of_rate(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
        assert noise.of_rate(0, 0) is None

    def test_an_end_that_is_not_to_be_had_lies_as_far_off_as_the_other(self):
        assert noise.of_ends(10, 8, 11) == (8, 11)
        assert noise.of_ends(10, 8, None) == (8, 12)
        assert noise.of_ends(10, None, 13) == (7, 13)
        assert noise.of_ends(10, None, None) is None
        assert noise.of_ends(10, 11, 12) == (10, 12)


class TestRefusals:
    def refused(self, text, capsys, before=None):
        Path("new.json").write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())
        Path("old.json").write_text(json.dumps(before or ops_document(put(1))), encoding="utf-8")
        assert main(["compare", "old.json", "new.json"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("tmemstore compare: new.json")
        return err

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"", "no JSON document"),
            (b'{"schema": "tmemstore.bench.ops/1", "rows": [', "no JSON document"),
            (b"\xff\xfe", "no JSON document"),
            (b"[" * 100_000, "no JSON document"),
            (b'{"schema": NaN}', "NaN is no number of JSON"),
            (b'{"schema": -Infinity}', "-Infinity is no number of JSON"),
            (b"[]", "must be an object with named fields, not a list"),
            (b"{}", "names no schema"),
            (b'{"schema": 1}', "schema must be a string"),
            (b'{"schema": "tmemstore.profile/1"}', "schema 'tmemstore.profile/1'; name a result of bench"),
            (b'{"schema": "tmemstore.bench.ops/2"}', "only 'tmemstore.bench.ops/1' is known here"),
            (b'{"schema": "tmemstore.bench.ops/1"}', "arguments is missing"),
        ],
    )
    def test_a_file_that_is_no_result(self, content, complaint, capsys):
        assert complaint in self.refused(content, capsys)

    @pytest.mark.parametrize(
        ("name", "before"),
        [
            ("ops", RESULTS / "ops" / "after.json"),
            ("eviction", GOLDEN / "eviction.json"),
            ("deadline", GOLDEN / "deadline-capacity.json"),
        ],
    )
    def test_another_benchmark_or_a_part_that_lacks(self, name, before, capsys):
        whole = read(before)
        other = eviction_document(eviction_row(1, 2)) if name == "ops" else ops_document(put(1))
        assert f"'tmemstore.bench.{name}/1'" in self.refused(other, capsys, whole)
        for part in ("machine", "arguments", "pages", "outcome" if name == "deadline" else "rows"):
            lacking = {key: value for key, value in whole.items() if key != part}
            assert f"{part} is missing" in self.refused(lacking, capsys, whole)
            assert f"{part} must be" in self.refused(whole | {part: 7}, capsys, whole)

    @pytest.mark.parametrize(
        ("path", "value", "complaint"),
        [
            (("ours", "p50"), "fast", "rows[0].ours.p50 must be a finite number, or null, not a string"),
            (("ours", "p50"), True, "rows[0].ours.p50"),
            (("ours", "min"), 10**400, "rows[0].ours.min must be a finite number, or null, not one beyond 2^48"),
            (("ours",), [1], "rows[0].ours must be an object"),
            (("unit",), None, "rows[0].unit must be a string"),
            (("judged",), "luck", "rows[0].judged must be one of ratio, difference, value"),
            (("at_least",), 1, "rows[0].at_least must be true or false"),
        ],
    )
    def test_a_field_of_a_row_is_named(self, path, value, complaint, capsys):
        document = ops_document(put(1))
        inside = document["rows"][0]
        for name in path[:-1]:
            inside = inside[name]
        inside[path[-1]] = value
        assert complaint in self.refused(document, capsys)

    def test_a_number_beyond_all_numbers(self, capsys):
        text = json.dumps(ops_document(put(1))).replace('"p50": 1', '"p50": 1e999')
        assert "p50 must be a finite number" in self.refused(text.encode(), capsys)

    def test_every_field_of_an_eviction_row_that_is_read_is_checked(self, capsys):
        whole = eviction_document(eviction_row(1, 2))
        for name in eviction_row(1, 2):
            broken = copy.deepcopy(whole)
            broken["rows"][0][name] = "text"
            assert f"rows[0].{name} must be" in self.refused(broken, capsys, whole)

    def test_no_row_in_common_twice_the_same_row_other_units(self, capsys):
        other = Row("region", "get", "ns", [1], judged="value")
        assert "have no row in common" in self.refused(ops_document(other), capsys)
        assert "two rows of region: put" in self.refused(ops_document(put(1), put(1)), capsys)
        slow = Row("region", "put", "MB/s", [1], judged="value")
        assert "in 'MB/s' and old.json in 'ns'" in self.refused(ops_document(slow), capsys)


class TestCommand:
    @pytest.mark.parametrize("limit", ["p99", "p99:", "p99:10", ":10%", "p99:-1%", "p99:nan%", "p99:1e3%", "p99:1%,"])
    def test_a_malformed_limit_is_wrong_usage(self, limit, capsys):
        with pytest.raises(SystemExit) as exited:
            main(["compare", "a", "b", "--fail", limit])
        assert exited.value.code == 2
        assert "write METRIC:PERCENT%, for example p99:10%" in capsys.readouterr().err

    def test_a_metric_that_no_row_has(self, compare):
        code, document, remarks = compare(ops_document(put(1, floor=[1])), ops_document(put(1)), "--fail", "p99:10%")
        assert (code, document) == (2, None)
        assert remarks == "tmemstore compare: --fail: no row has a figure 'p99'; there are ours, floor, figure\n"

    def test_a_reader_that_goes_away_is_not_an_error(self):
        reading, writing = os.pipe()
        os.close(reading)
        files = [str(RESULTS / "ops" / name) for name in ("before.json", "after.json")]
        command = [sys.executable, "-m", "tmemstore.cli.main", "compare", *files]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
        os.close(writing)
        assert done.returncode == 0
        assert b"Traceback" not in done.stderr

    @pytest.mark.parametrize("text", ["é", "\udc80", "x" * 300, "a\nb\x1b[31m"])
    def test_a_name_from_a_file_does_nothing_to_the_terminal(self, text, tmp_path, capsys):
        path = tmp_path / "result.json"
        path.write_text(json.dumps(ops_document(Row(text, text, "ns", [1], judged="value"))), encoding="utf-8")
        assert main(["compare", str(path), str(path)]) == 0
        table = capsys.readouterr().out
        assert max(len(line) for line in table.splitlines()) <= 80
        assert "\x1b" not in table
        assert table.encode("utf-8")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("**/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recorded_result_is_the_same_as_itself(path, capsys):
    assert main(["compare", str(path), str(path)]) == 0
    table = capsys.readouterr().out
    assert max(len(line) for line in table.splitlines()) <= 80
    result = figures.read(str(path))
    names = {metric for row in result.rows.values() for metric in row.figures}
    limits = ",".join(f"{name}:0%" for name in sorted(names))
    assert main(["compare", str(path), str(path), "--format", "json", "--fail", limits]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {figure["verdict"] for row in document["rows"] for figure in row["figures"]} == {"same"}
    assert document["differences"] == document["only_baseline"] == document["only_candidate"] == []


def test_two_recorded_runs_show_what_the_work_between_them_did(capsys):
    before, after = (str(RESULTS / "ops" / f"{name}.json") for name in ("before", "after"))
    assert main(["compare", before, after, "--fail", "figure:10%"]) == 0
    capsys.readouterr()
    assert main(["compare", after, before, "--fail", "figure:10%"]) == 1
    table, remarks = capsys.readouterr()
    assert "figure: large region: put" in table
    assert "5 rows are in the baseline only: growth: put beyond the copy, 1GiB;" in remarks
    assert "arguments groups (memory,growth,packed,reclaim,waits,device,start; memory,packed," in remarks


def test_the_schemas_are_those_that_are_written():
    # Of bench/peers.py and bench/traces.py; recorded ones are compared with themselves above.
    drivers = {"tmemstore.peers/1", "tmemstore.traces/1"}
    schemas = {eviction.SCHEMA, deadline.SCHEMA, ops.SCHEMA, copy_bench.SCHEMA, tuner.SCHEMA, outcome.SCHEMA, *drivers}
    assert set(figures._READERS) == schemas


def test_the_help_names_every_figure_of_the_recorded_results(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    help_text = capsys.readouterr().out
    for path in RESULTS.rglob("*.json"):
        for row in figures.read(str(path)).rows.values():
            assert all(f" {metric}" in help_text for metric in row.figures), path
