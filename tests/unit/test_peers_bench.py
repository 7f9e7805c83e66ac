"""bench/peers.py: both systems run one stream and hit as often; its table, and what it refuses."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from replay_support import mixed, write
from tmemstore.cli.main import main as compare

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("peers", ROOT / "bench" / "peers.py")

pytest.importorskip(
    "libcachesim", reason="the PyPI package libcachesim, part of tmemstore[dev] where it has a wheel, is not there"
)


@pytest.fixture(scope="module")
def peers():
    module = importlib.util.module_from_spec(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        # Its dataclasses look their module up.
        patch.setitem(sys.modules, "peers", module)
        SPEC.loader.exec_module(module)
        yield module


def test_a_small_run(peers, tmp_path, capsys):
    trace, output = write(tmp_path / "load.tmt", mixed(1, count=500)), tmp_path / "peers.json"
    small = ["--requests", "5000", "--objects", "3000", "--rounds", "2", "--trace", str(trace)]
    assert peers.main([*small, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines() if not line.startswith("noisy")) <= 80
    document = json.loads(output.read_text(encoding="utf-8"))
    assert (document["schema"], document["frames"], document["hits_agree"]) == ("tmemstore.peers/1", 300, True)
    hits = {}
    for row in document["rows"]:
        assert 0 < row["min_ns"] <= row["median_ns"] <= row["max_ns"]
        hits.setdefault(row["order"], set()).add(row["hits"])
    assert {order: len(each) for order, each in hits.items()} == dict.fromkeys(("fifo", "lru", "sieve", "s3-fifo"), 1)
    assert document["recorded"][0]["operations"] == 500
    assert str(tmp_path) not in document["command"]
    assert compare(["compare", str(output), str(output), "--fail", "cpu:0%,hits:0%"]) == 0


def test_hits_that_differ_are_exit_code_1(peers, tmp_path, monkeypatch):
    real = peers.run_theirs
    monkeypatch.setattr(peers, "run_theirs", lambda *arguments: (real(*arguments)[0], 1))
    small = ["--requests", "3000", "--objects", "3000", "--rounds", "1"]
    assert peers.main([*small, "--output", str(tmp_path / "peers.json")]) == 1


def test_a_region_that_is_too_small_is_refused(peers, tmp_path, capsys):
    with pytest.raises(SystemExit) as exited:
        peers.main(["--objects", "100", "--output", str(tmp_path / "peers.json")])
    assert exited.value.code == 2
    assert "larger share" in capsys.readouterr().err
