"""The eviction bench: quantiles, the dearest window, the interleaved fill, and the whole of it on a small region."""

import json
import platform
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

import tmemstore
from support import files_of_at_most
from tmemstore.bench import eviction, filepages, supply
from tmemstore.bench.arena import Arena, Seen
from tmemstore.bench.fill import FillError, InterleavedFill
from tmemstore.bench.quantiles import interval, interval_ranks, median, spread
from tmemstore.bench.windows import dearest_start
from tmemstore.cli.main import main
from tmemstore.quantiles import carried
from tmemstore.report.tables import eviction_table

REGION = 8 << 20
FRAMES = REGION // 4096


@pytest.fixture(scope="module")
def pages_file(tmp_path_factory):
    """Pages of files of this machine: enough for an 8 MiB region at 20 and at 60 percent."""
    arena = Arena(8000, Seen())
    filepages.collect(filepages.blocks(np.random.default_rng(1)), arena, 8000)
    path = tmp_path_factory.mktemp("pages") / "pages.npy"
    np.save(path, arena.pages)
    return path


@pytest.fixture
def filled(pages_file, tmp_path):
    """A store of 8 MiB with a spill file, and a fill for it."""
    pages = np.load(pages_file)
    with (
        tmemstore.open(REGION, spill=tmp_path / "spill.img", writeback="back") as tm,
        closing(InterleavedFill(tm, pages[:2500], pages[2500:])) as fill,
    ):
        yield tm, fill


class TestSpread:
    def test_every_quantile_is_a_sample(self):
        samples = [11, 29, 3, 5, 17]
        assert spread(samples) == {"min": 3, "p50": 11, "p99": 29, "max": 29}
        assert median(samples) == 11

    def test_nothing_has_no_quantile(self):
        assert spread([]) == {"min": None, "p50": None, "p99": None, "max": None}
        assert median([]) is None


class TestIntervals:
    @pytest.mark.parametrize(
        ("count", "share", "ranks"),
        [
            # the sign test's table, 5 % two-sided
            (6, 0.5, (1, 6)),
            (15, 0.5, (4, 12)),
            (100, 0.5, (40, 61)),
            # 0.999 ^ 3688 is the first below 0.025
            (3687, 0.999, (3679, None)),
            (3688, 0.999, (3680, 3688)),
            # too few for either end
            (5, 0.5, (None, None)),
            (0, 0.5, (None, None)),
        ],
    )
    def test_ranks_are_those_of_the_binomial(self, count, share, ranks):
        assert interval_ranks(count, share) == ranks

    def test_they_hold_the_quantile_as_often_as_they_say(self):
        random = np.random.default_rng(7)
        held = 0
        for _ in range(1000):
            low, high = interval(sorted(random.exponential(size=200).tolist()), 0.9)
            held += low <= np.log(10) <= high
        assert 0.935 <= held / 1000 <= 0.985

    def test_a_hundred_thousand_are_no_trouble(self):
        low, high = interval_ranks(100_000, 0.999)
        assert 99_870 < low < 99_900 < high < 99_930

    def test_few_carry_little(self):
        assert carried(0) == []
        assert carried(99) == ["p50", "max"]
        assert carried(100) == ["p50", "p99", "max"]
        assert carried(1000) == ["p50", "p99", "p999", "max"]


class TestDearestWindow:
    COST = SimpleNamespace(clean_ns=5, drop_ns=10, object_ns=1000, byte_ps=2000)

    def chunks(self, uncopied, allocated=()):
        names = ["frames_clean", "objects_copied", "objects_uncopied", "bytes_uncopied", "frames_allocated"]
        rows = np.zeros(len(uncopied), dtype=[(name, np.uint32) for name in names])
        rows["objects_uncopied"] = uncopied
        rows["frames_allocated"][list(allocated)] = 1
        return rows

    def test_the_sum_over_its_chunks_decides(self):
        chunks = self.chunks([1, 9, 1, 6, 6, 0])
        assert dearest_start(chunks, self.COST, 512, 6 * 512) == 1 * 512
        assert dearest_start(chunks, self.COST, 1024, 6 * 512) == 3 * 512
        assert dearest_start(chunks, self.COST, 6 * 512, 6 * 512) == 0

    def test_bytes_and_drops_count_too(self):
        chunks = self.chunks([1, 1, 1])
        chunks["bytes_uncopied"] = [0, 0, 100]
        assert dearest_start(chunks, self.COST, 512, 3 * 512) == 2 * 512
        chunks["frames_clean"] = [0, 500, 0]
        assert dearest_start(chunks, self.COST, 512, 3 * 512) == 1 * 512

    def test_a_window_lies_in_the_region_whole(self):
        chunks = self.chunks([1, 2, 9])
        assert dearest_start(chunks, self.COST, 512, 2 * 512 + 100) == 512
        assert dearest_start(chunks, self.COST, 100, 2 * 512 + 100) == 2 * 512
        assert dearest_start(chunks, self.COST, 600, 2 * 512 + 100) == 512
        assert dearest_start(chunks, self.COST, 700, 2 * 512 + 100) == 0

    def test_windows_with_an_allocated_frame_are_passed_over(self):
        assert dearest_start(self.chunks([1, 9, 1, 3], allocated=[1]), self.COST, 512, 4 * 512) == 3 * 512
        with pytest.raises(ValueError, match="no window"):
            dearest_start(self.chunks([1, 9], allocated=[0]), self.COST, 1024, 2 * 512)


