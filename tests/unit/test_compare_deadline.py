"""Comparing two results of `bench deadline`: the intervals they hold are their noise, and older ones stay readable."""

import json
from pathlib import Path

import pytest

from tmemstore.cli.main import main

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """Compare two documents by the command; return the exit code, the document, the remarks."""
    monkeypatch.chdir(tmp_path)

    def run(before, after):
        Path("old.json").write_text(json.dumps(before), encoding="utf-8")
        Path("new.json").write_text(json.dumps(after), encoding="utf-8")
        code = main(["compare", "old.json", "new.json", "--format", "json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


def figure(document, metric):
    (found,) = [each for each in document["rows"][0]["figures"] if each["metric"] == metric]
    return found


def whole_document(**changes):
    whole = json.loads((GOLDEN / "deadline-stalls.json").read_text(encoding="utf-8"))
    whole["outcome"] |= {"endings": {"met": 5000, "refused": 0, "aborted": 0}, "tightness": 1.2} | changes
    whole["outcome"]["elapsed_ns"] = {"p50": 100, "p99": 200, "p999": 300, "max": 400} | changes.get("times", {})
    return whole


def with_intervals(**changes):
    within = {"elapsed": {"p50": [95, 106], "p99": [190, 215], "p999": [280, None]}}
    within |= {"commit_lag": {}, "interpreter_lag": {}}
    return whole_document(intervals_95_ns=within, tightness_interval_95=[1.1, 1.3], **changes)


def test_quantiles_have_the_noise_that_the_result_holds(compare):
    slower = with_intervals(times={"p50": 120, "p99": 205, "p999": 310}, tightness=1.25)
    slower["outcome"]["intervals_95_ns"]["elapsed"] = {"p50": [112, 125], "p99": [195, 220], "p999": [290, None]}
    _, document, _ = compare(with_intervals(), slower)
    assert figure(document, "p50")["noise_percent"]["baseline"] == 11
    assert figure(document, "p50")["verdict"] == "worse"
    assert figure(document, "p99")["verdict"] == figure(document, "p999")["verdict"] == "within noise"
    assert figure(document, "tightness")["verdict"] == "within noise"
    assert figure(document, "max")["noise_percent"]["baseline"] is None


def test_a_result_without_intervals_stays_readable(compare):
    code, document, _ = compare(whole_document(), with_intervals(times={"p50": 120}))
    assert code == 0
    assert figure(document, "p50")["noise_percent"]["baseline"] is None


@pytest.mark.parametrize(("ran", "there"), [(99, {"p50", "max"}), (999, {"p50", "p99", "max"})])
def test_a_quantile_that_too_few_carry_is_no_figure(compare, ran, there):
    few = whole_document(endings={"met": ran, "refused": 0, "aborted": 0})
    _, document, _ = compare(few, few)
    names = {each["metric"] for each in document["rows"][0]["figures"]}
    assert names & {"p50", "p99", "p999", "max", "core_lag_p999"} == there


@pytest.mark.parametrize(
    ("ends", "complaint"),
    [([1], "a list of two finite numbers, either of them null, not a list of 1"), ([1, "x"], "must be a finite")],
)
def test_an_interval_that_is_none_is_named(compare, ends, complaint):
    broken = with_intervals()
    broken["outcome"]["intervals_95_ns"]["elapsed"]["p50"] = ends
    code, _, said = compare(whole_document(), broken)
    assert code == 2
    assert "new.json: outcome.intervals_95_ns.elapsed.p50" in said
    assert complaint in said
