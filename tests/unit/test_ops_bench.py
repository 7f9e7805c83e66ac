"""The bench of single operations: what a row says, what is drawn, each group on small stores."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tmemstore
from support import files_of_at_most
from tmemstore.bench import ops, ops_device, ops_memory, ops_packed, ops_reclaim
from tmemstore.bench.ops_rows import Row, in_turns
from tmemstore.bench.ops_store import BATCH, FullStore, Source, raw_store
from tmemstore.cli import bench_ops
from tmemstore.cli.main import main
from tmemstore.report.ops import ops_table


@pytest.fixture(scope="module")
def source():
    """Pages that compress to about half; no two the same."""
    pages = np.zeros((2 * BATCH, 4096), np.uint8)
    pages[:, :2048] = np.random.default_rng(1).integers(1, 256, (2 * BATCH, 2048))
    return Source(pages)


class TestRow:
    def test_a_ratio_is_of_pairs_and_its_median_is_judged(self):
        row = Row("g", "n", "ns", [10, 30, 20], [10, 10, 10], "floor", goal=2)
        assert row.figures == [1, 3, 2]
        assert row.spread_percent == 100
        document = row.to_document()
        assert document["figure"] == {"p50": 2, "min": 1, "max": 3, "rounds": 3}
        assert document["met"] is True

    @pytest.mark.parametrize(("goal", "at_least", "met"), [(20, False, True), (19, False, False), (20, True, True)])
    def test_a_difference(self, goal, at_least, met):
        row = Row("g", "n", "ns", [110, 130], [100, 100], judged="difference", goal=goal, at_least=at_least)
        assert row.figures == [10, 30]
        assert row.met is met

    def test_a_value_needs_no_floor_and_nothing_is_judged_without_a_goal(self):
        row = Row("g", "n", "ns", [5], judged="value")
        assert (row.figures, row.met, row.to_document()["floor"]) == ([5], None, None)

    def test_each_has_its_turn_first(self):
        seen = []
        figures = in_turns(3, lambda: seen.append("a") or 1, lambda: seen.append("b") or 2)
        assert figures == [[1, 1, 1], [2, 2, 2]]
        assert seen == ["a", "b", "b", "a", "a", "b"]


class TestFullStore:
    def test_it_is_full_and_what_is_held_is_held(self, source):
        with tmemstore.open("16MiB", codec="none") as tm:
            full = FullStore(tm.store, source, 1)
            assert tm.frame_counts().free == 0
            keys = full.held(500)
            assert len(np.unique(keys)) == 500
            assert full.get_ns() > 0
            assert tm.frame_counts().free == 0
            assert full.put_ns(64) > 0
            assert full.put_one_ns() > 0
            assert full.get_one_ns() > 0
            tm.verify()

    def test_a_source_gives_other_pages_each_time(self, source):
        first, second = source.next(), source.next()
        assert first != second
        assert source.next() == first


class TestGroups:
    """Small stores, few rounds: that the rows are there and make sense, not what they say."""

    def names(self, rows):
        rows = list(rows)
        assert all(value > 0 for row in rows if row.judged != "difference" for value in row.ours)
        return {(row.group, row.name) for row in rows}

    def test_memory(self, source):
        names = self.names(ops_memory.rows(16 << 20, source, 1, 1))
        assert {("large region", "put"), ("large region", "get"), ("copy", "put past the cache")} <= names
        assert {("cached region", "put"), ("Python", "get_many, 64"), ("floors", "random look-up")} <= names

    def test_growth(self, source, monkeypatch):
        monkeypatch.setattr(ops_memory, "_SIZES", (8 << 20, 16 << 20))
        names = {row.name for row in ops_memory.growth(source, 1, 1)}  # what is left of a put may be less than nothing
        assert names == {f"{verb}{what}, 16MiB" for verb in ("put", "get") for what in ("", " less the copy")}
        monkeypatch.setattr(ops_reclaim, "_PLANNED_BYTES", 128 << 20)
        assert len(self.names(ops_reclaim.planning(source, 1, 1))) == 1

    def test_packed(self, source):
        names = self.names(ops_packed.rows(16 << 20, source, 1, 1))
        assert {("room", "after a history"), ("room", "metadata"), ("compressed", "lz4 load less 100 ns")} <= names

    def test_reclaim(self, source):
        assert len(self.names(ops_reclaim.rows(160 << 20, source, 2, 1))) == 4

    def test_waits_have_a_histogram(self, source, monkeypatch):
        monkeypatch.setattr(ops_reclaim, "_WAITS_NS", 50_000_000)
        waits = ops_reclaim.Waits(source, 1)
        rows = list(waits.rows(1))
        assert [row.name for row in rows] == ["get, p99.9 of a call", "put, p99.9 of a call"]
        assert sum(waits.histogram["get"].values()) == sum(waits.histogram["put"].values()) > 100

    def test_device(self, source, tmp_path):
        names = self.names(ops_device.rows(source, str(tmp_path), 1, 1))
        assert {("device", "load from the spill file"), ("device", "raw get, one page")} <= names

    def test_a_device_that_becomes_full_is_what_the_environment_lacks(self, source, tmp_path):
        rows = ops_device.rows(source, str(tmp_path), 1, 1)
        assert next(rows).name == "page out, emulated eMMC"
        with files_of_at_most(1 << 20), pytest.raises(tmemstore.EnvironmentLacks, match=r"full.*make room"):
            next(rows)
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_takes_no_more_is_what_the_environment_lacks(self, source, tmp_path):
        rows = ops_device.rows(source, str(tmp_path), 1, 1)
        while next(rows).name != "load_many, a page":
            pass
        with files_of_at_most(1 << 20), pytest.raises(tmemstore.EnvironmentLacks, match=r"File too large.*make room"):
            next(rows)
        assert list(tmp_path.iterdir()) == []


class TestCommand:
    def test_a_device_without_room_is_said_before_anything_is_measured(self, tmp_path, monkeypatch, capsys):
        usage = shutil.disk_usage(tmp_path)._replace(free=40 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
        monkeypatch.setattr(ops, "open_pages", lambda *_arguments, **_options: pytest.fail("too late"))
        assert main(["bench", "ops", "--groups", "memory,device", "--out", str(tmp_path)]) == 3
        assert capsys.readouterr().err == (
            f"tmemstore bench ops: {tmp_path} has no room for a file of 65 MiB (it has 40 MiB free); make room, or "
            "name a folder on another disk with --out\n"
        )

    def test_start_rows_as_json_and_as_a_table(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(ops, "_PAGES", 64)
        command = ["bench", "ops", "--groups", "start", "--region", "256MiB", "--out", str(tmp_path)]
        assert main([*command, "--format", "json", "--pages", str(_pages_file(tmp_path))]) == 0
        output, remarks = capsys.readouterr()
        document = json.loads(output)
        assert document["schema"] == "tmemstore.bench.ops/1"
        assert {"load_average_before", "swap_used_bytes_before", "spill"} <= set(document["machine"])
        assert "commit" in document
        assert remarks.splitlines() == [f"wrote {tmp_path / 'ops.json'}", *document["remarks"]]
        assert document["command"].startswith("tmemstore bench ops --groups start")
        assert [row["name"] for row in document["rows"]][1] == "import tmemstore"
        assert json.loads((tmp_path / "ops.json").read_text()) == document
        table = ops_table(document)
        assert "import tmemstore" in table
        assert max(len(line) for line in table.splitlines()) <= 80

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--groups", "memory,speed"], "'speed' is no group; choose of memory"),
            (["--rounds", "3"], "'3' is not a whole number of at least 7"),
            (["--region", "64MiB"], "--region must be at least 256MiB"),
            (["--region", "256GiB"], "less than 256 GiB"),
        ],
    )
    def test_wrong_usage(self, arguments, message, tmp_path, capsys):
        try:
            code = main(["bench", "ops", *arguments, "--out", str(tmp_path)])
        except SystemExit as exited:
            code = exited.code
        assert code == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["before", "after", "after-quiet", "after-third", "after-fourth-xeon"])
def test_the_recorded_runs_make_a_table_of_80_columns(name):
    path = Path(__file__).parents[2] / "bench" / "results" / "ops" / f"{name}.json"
    table = ops_table(json.loads(path.read_text(encoding="utf-8")))
    assert "put after a drop" in table
    assert max(len(line) for line in table.splitlines()) <= 80


def test_the_command_line_offers_the_groups_that_there_are():
    assert bench_ops._GROUPS == ops.GROUPS


def test_fewer_rounds_say_too_little():
    with pytest.raises(ValueError, match="at least 7"):
        ops.Arguments(rounds=6)


def _pages_file(folder):
    path = folder / "pages.npy"
    np.save(path, np.random.default_rng(3).integers(1, 256, (200, 4096)).astype(np.uint8))
    return path


def test_raw_stores_copy_as_they_are_told():
    store = raw_store(4 << 20, "plain")
    assert store.region.copy_variant == "plain"
    store.close()
    with pytest.raises(ValueError, match="unknown copy"):
        tmemstore.Region("4MiB", copy="fast")
