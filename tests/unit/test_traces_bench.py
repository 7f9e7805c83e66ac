"""The driver over recorded traces judges by the best fixed ratio, names the worst case, and goes on where it was."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("traces", ROOT / "bench" / "traces.py")


@pytest.fixture(scope="module")
def traces():
    module = importlib.util.module_from_spec(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "traces", module)
        SPEC.loader.exec_module(module)
        yield module


def sweep(traces, fixed, auto, adaptive, share=0.1):
    rows = [{"frontswap_percent": 5 * i, "saved_ns": saved} for i, saved in enumerate(fixed)]
    rows += [{"frontswap_percent": "auto", "saved_ns": auto}, {"frontswap_percent": "adaptive", "saved_ns": adaptive}]
    return {"region_share": share, "region_bytes": 4 << 20} | traces.judged(rows)


def test_a_sweep_is_judged_by_the_best_fixed_ratio(traces):
    judged = sweep(traces, [10, 100, 90], 110, 98)
    assert (judged["best_percent"], judged["best_saved_ns"]) == (5, 100)
    assert (judged["auto_of_best"], judged["adaptive_of_best"]) == (1.1, 0.98)


def test_the_table_names_the_worst_case(traces):
    documents = [
        {"name": "one", "sweeps": [sweep(traces, [100], 100, 99), sweep(traces, [100], 100, 96, share=0.3)]},
        {"name": "two", "sweeps": [sweep(traces, [100], 100, 97)]},
        {"name": "phases", "shifts": [{"phases": ["frontswap", "cleancache"], "adaptive_of_best": 0.951}]},
    ]
    assert "worst: one at 30 % of its working set, 0.960" in traces.table(documents)
    assert "frontswap > cleancache" in traces.table(documents)
    missed = [each for each, goal in traces.verdicts(documents) if each < goal]
    assert missed == [0.96]


def test_a_result_of_this_commit_is_not_made_again(traces, tmp_path, monkeypatch):
    monkeypatch.setattr(traces.machine, "commit", lambda: "0123456789ab")
    made = []

    def make():
        made.append(1)
        return {"sweeps": []}

    first = traces.Results(tmp_path, again=False).get("node", make)
    assert traces.Results(tmp_path, again=False).get("node", make) == json.loads((tmp_path / "node.json").read_text())
    assert first["name"] == "node"
    assert len(made) == 1
    traces.Results(tmp_path, again=True).get("node", make)
    monkeypatch.setattr(traces.machine, "commit", lambda: "0123456789ab+")
    traces.Results(tmp_path, again=False).get("node", make)
    assert len(made) == 3


def test_unknown_names_and_folders_without_traces_are_refused(traces, tmp_path, capsys):
    for arguments in (["--data", str(tmp_path)], ["--only", "nothing"]):
        with pytest.raises(SystemExit) as ended:
            traces.main([*arguments, "--data", str(tmp_path)])
        assert ended.value.code == 2
    assert "--data" in capsys.readouterr().err
