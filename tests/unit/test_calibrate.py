"""Calibration on a small budget: what is measured, what is written at most, what is left behind and left alone."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmemstore
from support import files_of_at_most
from tmemstore.bench import machine
from tmemstore.cli.main import build_parser, main
from tmemstore.report.profile import profile_table
from tmemstore.storage import calibrate, cells, cpu, plan, target
from tmemstore.storage.fit import fit_lane, fit_line
from tmemstore.storage.profile import LANES, StorageProfile

LIMIT = 16 << 20
BUDGET = 400_000_000


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """One small calibration, with the bytes that the system was asked to write."""
    folder = tmp_path_factory.mktemp("calibrate")
    counted = []
    whole = os.pwrite

    def count(fd, data, offset):
        counted.append(len(data))
        return whole(fd, data, offset)

    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", count)
        calibration = calibrate.measure(
            folder / "spill.img",
            budget_ns=BUDGET,
            limit_bytes=LIMIT,
            progress=lambda text, behind: steps.append((text, behind)),
        )
    assert list(folder.iterdir()) == [], "nothing is left behind"
    return calibration, sum(counted), steps


class TestCalibration:
    def test_every_lane_was_measured(self, found):
        profile = found[0].profile
        assert profile.source == "measured"
        for name in LANES:
            lane = getattr(profile, name)
            assert lane.byte_ps > 0
            assert 0 < lane.request_time_ns(4096) < lane.request_time_ns(512 << 10)
            assert lane.quantile_permille(0.5) <= lane.quantile_permille(0.999)
        assert 0 < profile.sync_ns[0] <= profile.sync_ns[1]

    def test_what_was_written_was_counted_and_planned(self, found):
        calibration, counted, _ = found
        assert calibration.written_bytes == counted <= calibrate.planned_bytes(LIMIT) <= LIMIT

    def test_the_grid_has_its_cells(self, found):
        grid = {(cell.plan.pattern, cell.plan.depth, cell.plan.block_bytes) for cell in found[0].cells}
        for name in LANES:
            assert (name, plan.LANE_DEPTHS[name], 4096) in grid
        for cell in found[0].measurements()["cells"]:
            assert 0 < cell["p50_ns"] <= cell["p99_ns"] <= cell["p999_ns"] <= cell["max_ns"]
            assert cell["bytes"] == cell["requests"] * cell["block_bytes"]

    def test_the_profile_knows_its_device_and_reads_back(self, found, tmp_path):
        profile = found[0].profile
        profile.check_device(tmp_path / "spill.img")
        assert StorageProfile.from_document(json.loads(json.dumps(profile.to_document()))) == profile
        assert any("350 ns" in note for note in profile.notes)

    def test_progress_never_runs_back(self, found):
        behind = [fraction for _, fraction in found[2]]
        assert behind == sorted(behind)
        assert (behind[0], behind[-1]) == (0.0, 1.0)

    def test_the_table_fits_a_terminal(self, found):
        calibration = found[0]
        document = calibration.profile.to_document()
        tables = [profile_table(document), profile_table(document | {"measurements": calibration.measurements()})]
        tables.append(profile_table(document | {"sync": None, "cpu": None, "notes": []}))
        assert max(len(line) for table in tables for line in table.splitlines()) <= 80
        assert "random write" in tables[0]
        assert "CPU: not measured" in tables[2]


class TestPlan:
    @given(st.integers(plan.LIMIT_MIN_BYTES, 1 << 40))
    def test_no_more_is_planned_than_allowed_and_most_of_it(self, limit_bytes):
        assert 0.85 * limit_bytes < plan.planned_bytes(limit_bytes) <= limit_bytes

    @pytest.mark.parametrize("limit_bytes", [plan.LIMIT_MIN_BYTES - 1, 0, -1])
    def test_too_low_a_limit_is_refused(self, limit_bytes, tmp_path):
        with pytest.raises(ValueError, match="at least 16MiB"):
            calibrate.calibrate(tmp_path / "spill.img", limit_bytes=limit_bytes)

    def test_no_time_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="needs time"):
            calibrate.calibrate(tmp_path / "spill.img", budget_ns=0)

    def test_every_lane_has_all_sizes_at_both_depths(self):
        assert len(plan.plan().cells) == len(LANES) * 5 * 2
        assert all(cell.requests for cell in plan.plan(LIMIT).cells)


class TestTarget:
    def test_a_file_that_is_there_is_not_touched(self, tmp_path):
        path = tmp_path / "precious"
        path.write_bytes(b"something else")
        with target.open_target(path, 1 << 20) as opened:
            os.pwrite(opened.fd, memoryview(bytearray(4096)) if not opened.direct else b"", 0)
            assert [entry.name for entry in tmp_path.iterdir()] == ["precious"]
        assert path.read_bytes() == b"something else"

    def test_a_folder_will_do(self, tmp_path):
        with target.open_target(tmp_path, 1 << 20) as opened:
            assert opened.start_bytes == 0
        assert list(tmp_path.iterdir()) == []

    def test_a_link_and_a_folder_that_is_not_there_are_refused(self, tmp_path):
        (tmp_path / "link").symlink_to("elsewhere")
        for path in (tmp_path / "link", tmp_path / "no" / "spill.img"):
            with pytest.raises(tmemstore.SpillError, match="cannot calibrate there"), target.open_target(path, 4096):
                pass

    def test_what_no_store_would_open_is_refused(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", "/dev/null"):
            with pytest.raises(tmemstore.SpillError, match="cannot calibrate there"), target.open_target(path, 4096):
                pass

    def test_a_full_file_system_is_refused_before_anything_is_written(self, tmp_path):
        with pytest.raises(tmemstore.SpillError, match="free"), target.open_target(tmp_path, 1 << 62):
            pass

    def test_a_foreign_device_is_refused_by_the_store(self, tmp_path, monkeypatch):
        monkeypatch.setattr(target, "is_block_device", lambda _path: True)
        path = tmp_path / "device"
        path.write_bytes(b"a file system".ljust(4 << 20))
        with pytest.raises(tmemstore.SpillError, match=" overwrite=True"), target.open_target(path, 1 << 20):
            pass
        assert path.read_bytes().startswith(b"a file system")

    def test_without_o_direct_writes_are_made_durable(self, tmp_path, monkeypatch):
        synced = []
        whole, sync = os.pwrite, os.fdatasync
        monkeypatch.setattr(target, "_try_direct", lambda _fd, _start: False)
        monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(sync(fd)))
        wrote = []
        monkeypatch.setattr(os, "pwrite", lambda *arguments: wrote.append(whole(*arguments)) or wrote[-1])
        found = calibrate.measure(tmp_path / "spill.img", budget_ns=BUDGET // 4, limit_bytes=LIMIT)
        assert not found.direct
        assert len(synced) == len(wrote)
        assert any("no O_DIRECT" in note for note in found.profile.notes)


class TestFailingDevice:
    @pytest.mark.parametrize("name", ["pwrite", "preadv", "fdatasync"])
    def test_a_request_that_fails_is_a_spill_error(self, tmp_path, monkeypatch, name):
        calls = []

        def fail(*_arguments):
            calls.append(name)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, name, fail)
        with pytest.raises(tmemstore.SpillError, match="Input/output error"):
            calibrate.measure(tmp_path / "spill.img", budget_ns=BUDGET, limit_bytes=LIMIT)
        assert calls
        assert list(tmp_path.iterdir()) == []

    def test_a_short_write_is_a_spill_error(self, tmp_path, monkeypatch):
        whole = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: min(4096, whole(fd, data, offset)))
        with pytest.raises(tmemstore.SpillError, match="4KiB of 512KiB were written"):
            calibrate.measure(tmp_path / "spill.img", budget_ns=BUDGET, limit_bytes=LIMIT)

    def test_a_device_that_does_not_answer_is_given_up(self, tmp_path, monkeypatch):
        monkeypatch.setattr(cells, "_PATIENCE_NS", 1)
        monkeypatch.setattr(cells, "_NAP_S", 0.001)
        hang = cells.threading.Event()
        monkeypatch.setattr(os, "preadv", lambda *_arguments: hang.wait(20))
        try:
            with pytest.raises(tmemstore.SpillError, match="does not answer"):
                calibrate.measure(tmp_path / "spill.img", budget_ns=BUDGET, limit_bytes=LIMIT)
        finally:
            hang.set()


class TestFit:
    def test_a_line_is_found_whatever_one_size_does(self):
        points = [(size << 10, 50_000 + (size << 10) * 10.0) for size in (4, 16, 64, 256, 512)]
        assert fit_line(points) == (50_000, 10_000)
        for at in range(len(points)):
            disturbed = [(size, time_ns * (9 if number == at else 1)) for number, (size, time_ns) in enumerate(points)]
            assert fit_line(disturbed) == (50_000, 10_000)

    @given(st.lists(st.tuples(st.integers(1, 1 << 20), st.floats(1, 1e12)), min_size=1, max_size=8))
    def test_coefficients_are_never_negative(self, points):
        request_ns, byte_ps = fit_line(points)
        assert request_ns >= 0
        assert byte_ps >= 1

    def test_the_spread_is_measured_over_fitted(self):
        lane = fit_lane([(1000, 2000.0)], [(1000, 1000.0), (1000, 2000.0), (1000, 8000.0)])
        assert (lane.request_ns, lane.byte_ps, lane.spread_permille) == (0, 2000, (500, 1000, 4000))

    def test_no_points_have_no_line(self):
        with pytest.raises(ValueError, match="no points"):
            fit_line([])


class TestCpu:
    def test_the_quick_form_measures_every_figure(self):
        profile = cpu.measure_cpu(quick=True)
        for name in ("t0_ns", "frame_ns", "drop_ns", "zero_ns", "compress_ns"):
            assert getattr(profile, name) >= 1
        assert profile.object_ns > 350
        assert 0 < profile.compress_permille < 1100

    def test_without_the_codecs_compressing_again_saves_nothing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "zstandard", None)
        assert cpu.measure_cpu(quick=True).compress_permille == 1000


class TestCommand:
    def test_json_is_one_document_and_loads(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(machine, "remarks", lambda _before: ["noisy machine: much else goes on"])
        arguments = ["calibrate", "--spill", "spill.img", "--budget", "400ms", "--limit", "16MiB"]
        assert main([*arguments, "--output", "card.json", "--format", "json"]) == 0
        output, remarks = capsys.readouterr()
        assert "writing at most 16 MiB" in remarks
        document = json.loads(output)
        assert document == json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
        assert document["arguments"]["limit_bytes"] == LIMIT
        assert document["machine"]["cores"] >= 1
        assert document["measurements"]["cells"]
        assert document["arguments"]["seed"] >= 0
        assert {"commit", "load_average_before", "swap_used_bytes_before"} <= {*document, *document["machine"]}
        assert document["command"] == shlex.join(["tmemstore", *arguments, "--output", "card.json", "--format", "json"])
        # What makes the machine noisy is said in the result and by the command.
        assert document["remarks"] == ["noisy machine: much else goes on"]
        assert "noisy machine: much else goes on" in remarks
        assert [path.name for path in tmp_path.iterdir()] == ["card.json"]
        assert main(["calibrate", "--from", "card.json", "--quiet"]) == 0
        shown, remarks = capsys.readouterr()
        assert shown == profile_table(StorageProfile.load("card.json").to_document())
        assert remarks == ""

    def test_what_no_file_takes_is_printed(self, found, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        profile = found[0].profile
        profile.save("card.json")
        with files_of_at_most(0):
            assert main(["calibrate", "--from", "card.json", "--output", "again.json", "--quiet"]) == 3
        shown, said = capsys.readouterr()
        assert shown == profile_table(profile.to_document())
        assert said.startswith("tmemstore calibrate: --output again.json cannot be written to (File too large); make")
        assert [path.name for path in tmp_path.iterdir()] == ["card.json"]

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_an_interrupted_calibration_leaves_nothing(self, tmp_path, number, code):
        command = [sys.executable, "-m", "tmemstore.cli.main", "calibrate", "--spill", "spill.img"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as calibration:
            try:
                assert "writing at most" in calibration.stderr.readline()
                time.sleep(0.3)  # into the measurement
                calibration.send_signal(number)
                _, remarks = calibration.communicate(timeout=30)
            finally:
                calibration.kill()
        assert calibration.returncode == code
        assert "Traceback" not in remarks
        assert list(tmp_path.iterdir()) == []

    def test_its_defaults_are_those_of_the_function(self):

        options = build_parser().parse_args(["calibrate", "--spill", "x"])
        assert (options.budget, options.limit) == (plan.DEFAULT_BUDGET_NS, plan.DEFAULT_LIMIT_BYTES)


def test_neither_the_package_nor_the_quick_measurement_needs_numpy():

    code = (
        "import sys, tmemstore; from tmemstore.storage.cpu import measure_cpu; measure_cpu(quick=True)\n"
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
