"""Sweeps: the same rows on any executor, in any order, and after an interruption."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tmemstore import Contract, EnvironmentLacks, ProfileError, TraceError
from tmemstore.storage.presets import PRESETS
from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.format import TraceWriter
from tmemstore.trace.schedule import Allocate
from tmemstore.trace.settings import Settings
from tmemstore.tuning import executors, sweep
from tmemstore.tuning.sweep import Source, State, job_text, run_job, settings_of

MIB = 1 << 20
CONTRACT = Contract(2 * MIB, "50ms")


def events(count=20_000, seed=1):
    """Both kinds, of 3000 pages each, over ten seconds."""
    random = np.random.default_rng(seed)
    records = np.zeros(count, RECORD)
    records["time_ns"] = np.sort(random.integers(0, 10**10, count))
    records["op"] = random.choice([Op.PUT_PAGE, Op.GET_PAGE, Op.STORE, Op.LOAD], count)
    records["index"] = (3000 * random.random(count) ** 2).astype(np.uint32)
    records["object"] = records["op"] <= Op.GET_PAGE
    records["size"][records["op"] == Op.STORE] = 1300
    return records


class Stopped(Exception):
    """What `stop` raises."""


def stop(_what, _fraction):
    raise Stopped


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "both.tmt"
    with TraceWriter(path, {"kind": "seeded"}) as trace:
        trace.write(events())
    return Source.of(path)


def settings(*percents, **others):
    return [
        Settings(region_bytes=4 * MIB, contract=CONTRACT, frontswap_percent=percent, **others) for percent in percents
    ]


@pytest.fixture(scope="module")
def expected(source):
    with ThreadPoolExecutor(1) as pool:
        return sweep.sweep(source, settings(0, 20, 60), pool)


class TestRows:
    def test_a_row_says_what_became_of_its_settings(self, expected):
        assert [row["frontswap_percent"] for row in expected] == [0, 20, 60]
        for row in expected:
            assert row["impossible"] is None
            assert row["allocations"]["count"] == 1000
            assert row["bound"]["max_ns"] <= CONTRACT.deadline_ns
            assert row["cleancache"]["gets"] > 4000
        assert expected[0]["frontswap"]["hits_region"] < expected[1]["frontswap"]["hits_region"]
        assert len({row["saved_ns"] for row in expected}) == 3

    def test_settings_that_a_contract_makes_impossible_are_a_row_with_the_sentence(self, source):
        impossible = replace(settings(100)[0], writeback="back", contract=Contract(4 * MIB, "5ms"))
        row = json.loads(run_job(job_text(source, impossible)))
        assert row == {
            "frontswap_percent": 100,
            "writeback": "back",
            "codec": "lz4",
            "eviction": "sieve",
            "admission_filter": True,
            "impossible": row["impossible"],
        }
        assert "cannot be honoured" in row["impossible"]

    def test_settings_travel_as_they_are(self, source):
        whole = Settings(
            region_bytes=8 * MIB,
            contract=Contract(2 * MIB, 50_000_000, kind="hard", zero=True),
            allocate=Allocate.parse("1MiB@1s:5ms"),
            frontswap_percent="auto",
            rate=1e6,
            seed=2**64 - 1,
            admission_filter=False,
            only="frontswap",
        )
        assert settings_of(json.loads(job_text(source, whole))["settings"]) == whole
        assert settings_of(json.loads(job_text(source, Settings(region_bytes=MIB)))["settings"]) == Settings(
            region_bytes=MIB
        )


class TestExecutors:
    @pytest.mark.parametrize(("where", "jobs"), [("threads", 3), ("processes", 2)])
    def test_rows_are_the_same_from_any_executor(self, source, expected, where, jobs):
        with executors.executor(where, jobs) as pool:
            assert sweep.sweep(source, settings(0, 20, 60), pool) == expected

    def test_rows_are_the_same_from_a_dask_cluster(self, source, expected):
        distributed = pytest.importorskip("distributed", reason="the extra tmemstore[dask] is not installed")
        with (
            distributed.LocalCluster(
                n_workers=1,
                threads_per_worker=2,
                processes=False,
                dashboard_address=None,
                host="127.0.0.1",
                protocol="tcp",
            ) as cluster,
            executors.executor(cluster.scheduler_address.replace("tcp", "dask")) as pool,
        ):
            assert sweep.sweep(source, settings(0, 20, 60), pool) == expected

    def test_order_changes_nothing(self, source, expected):
        with ThreadPoolExecutor(1) as pool:
            assert sweep.sweep(source, settings(60, 0, 20), pool) == [expected[at] for at in (2, 0, 1)]

    def test_jobs_that_have_not_begun_are_dropped_after_an_error(self, source, monkeypatch):
        ran = []

        def run_job(job):
            ran.append(job)
            time.sleep(0.02)  # whoever raises is to have its turn
            return "{}"

        monkeypatch.setattr(sweep, "run_job", run_job)
        with pytest.raises(Stopped), executors.executor("threads", 1) as pool:
            sweep.sweep(source, settings(*range(101)) * 20, pool, show=stop)
        assert 1 <= len(ran) < 2020

    def test_a_pool_of_processes_ends_whole_after_an_error(self, source, monkeypatch):
        """Its own thread died, leaving its queues behind, when jobs were cancelled while it broke: one time in four."""
        died = []
        monkeypatch.setattr(threading, "excepthook", died.append)
        for _ in range(6):
            with pytest.raises(Stopped), executors.executor("processes", 2) as pool:
                sweep.sweep(source, settings(*range(101)) * 20, pool, show=stop)
        assert died == []

    @pytest.mark.parametrize("again", [signal.SIGINT, signal.SIGTERM])
    def test_a_pool_of_processes_ends_whole_though_it_is_interrupted_again(self, source, monkeypatch, again):
        """Its processes outlived it and found no queues, or it hung: whoever keeps Ctrl-C down sends several."""
        ended, shutdown = [], ProcessPoolExecutor.shutdown

        def struck(pool, **how):
            if not ended:
                os.kill(os.getpid(), again)
            ended.append(shutdown(pool, **how))

        def interrupt(_what, _fraction):
            raise KeyboardInterrupt

        monkeypatch.setattr(ProcessPoolExecutor, "shutdown", struck)
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            with pytest.raises(KeyboardInterrupt), executors.executor("processes", 2) as pool:
                sweep.sweep(source, settings(*range(101)), pool, show=interrupt)
        finally:
            signal.signal(signal.SIGTERM, before)
        assert ended

    @pytest.mark.parametrize("where", ["", "process", "dask://", "dask://host", "dask://host:port", "http://host:1"])
    def test_what_is_no_executor_is_refused(self, where):
        with pytest.raises(ValueError, match="is no executor"), executors.executor(where):
            pass
        with pytest.raises(ValueError, match="at least 1"), executors.executor("threads", 0):
            pass

    def test_a_cluster_that_does_not_answer_is_what_the_environment_lacks(self, monkeypatch):
        pytest.importorskip("distributed", reason="the extra tmemstore[dask] is not installed")
        monkeypatch.setattr(executors, "_CONNECT_S", 0.2)
        with pytest.raises(EnvironmentLacks, match="no Dask scheduler"), executors.executor("dask://127.0.0.1:1"):
            pass

    def test_without_dask_the_way_to_it_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(EnvironmentLacks, match="pip install"), executors.executor("dask://127.0.0.1:1"):
            pass

    def test_a_worker_with_another_version_or_another_trace_says_so(self, source):
        job = json.loads(job_text(source, settings(0)[0]))
        with pytest.raises(EnvironmentLacks, match="install the same version"):
            run_job(json.dumps(job | {"version": "0"}))
        with pytest.raises(TraceError, match="another file"):
            run_job(json.dumps(job | {"size_bytes": 1}))
        with pytest.raises(ProfileError, match="another profile"):
            run_job(json.dumps(job | {"profile": "0"}))

    def test_an_error_in_a_worker_is_raised_and_ends_the_sweep(self, tmp_path):
        path = tmp_path / "cut.tmt"
        with TraceWriter(path, {}) as trace:
            trace.write(events(100))
        source = Source.of(path)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        with executors.executor("processes", 1) as pool, pytest.raises(TraceError, match=r"cut\.tmt"):
            sweep.sweep(source, settings(0, 20), pool)


class TestState:
    def test_rows_that_are_done_are_not_run_again(self, source, expected, tmp_path, monkeypatch):
        path = tmp_path / "rows.jsonl"
        with State(path) as state, ThreadPoolExecutor(1) as pool:
            sweep.sweep(source, settings(0, 20), pool, state=state)
        ran = []
        monkeypatch.setattr(sweep, "run_job", lambda text: ran.append(text) or run_job(text))
        with State(path) as state, ThreadPoolExecutor(1) as pool:
            assert sweep.sweep(source, settings(0, 20, 60), pool, state=state) == expected
            assert [settings_of(json.loads(text)["settings"]).frontswap_percent for text in ran] == [60]
            state.remove()
        assert not path.exists()

    def test_a_line_that_was_cut_off_is_run_again(self, source, expected, tmp_path):
        path = tmp_path / "rows.jsonl"
        with State(path) as state, ThreadPoolExecutor(1) as pool:
            sweep.sweep(source, settings(0, 20), pool, state=state)
        path.write_bytes(path.read_bytes()[:-20])
        jobs = [job_text(source, each) for each in settings(0, 20)]
        with State(path) as state:
            assert [state.get(source, job) for job in jobs] == [expected[0], None]
            state.add(source, jobs[1], expected[1])
        with State(path) as state:
            assert [state.get(source, job) for job in jobs] == expected[:2]

    def test_rows_of_another_trace_setting_or_program_are_not_used(self, source, expected, tmp_path):
        path = tmp_path / "rows.jsonl"
        job = job_text(source, settings(0)[0])
        with State(path, "one") as state:
            state.add(source, job, expected[0])
        with State(path, "one") as state:
            assert state.get(source, job) == expected[0]
            assert state.get(source, job_text(source, settings(0, seed=2)[0])) is None
            assert state.get(Source(source.path, source.size_bytes, "0"), job) is None
        with State(path, "two") as state:
            assert state.get(source, job) is None

    def test_rows_of_another_profile_under_the_same_name_are_not_used(self, source, expected, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        PRESETS["emmc5.1"].save(Path("mine.json"))
        wanted = settings(0, storage="mine.json")[0]
        job = job_text(source, wanted)
        assert json.loads(job)["settings"]["storage"] == str(tmp_path / "mine.json")
        assert json.loads(run_job(job)) == expected[0]
        with State(tmp_path / "rows.jsonl") as state:
            state.add(source, job, expected[0])
            assert state.get(source, job_text(source, wanted)) == expected[0]
            PRESETS["sd-a1"].save(Path("mine.json"))
            assert state.get(source, job_text(source, wanted)) is None

    def test_foreign_lines_are_passed_over(self, tmp_path, source):
        path = tmp_path / "rows.jsonl"
        path.write_text('[]\n5\n{"schema": 1}\n{"schema": "tmemstore.sweep/1"}\nnot json\n', encoding="utf-8")
        with State(path) as state:
            assert state.get(source, job_text(source, settings(0)[0])) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_sweep_goes_on_where_it_was_and_leaves_no_process(source, tmp_path, number):
    path = tmp_path / "rows.jsonl"
    script = tmp_path / "driver.py"
    script.write_text(
        "import sys\n"
        "from dataclasses import replace\n"
        "from tmemstore import Contract\n"
        "from tmemstore.trace.settings import Settings\n"
        "from tmemstore.tuning import executors, sweep\n"
        "if __name__ == '__main__':\n"
        "    source = sweep.Source.of(sys.argv[1])\n"
        "    base = Settings(region_bytes=8 << 20)\n"
        "    wanted = [replace(base, frontswap_percent=p, seed=s) for s in range(99) for p in range(101)]\n"
        "    from pathlib import Path\n"
        "    with sweep.State(Path(sys.argv[2])) as state, executors.executor('processes', 2) as pool:\n"
        "        sweep.sweep(source, wanted, pool, state=state)\n",
        encoding="utf-8",
    )
    with subprocess.Popen(
        [sys.executable, str(script), source.path, str(path)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        try:
            end = time.monotonic() + 60
            while (not path.exists() or path.read_bytes().count(b"\n") < 3) and time.monotonic() < end:
                time.sleep(0.02)
            os.killpg(running.pid, number) if number == signal.SIGINT else running.send_signal(number)
            said = running.communicate(timeout=60)[1].decode()
        finally:
            running.kill()
    assert said.count("Traceback") == (1 if number == signal.SIGINT else 0), said
    while group(running.pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert group(running.pid) == set()
    with State(path) as state:
        assert len(state._rows) >= 3


def group(leader):
    """Processes of a session that are alive."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.add(int(entry.name))
    return found