class TestFill:
    @pytest.mark.parametrize("percent", [0, 5, 20, 50, 60])
    def test_every_chunk_holds_the_ratio_within_two_points(self, filled, percent):
        tm, fill = filled
        fill.start(percent)
        assert tm.frame_counts().free == 0
        assert fill.worst_deviation_points() <= 2
        assert fill.share_percent() == pytest.approx(percent, abs=0.5)

    def test_it_still_does_after_a_history_and_after_allocations(self, filled):
        tm, fill = filled
        fill.start(40)
        for start in (512, None, 0):
            fill.churn(100, 300)
            with tm.alloc_contig("2MiB", start_pfn=start) as contig:
                assert contig.report.paged_out > 0
            assert fill.look_around(8) == 8
            fill.restore()
            assert tm.frame_counts().free == 0
            assert fill.worst_deviation_points() <= 2
            assert tm.stats().pages_spilled == 0
        tm.verify()
        assert fill.check_back(200) == 200

    def test_a_page_that_does_not_come_back_is_noticed(self, filled):
        _tm, fill = filled
        fill.start(20)
        index = int(fill.anon.holding()[0])
        fill.anon.pages[index, 17] ^= 1
        with pytest.raises(FillError, match=f"page {index} came back with other bytes"):
            fill.check_back(fill.anon.count)

    def test_pages_that_run_out_are_an_error_that_says_what_to_do(self, filled):
        tm, _fill = filled
        pages = np.arange(300 * 4096, dtype=np.uint64).astype(np.uint8).reshape(300, 4096)
        with pytest.raises(tmemstore.EnvironmentLacks, match="pages ran out"):
            InterleavedFill(tm, pages, pages).start(50)


