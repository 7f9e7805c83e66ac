"""What the command line prints, against the files in `expected`.

To accept a change: TMEMSTORE_UPDATE_GOLDEN=1 .venv/bin/python -m pytest tests/golden, then read the diff.
"""

import json
import os
import shlex
from decimal import Decimal
from pathlib import Path

import pytest

from tmemstore.cli.main import main
from tmemstore.report.compare import compare as compare_results
from tmemstore.report.compare_table import compare_table
from tmemstore.report.deadline import deadline_table
from tmemstore.report.figures import read
from tmemstore.report.profile import profile_table
from tmemstore.report.tables import eviction_table
from tmemstore.report.trace import info_table
from tmemstore.storage.presets import PRESETS
from tmemstore.trace.format import open_trace
from tmemstore.trace.info import describe

HERE = Path(__file__).parent
EXPECTED = HERE / "expected"
UPDATE = os.environ.get("TMEMSTORE_UPDATE_GOLDEN") == "1"

HELPS = {
    "help": [],
    "help-bench": ["bench"],
    "help-bench-copy": ["bench", "copy"],
    "help-bench-deadline": ["bench", "deadline"],
    "help-bench-eviction": ["bench", "eviction"],
    "help-bench-ops": ["bench", "ops"],
    "help-calibrate": ["calibrate"],
    "help-compare": ["compare"],
    "help-convert": ["convert"],
    "help-doctor": ["doctor"],
    "help-replay": ["replay"],
    "help-report": ["report"],
    "help-tune": ["tune"],
}

