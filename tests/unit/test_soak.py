"""The soak: its rows are commands that can be run, its goals judge what a run showed, and it goes on where it ended."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tmemstore.cli.main import build_parser

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("soak", ROOT / "bench" / "soak.py")
DOCUMENTS = {
    name: json.loads((ROOT / "tests" / "golden" / f"deadline-{name}.json").read_text(encoding="utf-8"))
    for name in ("pairs", "capacity", "stalls")
}


@pytest.fixture(scope="module")
def soak():
    module = importlib.util.module_from_spec(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        # Its dataclasses look their module up.
        patch.setitem(sys.modules, "soak", module)
        SPEC.loader.exec_module(module)
        yield module


def changed(document, **outcome):
    return document | {"outcome": document["outcome"] | outcome}


def verdicts(figures):
    return {figure.what: figure.verdict for figure in figures}


def test_every_row_is_a_command_of_ours(soak):
    for row in soak.ROWS:
        options = build_parser().parse_args(row.command_line(0.01, Path("out")))
        assert options.name == row.name
        assert 20 <= options.allocations <= row.allocations


def test_a_hard_contract_allows_nothing(soak):
    good = DOCUMENTS["stalls"]
    assert set(verdicts(soak.hard(good)).values()) == {soak.MET, soak.REPORTED}
    for name in ("refused", "aborted"):
        bad = changed(good, endings=good["outcome"]["endings"] | {name: 1})
        assert verdicts(soak.hard(bad))[name] == soak.NOT_MET
    assert verdicts(soak.hard(changed(good, late=1)))["late"] == soak.NOT_MET


@pytest.mark.parametrize("goals", ["hard", "soft"])
def test_a_load_that_leaves_the_ceilings_empty_proves_nothing(soak, goals):
    judge = getattr(soak, goals)
    assert verdicts(judge(DOCUMENTS["stalls"]))["ceilings filled"] == soak.MET
    for filled in (89.9, None):
        bad = changed(DOCUMENTS["stalls"], ceilings_filled_percent=filled)
        assert verdicts(judge(bad))["ceilings filled"] == soak.NOT_MET


def test_what_was_aborted_for_want_of_a_cpu_is_counted_apart(soak):
    good = DOCUMENTS["stalls"]
    starved = changed(good, endings=good["outcome"]["endings"] | {"aborted": 1}, starved_aborted=1)
    assert verdicts(soak.hard(starved))["aborted"] == soak.MET
    assert verdicts(soak.hard(starved))["aborted, starved"] == soak.REPORTED


def test_the_return_is_the_cores(soak):
    good = DOCUMENTS["stalls"]
    lag = dict.fromkeys(("p50", "p99", "p999", "max"), 1_000_000)
    assert verdicts(soak.returned(changed(good, commit_lag_ns=lag)))["return, core p99.9"] == soak.MET
    late = changed(good, commit_lag_ns=lag | {"p999": 1_000_001})
    assert verdicts(soak.returned(late))["return, core p99.9"] == soak.NOT_MET


def test_a_recovery_must_prove_true(soak):
    document = DOCUMENTS["pairs"]
    count = document["outcome"]["recoveries"]["count"]
    named = {"count": count, "within_20_percent": count, "said_and_took_ns": []}
    assert soak.NOT_MET not in verdicts(soak.pairs(changed(document, recoveries=named))).values()
    off = changed(document, recoveries=named | {"within_20_percent": count - 1})
    assert verdicts(soak.pairs(off))["recovery within 20 %"] == soak.NOT_MET


@pytest.mark.parametrize(
    ("second", "starved", "first", "verdict_second", "verdict_first"),
    [(1, 0, 0, "NOT MET", "met"), (1, 1, 0, "met", "met"), (0, 0, 1, "met", "met"), (0, 0, 2, "met", "NOT MET")],
)
def test_the_second_of_a_pair_may_not_abort_and_the_first_as_the_contract_says(
    soak, second, starved, first, verdict_second, verdict_first
):
    document = DOCUMENTS["pairs"]
    seconds = dict.fromkeys(document["outcome"]["seconds"], 0)
    seconds |= {"count": 1000, "met": 1000 - second, "aborted": second, "starved_aborted": starved}
    endings = {"met": 2000 - second - first, "refused": 0, "aborted": second + first}
    shown = verdicts(
        soak.pairs(changed(document, seconds=seconds, endings=endings, starved_aborted=starved, reasons={}))
    )
    assert (shown["second aborted"], shown["first aborted"]) == (verdict_second, verdict_first)
    assert ("second aborted, starved" in shown) == bool(starved)


@pytest.mark.parametrize(("rate", "met"), [(0.0, True), (0.001, True), (0.0011, False)])
def test_a_soft_contract_is_judged_by_its_upper_bound(soak, rate, met):
    document = changed(DOCUMENTS["pairs"], miss_rate_upper_95=rate)
    assert (document["arguments"]["confidence"], document["arguments"]["virtual"]) == (0.999, True)
    assert (verdicts(soak.soft(document))["missed, at most"] == soak.MET) is met


def test_capacity_and_tightness_have_their_goals(soak):
    worst = {"frames_in_use_percent": 90.0, "frontswap_percent": 60.0, "refused": 0, "holding": True}
    good = changed(DOCUMENTS["capacity"], capacity_worst=worst)
    assert set(verdicts(soak.capacity(good)).values()) == {soak.MET}
    bad = changed(DOCUMENTS["capacity"], capacity_worst=worst | {"refused": 1, "holding": False})
    assert list(verdicts(soak.capacity(bad)).values()).count(soak.NOT_MET) == 2
    tight = changed(DOCUMENTS["pairs"], tightness=1.51, bound_missed_rate=0.0)
    assert list(verdicts(soak.tight(tight)).values()) == [soak.NOT_MET, soak.MET]


def test_the_table_fits(soak):
    goals = {"pairs": (soak.pairs, soak.soft, soak.tight), "capacity": (soak.capacity,), "stalls": (soak.returned,)}
    figures = [("hard-slower-real", each) for name in goals for goal in goals[name] for each in goal(DOCUMENTS[name])]
    assert max(len(line) for line in soak.table(figures).splitlines()) <= 80


def test_a_row_that_is_there_is_not_run_again(soak, tmp_path, monkeypatch, capsys):
    ran = []

    def run(row, command_line, path, at):
        document = DOCUMENTS["capacity"] | {"command": "tmemstore " + " ".join(command_line), "commit": at}
        (tmp_path / path).write_text(json.dumps(document), encoding="utf-8")
        ran.append(row.name)
        return document

    monkeypatch.setattr(soak, "run", run)
    monkeypatch.setattr(soak, "ROOT", tmp_path)
    monkeypatch.setattr(soak.machine, "commit", lambda: "one")
    arguments = ["--rows", "capacity", "--out", "out"]
    for more, times in (([], 1), ([], 1), (["--again"], 2), (["--scale", "0.5"], 3)):
        soak.main([*arguments, *more])
        assert len(ran) == times
    monkeypatch.setattr(soak.machine, "commit", lambda: "another")
    soak.main([*arguments, "--scale", "0.5"])
    assert len(ran) == 4
    assert "NOT MET" in capsys.readouterr().out


def test_a_row_that_is_not_known_is_wrong_usage(soak, capsys):
    with pytest.raises(SystemExit) as exited:
        soak.main(["--rows", "soft"])
    assert exited.value.code == 2
    assert "choose of hard, hard-real" in capsys.readouterr().err