class TestSupply:
    def test_a_spill_file_of_ours_is_removed_and_a_foreign_one_kept(self, tmp_path):
        with supply.spill_file(None, str(tmp_path / "not" / "there")) as (path, temporary):
            assert temporary
            assert tmp_path in type(tmp_path)(path).parents
        assert list(tmp_path.iterdir()) == []
        mine = tmp_path / "mine"
        with supply.spill_file(str(mine), ".") as (path, temporary):
            assert not temporary
            mine.write_bytes(b"x")
        assert not mine.exists()
        mine.write_bytes(b"x")
        with supply.spill_file(str(mine), "."):
            pass
        assert mine.exists()

    def test_more_than_the_memory_is_refused_before_anything_is_taken(self):
        with pytest.raises(tmemstore.EnvironmentLacks, match="smaller --region"):
            supply.check_memory(200 << 40, [0, 100], "live")

    def test_pages_are_collected_by_how_well_they_compress(self, pages_file):
        raw = supply.collect(4 << 20, [50], "none", str(pages_file))
        packed = supply.collect(4 << 20, [50], "lz4", str(pages_file))
        assert len(raw.anon_pages) < len(packed.anon_pages)
        assert len(raw.file_pages) >= 512


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"region_bytes": 4096}, "at least 1 MiB"),
        ({"region_bytes": 5000}, "multiple of 4096"),
        ({"sizes_bytes": ()}, "names no size"),
        ({"sizes_bytes": (0,)}, "--size is 0 bytes"),
        ({"sizes_bytes": (1 << 40,)}, "larger than the region"),
        ({"region_bytes": 256 << 30}, "less than 256 GiB"),
        ({"escape_bytes": 256 << 30}, "--escape 256GiB; it must be less than 256 GiB"),
        ({"ratios": (101,)}, "0 to 100"),
        ({"ratios": ()}, "0 to 100"),
        ({"repeats": 0}, "at least 1"),
        ({"deadline_ns": 0}, "longer than nothing"),
    ],
)
def test_arguments_that_cannot_be_measured_are_refused_by_name(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        eviction.Arguments(**change)


def run_cli(pages_file, out, *more):
    arguments = ["--region", "8MiB", "--size", "4MiB,8MiB", "--ratios", "20,60", "--repeats", "2"]
    return main(["bench", "eviction", *arguments, "--pages", str(pages_file), "--out", str(out), "-q", *more])


class TestWholeBench:
    KEYS = frozenset(
        {
            "frontswap_percent",
            "size_bytes",
            "repeats",
            "pages_dropped",
            "pages_paged_out",
            "bytes_written",
            "predicted_ns",
            "elapsed_ns",
            "cheapest_ns",
            "endings",
        }
    )

    def test_one_json_document_with_a_row_for_each_ratio_and_size(self, pages_file, tmp_path, capfd):
        assert run_cli(pages_file, tmp_path / "out", "--format", "json") == 0
        output, remarks = capfd.readouterr()
        assert remarks == ""
        document = json.loads(output)
        assert document == json.loads((tmp_path / "out" / "eviction.json").read_text(encoding="utf-8"))
        assert document["schema"] == "tmemstore.bench.eviction/1"
        assert {"machine", "arguments", "rows", "commit", "remarks"} <= set(document)
        assert document["arguments"]["seed"] == 1
        assert document["command"].startswith("tmemstore bench eviction --")
        rows = document["rows"]
        assert [(row["frontswap_percent"], row["size_bytes"]) for row in rows] == [
            (20, 4 << 20),
            (20, 8 << 20),
            (60, 4 << 20),
            (60, 8 << 20),
        ]
        for row in rows:
            assert set(row) >= self.KEYS
            assert row["endings"] == {"met": 2, "refused": 0, "aborted": 0}
            assert row["worst_chunk_deviation_points"] <= 2
            assert row["interleaved"]
            assert row["verified"]
            assert row["pages_checked"] > 0
            assert row["p99_of_fewer_than_100"]
            for spread_ns in (row["elapsed_ns"], row["cheapest_ns"]):
                assert list(spread_ns) == ["min", "p50", "p99", "max"]
                assert all(type(value) is int for value in spread_ns.values())
            clean_frames = (100 - row["frontswap_percent"]) / 100 * row["size_bytes"] / 4096
            assert row["pages_dropped"] == pytest.approx(clean_frames, rel=0.1)
            assert row["bytes_written"] >= row["pages_paged_out"] * 200
        assert rows[3]["pages_paged_out"] > rows[1]["pages_paged_out"]
        assert rows[1]["elapsed_ns"] == rows[1]["cheapest_ns"]

    def test_nothing_is_left_but_the_results(self, pages_file, tmp_path, capfd, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert run_cli(pages_file, "out", "--format", "table") == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
        assert {"eviction.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
        table = capfd.readouterr().out
        assert max(len(line) for line in table.splitlines()) <= 80
        assert " 80:20" in table

    def test_a_deadline_that_is_too_short_refuses_and_that_is_fine(self, pages_file, tmp_path, capfd):
        assert run_cli(pages_file, tmp_path, "--deadline", "1us", "--format", "json") == 0
        rows = json.loads(capfd.readouterr().out)["rows"]
        assert all(row["endings"] == {"met": 0, "refused": 2, "aborted": 0} for row in rows)
        assert all(row["elapsed_ns"]["p50"] is None and row["ns_per_page"] is None for row in rows)

    def test_in_virtual_time_a_slow_device_takes_what_it_would(self, pages_file, tmp_path, capfd):
        assert run_cli(pages_file, tmp_path, "--storage", "emulate:sd-a1", "--virtual", "--format", "json") == 0
        document = json.loads(capfd.readouterr().out)
        assert document["arguments"]["virtual"] is True
        written = [row for row in document["rows"] if row["bytes_written"]]
        assert written
        # 50 MB/s, and no SD card of class A1 writes faster.
        assert all(row["elapsed_ns"]["min"] > row["bytes_written"] * 20 for row in written)
        with pytest.raises(ValueError, match="emulated"):
            eviction.Arguments(region_bytes=1 << 20, sizes_bytes=(1 << 20,), virtual=True)

    def test_an_emulated_device_needs_no_spill_file(self, pages_file, tmp_path, capfd):
        emulated = ["--storage", "emulate:ufs3.1", "--escape", "128KiB", "--format", "json"]
        assert run_cli(pages_file, tmp_path, *emulated) == 0
        document = json.loads(capfd.readouterr().out)
        assert document["machine"]["spill"]["filesystem"] is None
        assert document["arguments"]["storage"] == "emulate:ufs3.1"
        assert document["arguments"]["escape_bytes"] == 128 << 10
        ratios = sorted(row["predicted_over_elapsed"] for row in document["rows"])
        assert 0 < ratios[0] <= document["predicted_over_elapsed_p50"] <= ratios[-1]
        assert all(path.name.startswith("eviction.") for path in tmp_path.iterdir())
        assert "device emulate:ufs3.1, no deadline" in eviction_table(document)

    @pytest.mark.parametrize("codec", ["none", "zstd"])
    def test_other_codecs(self, pages_file, tmp_path, capfd, codec):
        arguments = ["--region", "4MiB", "--size", "1MiB", "--ratios", "50", "--repeats", "1", "--codec", codec]
        arguments += ["--pages", str(pages_file), "--out", str(tmp_path), "-q", "--format", "json"]
        assert main(["bench", "eviction", *arguments]) == 0
        (row,) = json.loads(capfd.readouterr().out)["rows"]
        assert row["endings"]["met"] == 1
        assert row["worst_chunk_deviation_points"] <= 2

    def test_the_machine_is_described_without_its_name(self, pages_file, tmp_path, capfd):
        arguments = ["--region", "2MiB", "--size", "2MiB", "--ratios", "0", "--repeats", "1", "--format", "json"]
        assert main(["bench", "eviction", *arguments, "--pages", str(pages_file), "--out", str(tmp_path), "-q"]) == 0
        document = json.loads(capfd.readouterr().out)
        machine = document["machine"]
        assert {"kernel", "cpu", "cores", "memory_bytes", "python", "tmemstore", "spill"} <= set(machine)
        assert {"load_average_before", "swap_used_bytes_before"} <= set(machine)
        assert set(machine["spill"]) == {"filesystem", "device", "direct"}
        assert platform.node() not in set(map(str, machine.values()))

    def test_repeats_that_spread_are_said_in_the_result_and_after_the_run(
        self, pages_file, tmp_path, capfd, monkeypatch
    ):
        monkeypatch.setattr("tmemstore.bench.machine._SPREAD_PERCENT", -1)
        arguments = ["--region", "2MiB", "--size", "2MiB", "--ratios", "0", "--pages", str(pages_file)]
        arguments += ["--out", str(tmp_path), "--format", "json"]
        assert main(["bench", "eviction", *arguments, "--repeats", "2"]) == 0
        output, remarks = capfd.readouterr()
        said = [text for text in json.loads(output)["remarks"] if text.startswith("noisy figures: 1 of 1 rows")]
        assert "most 2MiB at 100:0" in said[0]
        assert said[0] in remarks
        assert main(["bench", "eviction", *arguments, "--repeats", "1"]) == 0
        assert "noisy figures" not in capfd.readouterr().err


class TestFullDisk:
    MODEL = ("--storage", "emulate:emmc5.1", "--virtual", "--format", "json")

    def test_rows_are_on_disk_before_anything_is_drawn(self, pages_file, tmp_path, capsys):
        pytest.importorskip("matplotlib", reason="pictures need the extra tmemstore[plot]")
        with files_of_at_most(12 << 10):
            assert run_cli(pages_file, tmp_path, *self.MODEL) == 3
        printed, said = capsys.readouterr()
        assert [path.name for path in tmp_path.iterdir()] == ["eviction.json"]
        assert json.loads(printed) == json.loads((tmp_path / "eviction.json").read_text(encoding="utf-8"))
        assert said == (
            f"tmemstore bench eviction: --out {tmp_path} cannot be written to (File too large); make room. The "
            f"result is in {tmp_path / 'eviction.json'}\n"
        )

    def test_rows_that_no_file_takes_are_printed(self, pages_file, tmp_path, capsys):
        with files_of_at_most(0):
            assert run_cli(pages_file, tmp_path, *self.MODEL) == 3
        printed, said = capsys.readouterr()
        assert list(tmp_path.iterdir()) == []
        assert len(json.loads(printed)["rows"]) == 4
        assert said.endswith("make room. The result was printed, and is in no file\n")