ERRORS = (
    [],
    ["bench"],
    ["--nonsense"],
    ["bench", "eviction", "--nonsense"],
    ["bench", "eviction", "--region", "64MB"],
    ["bench", "eviction", "--region", "a lot"],
    ["bench", "eviction", "--region", "512K"],
    ["bench", "eviction", "--region", "5000"],
    ["bench", "eviction", "--region", "64MiB", "--size", "65MiB"],
    ["bench", "eviction", "--size", "64MiB,"],
    ["bench", "eviction", "--ratios", "10,x"],
    ["bench", "eviction", "--ratios", "101"],
    ["bench", "eviction", "--ratios", ""],
    ["bench", "eviction", "--repeats", "0"],
    ["bench", "eviction", "--deadline", "50"],
    ["bench", "eviction", "--deadline", "0ms"],
    ["bench", "eviction", "--codec", "gzip"],
    ["bench", "eviction", "--format", "xml"],
    ["bench", "eviction", "--out", "file"],
    ["bench", "eviction", "--region", "1MiB", "--spill", "folder"],
    ["bench", "eviction", "--region", "1MiB", "--spill", "file"],
    ["bench", "eviction", "--region", "1MiB", "--spill", "link"],
    ["bench", "eviction", "--region", "1MiB", "--spill", "not/there/spill.img"],
    ["bench", "eviction", "--region", "1MiB", "--pages", "missing.npy"],
    ["bench", "eviction", "--region", "1MiB", "--pages", "file"],
    ["bench", "eviction", "--region", "1MiB", "--pages", "folder"],
    ["bench", "eviction", "--region", "1MiB", "--escape", "5000"],
    ["bench", "eviction", "--storage", "emulate:floppy"],
    ["bench", "eviction", "--storage", "file"],
    ["bench", "eviction", "--baseline", "cma,zswap"],
    ["bench", "eviction", "--baseline-calls", "0"],
    ["bench", "deadline", "--nonsense"],
    ["bench", "deadline", "--region", "64MB"],
    ["bench", "deadline", "--region", "1MiB"],
    ["bench", "deadline", "--region", "32MiB"],
    ["bench", "deadline", "--contract", "64MiB"],
    ["bench", "deadline", "--contract", "64MiB:50"],
    ["bench", "deadline", "--contract", "64MiB:0ms"],
    ["bench", "deadline", "--contract", "64MiB:50ms:firm"],
    ["bench", "deadline", "--contract", "64MiB:50ms:soft:99"],
    ["bench", "deadline", "--confidence", "0.999"],
    ["bench", "deadline", "--confidence", "100"],
    ["bench", "deadline", "--confidence", "10"],
    ["bench", "deadline", "--confidence", "sure"],
    ["bench", "deadline", "--escape", "5000"],
    ["bench", "deadline", "--escape", "0", "--quiet"],
    ["bench", "deadline", "--writeback", "never"],
    ["bench", "deadline", "--storage", "emulate:floppy"],
    ["bench", "deadline", "--storage", "emulate:emmc5.1,sigma=x"],
    ["bench", "deadline", "--storage", "lacking.json"],
    ["bench", "deadline", "--storage", "real", "--virtual"],
    ["bench", "deadline", "--storage", "real", "--scenario", "stalls"],
    ["bench", "deadline", "--real", "--virtual"],
    ["bench", "deadline", "--scenario", "chaos"],
    ["bench", "deadline", "--allocations", "0"],
    ["bench", "deadline", "--threads", "65"],
    ["bench", "deadline", "--gap", "20"],
    ["bench", "deadline", "--seed", "-1"],
    ["bench", "deadline", "--name", "a/b"],
    ["bench", "deadline", "--out", "file"],
    ["bench", "deadline", "--pages", "missing.npy", "--quiet"],
    ["doctor", "--format", "xml"],
    ["calibrate"],
    ["calibrate", "--spill", "spill.img", "--from", "file"],
    ["calibrate", "--spill", "spill.img", "--limit", "1MiB"],
    ["calibrate", "--spill", "spill.img", "--limit", "64MB"],
    ["calibrate", "--spill", "spill.img", "--budget", "0s"],
    ["calibrate", "--spill", "spill.img", "--budget", "20"],
    ["calibrate", "--spill", "spill.img", "--output", "folder"],
    ["calibrate", "--spill", "link", "--quiet"],
    ["calibrate", "--spill", "not/there/spill.img", "--quiet"],
    ["calibrate", "--from", "file"],
    ["calibrate", "--from", "folder"],
    ["calibrate", "--from", "missing.json"],
    ["calibrate", "--from", "foreign.json"],
    ["calibrate", "--from", "lacking.json"],
    ["convert"],
    ["convert", "file", "out", "--from", "lirs"],
    ["convert", "file", "out", "--columns", "time=2,objekt=5"],
    ["convert", "file", "out", "--page-cache", "64MB"],
    ["convert", "file", "file"],
    ["convert", "file", "out"],
    ["convert", "file", "out", "--from", "spc", "--page-cache", "none"],
    ["convert", "file", "out", "--from", "recorded"],
    ["convert", "file", "not/there/out", "--columns", "object=1", "--page-cache", "none"],
    ["convert", "folder", "out"],
    ["convert", "missing.trace", "out"],
    ["compare"],
    ["compare", "eviction.json"],
    ["compare", "eviction.json", "missing.json"],
    ["compare", "eviction.json", "folder"],
    ["compare", "eviction.json", "file"],
    ["compare", "eviction.json", "foreign.json"],
    ["compare", "eviction.json", "deadline.json"],
    ["compare", "eviction.json", "eviction.json", "--fails", "p99:10%"],
    ["compare", "eviction.json", "eviction.json", "--fail", "p99"],
    ["compare", "eviction.json", "eviction.json", "--fail", "p99:10"],
    ["compare", "eviction.json", "eviction.json", "--fail", "p99:-1%"],
    ["compare", "eviction.json", "eviction.json", "--fail", "p98:10%"],
    ["compare", "eviction.json", "eviction.json", "--fail", "p99:10%,p99:5%"],
    ["compare", "eviction.json", "eviction.json", "--format", "xml"],
    ["tune"],
    ["tune", "--trace", "file", "--contract", "64MiB:50ms"],
    ["tune", "--trace", "missing.tmt", "--contract", "64MiB:50ms"],
    ["tune", "--trace", "file", "--contract", "64MiB"],
    ["tune", "--trace", "file", "--contract", "512MiB:50ms"],
    ["tune", "--trace", "file", "--contract", "64MiB:50ms", "--confidence", "0.999"],
    ["tune", "--trace", "file", "--contract", "64MiB:50ms", "--storage", "floppy"],
    ["tune", "--trace", "file", "--contract", "64MiB:50ms", "--jobs", "0"],
    ["tune", "--trace", "file", "--contract", "64MiB:50ms", "--step", "0"],
    ["tune", "--trace", "file", "--contract", "64MiB:50ms", "--writeback", "never"],
    ["tune", "--trace", "file", "--contract", "64MiB:50ms", "--executor", "dask://nowhere"],
    ["tune", "--trace", "file", "--contract", "64MiB:50ms", "--allocate", "64MiB"],
    ["tune", "--trace", "file", "--contract", "64MiB:50ms", "--out", "file"],
)


def compare(name, text):
    path = EXPECTED / f"{name}.txt"
    if UPDATE:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; see the top of {Path(__file__).name}"


@pytest.mark.parametrize("name", HELPS)
def test_help(name, capsys):
    with pytest.raises(SystemExit) as exited:
        main([*HELPS[name], "--help"])
    assert exited.value.code == 0
    output, remarks = capsys.readouterr()
    assert remarks == ""
    assert max(len(line) for line in output.splitlines()) <= 80
    compare(name, output)


def test_errors_are_one_sentence_and_an_exit_code(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"something else")
    Path("foreign.json").write_text('{"schema": "tmemstore.doctor/1"}', encoding="utf-8")
    Path("lacking.json").write_text('{"schema": "tmemstore.profile/1"}', encoding="utf-8")
    for name in ("eviction", "deadline-stalls"):
        Path(f"{name.partition('-')[0]}.json").write_bytes((HERE / f"{name}.json").read_bytes())
    Path("folder").mkdir()
    Path("link").symlink_to("file")
    said = []
    for arguments in ERRORS:
        try:
            code = main(arguments)
        except SystemExit as exited:
            code = exited.code
        output, remarks = capsys.readouterr()
        assert output == ""
        assert remarks.count("\n") == 1, arguments
        said += [f"$ tmemstore {shlex.join(arguments)}", f"{remarks}[{code}]", ""]
    compare("errors", "\n".join(said))


def test_table_of_the_eviction_bench():
    document = json.loads((HERE / "eviction.json").read_text(encoding="utf-8"))
    table = eviction_table(document)
    assert max(len(line) for line in table.splitlines()) <= 80
    compare("table-eviction", table)


@pytest.mark.parametrize("name", ["deadline-capacity", "deadline-pairs", "deadline-stalls"])
def test_table_of_the_deadline_bench(name):
    table = deadline_table(json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")))
    assert max(len(line) for line in table.splitlines()) <= 80
    compare(f"table-{name}", table)


@pytest.mark.parametrize("name", ["eviction", "deadline"])
def test_table_of_a_comparison(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before, after = {"eviction": ("eviction", "eviction"), "deadline": ("deadline-stalls", "deadline-pairs")}[name]
    changed = json.loads((HERE / f"{after}.json").read_text(encoding="utf-8")) | {"commit": "0123456789ab"}
    for number, row in enumerate(changed.get("rows", [])):
        row["elapsed_ns"] = {at: value and value * (90 + 7 * number) // 100 for at, value in row["elapsed_ns"].items()}
    Path("after.json").write_text(json.dumps(changed), encoding="utf-8")
    Path("before.json").write_bytes((HERE / f"{before}.json").read_bytes())
    metric = {"eviction": "p99", "deadline": "p50"}[name]
    document = compare_results(read("before.json"), read("after.json"), {metric: Decimal(10)})
    table = compare_table(document)
    assert max(len(line) for line in table.splitlines()) <= 80
    compare(f"table-compare-{name}", table)


def test_tables_of_a_trace(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text(
        "".join(
            f"{at},{op},{0 if op in {'store', 'load'} else 65536 + at % 7},{at % 300},0\n"
            for at, op in enumerate(["put_page", "get_page", "store", "store", "load", "alloc", "release"] * 200)
        ),
        encoding="utf-8",
    )
    assert main(["convert", "in.csv", "out", "--columns", "time=1:ms,op=2,object=3,index=4,pool=5", "--quiet"]) == 0
    compare("table-convert", capsys.readouterr().out)
    with open_trace("out") as trace:
        table = info_table(describe(trace))
    assert max(len(line) for line in table.splitlines()) <= 80
    compare("table-trace-info", table)


def test_table_of_a_profile():
    table = profile_table(PRESETS["emmc5.1"].to_document())
    assert max(len(line) for line in table.splitlines()) <= 80
    compare("table-profile", table)
