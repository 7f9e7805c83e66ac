"""The deadline bench: what a rate is worth, a load with a memory, each scenario on a tiny region in virtual time."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import tmemstore
from tmemstore.bench import deadline, filepages
from tmemstore.bench.arena import Arena, Seen
from tmemstore.bench.deadline_arguments import SCENARIOS, Arguments
from tmemstore.bench.load import Load, LoadError
from tmemstore.bench.outcome import Outcome
from tmemstore.cli import bench_deadline
from tmemstore.cli.main import main
from tmemstore.rates import upper_bound
from tmemstore.storage.cpu import measure_cpu

ALLOCATIONS = {"pairs": 3, "capacity": 1}


@pytest.fixture(scope="module")
def pages_file(tmp_path_factory):
    """Pages of files of this machine, as many as the bench samples."""
    arena = Arena(8192, Seen())
    filepages.collect(filepages.blocks(np.random.default_rng(1)), arena, 8192)
    path = tmp_path_factory.mktemp("pages") / "pages.npy"
    np.save(path, arena.pages)
    return path


@pytest.fixture(scope="module")
def cpu():
    return measure_cpu(quick=True)


@pytest.fixture
def same_cpu(monkeypatch, cpu):
    """Of two runs only the CPU is measured: let it be the same."""
    monkeypatch.setattr("tmemstore.storage.cpu.measure_cpu", lambda *, quick: cpu if quick else None)


def arguments(pages_file, scenario, **changes):
    return Arguments(
        **{
            "scenario": scenario,
            "allocations": ALLOCATIONS.get(scenario, 9),
            "region_bytes": 8 << 20,
            "contract_bytes": 2 << 20,
            "deadline_ns": 20_000_000,
            "kind": "soft" if scenario in {"pairs", "capacity", "unbound"} else "hard",
            "escape_bytes": 1 << 20,
            "pages": str(pages_file),
        }
        | changes
    )


class TestUpperBound:
    @pytest.mark.parametrize(
        ("misses", "trials", "expected"),
        [
            # of none, one minus the n-th root of 0.05
            (0, 1, 0.95),
            (0, 100, 0.029513),
            (0, 100_000, 2.99569e-5),
            # Clopper and Pearson's table: the upper limits at 95 %, one-sided
            (1, 10, 0.39416),
            (5, 10, 0.77756),
            (9, 10, 0.99488),
            (10, 10, 1.0),
            # Poisson in the limit: 7.7537 / n for 3 of n
            (3, 1_000_000, 7.7537e-6),
        ],
    )
    def test_known_values(self, misses, trials, expected):
        assert upper_bound(misses, trials) == pytest.approx(expected, rel=1e-4)

    def test_nothing_tried_nothing_known(self):
        assert upper_bound(0, 0) is None

    def test_three_over_n_for_none(self):
        assert upper_bound(0, 3000) == pytest.approx(3 / 3000, rel=0.01)


class TestOutcome:
    def report(self, ending="met", elapsed_ns=50, bound_ns=100, **changes):
        routes = ("clean_dropped", "copied_dropped", "migrated_inside", "migrated_reserve", "compressed", "paged_out")
        fields = {"reason": "none", "starved": False, "deadline_ns": 200, "commit_ns": elapsed_ns}
        fields |= {"window": SimpleNamespace(frames=512, frames_free=128)}
        fields |= {"predicted_ns": 60, "returned_ns": elapsed_ns + 5}
        fields |= dict.fromkeys(("cpu_ns", "waited_ns", "write_ns", "drop_ns"), 7) | dict.fromkeys(routes, 1)
        return SimpleNamespace(
            ending=tmemstore.Ending(ending), elapsed_ns=elapsed_ns, bound_ns=bound_ns, **(fields | changes)
        )

    def taken(self, *reports, confidence=0.9):
        outcome = Outcome(confidence)
        for report in reports:
            outcome.take(report, report.returned_ns + 7)
        return outcome.to_document()

    def test_endings_rates_and_lags(self):
        document = self.taken(
            self.report(),
            self.report(commit_ns=201, elapsed_ns=201, returned_ns=206),
            self.report("aborted", elapsed_ns=230, commit_ns=0, returned_ns=240, starved=True),
            self.report("refused", reason="recovering"),
        )
        assert document["endings"] == {"met": 2, "refused": 1, "aborted": 1}
        assert (document["late"], document["starved"], document["starved_aborted"]) == (1, 1, 1)
        assert document["miss_rate"] == 0.5
        assert document["commit_lag_ns"] == {"p50": 5, "p99": 40, "p999": 40, "max": 40}
        assert document["interpreter_lag_ns"]["max"] == 7
        assert document["routes"]["paged_out"] == 3
        assert document["windows_in_use_percent"] == 75.0
        assert document["bound_missed"] == 2

    def test_where_the_time_of_an_abort_went_is_kept(self):
        aborted = self.report("aborted", elapsed_ns=230, cpu_ns=12, reason="time")
        document = self.taken(self.report(), aborted)
        spent = {"elapsed_ns": 230, "cpu_ns": 12, "waited_ns": 7, "write_ns": 7, "drop_ns": 7}
        told = {"reason": "time", "starved": False, "predicted_ns": 60, "bound_ns": 100}
        assert document["aborts"] == [spent | told]
        assert document["seconds"] is None

    def test_the_second_of_a_pair_is_counted_on_its_own_too(self):
        outcome = Outcome(0.9)
        for report in (
            self.report(),
            self.report("aborted", starved=True),
            self.report("aborted"),
            self.report("refused", reason="recovering"),
            self.report("refused", reason="deadline"),
        ):
            outcome.take(self.report(), None)
            outcome.take(report, None)
            outcome.take_second(report)
        document = outcome.to_document()
        counts = {"count": 5, "met": 1, "refused": 2, "aborted": 2, "recovering": 1, "starved_aborted": 1}
        assert document["seconds"] == counts
        assert document["allocations"] == 10

    def test_tightness_is_the_bound_over_what_would_have_been_enough(self):
        document = self.taken(*(self.report(elapsed_ns=each) for each in (10, 20, 30, 40, 50, 60, 70, 80, 90, 200)))
        assert document["tightness"] == pytest.approx(100 / 90)
        assert document["bound_missed_rate"] == 0.1

    def test_each_quantile_comes_with_the_samples_that_hold_it_between_them(self):
        reports = [self.report(elapsed_ns=each, bound_ns=200) for each in range(1, 101)]
        document = self.taken(*reports, confidence=0.5)
        assert document["quantiles_carried"] == ["p50", "p99", "max"]
        # Ranks 40 and 61 of 100: a table of the sign test.  No sample lies far enough above a p99 of 100.
        assert document["intervals_95_ns"]["elapsed"] == {"p50": [40, 61], "p99": [97, None]}
        assert document["tightness"] == 200 / 50
        assert document["tightness_interval_95"] == [200 / 61, 200 / 40]
        assert set(document["intervals_95_ns"]["commit_lag"]) == {"p50", "p99"}

    def test_how_full_the_ceilings_were_is_the_median_of_the_looks(self):
        outcome = Outcome(0.9)
        outcome.ceilings_filled = [0.2, 0.95, 0.97]
        assert outcome.to_document()["ceilings_filled_percent"] == 95.0

    def test_recoveries_that_were_not_close_are_kept_one_by_one(self):
        outcome = Outcome(0.9)
        outcome.recoveries = [(100, 119)] * 300 + [(100, 121), (100, 79)]
        named = outcome.to_document()["recoveries"]
        assert (named["count"], named["within_20_percent"]) == (302, 300)
        assert named["not_close_ns"] == [(100, 121), (100, 79)]
        assert len(named["said_and_took_ns"]) == 200

    def test_an_empty_run_has_no_figures(self):
        document = self.taken()
        assert document["ceilings_filled_percent"] is None
        assert document["miss_rate"] is document["tightness"] is document["elapsed_ns"] is None
        assert document["capacity_worst"] is None
        assert document["quantiles_carried"] == []
        assert document["intervals_95_ns"] == {"elapsed": {}, "commit_lag": {}, "interpreter_lag": {}}
        assert document["tightness_interval_95"] == [None, None]

    def test_the_worst_second_counts_after_the_first_tenth(self):
        outcome = Outcome(0.9)
        second = {"frames_in_use_percent": 99.0, "frontswap_percent": 80.0, "refused": 0}
        outcome.capacity = [second | {"contracts": [{"state": "holding"}]} for _ in range(20)]
        for early in outcome.capacity[:2]:
            early |= {"refused": 9, "contracts": [{"state": "recovering"}]}
        outcome.capacity[7] |= {"frontswap_percent": 61.5}
        worst = {"frames_in_use_percent": 99.0, "frontswap_percent": 61.5, "refused": 0, "holding": True}
        assert outcome.to_document()["capacity_worst"] == worst


class TestLoad:
    @pytest.fixture
    def load(self, pages_file):
        pages = np.load(pages_file)
        with tmemstore.open("4MiB") as tm:
            yield Load(tm, pages[:500].copy(), pages[500:1500].copy(), keys=600)

    def test_what_went_in_is_compared(self, load):
        assert load.store(300) == 300
        load.put(200)
        load.load(64)
        load.get(64)
        load.invalidate(10)
        assert 290 <= load.check_all() < 300
        assert load.counts.stored == 300
        assert load.counts.hits > 0

    def test_a_wrong_byte_is_a_defect(self, load):
        load.store(64)
        load._anon[:, 4095] ^= 1
        with pytest.raises(LoadError, match="other bytes"):
            load.check_all()

    def test_a_lost_page_is_a_defect(self, load):
        load.store(64)
        load._swap.invalidate_page(7)
        with pytest.raises(LoadError, match="nowhere"):
            load.check_all()

    def test_a_stale_clean_page_is_a_defect(self, load):
        load.put(64)
        load._files[:, 0] ^= 1
        with pytest.raises(LoadError, match="stale"):
            load.get(64)

    def test_refused_stores_are_counted_and_forgotten(self, load):
        load._tm.enabled = False
        assert load.store(128) == 0
        assert load.counts.refused == 64
        assert load.check_all() == 0


class TestScenarios:
    @pytest.mark.parametrize("scenario", SCENARIOS)
    def test_it_runs_and_every_page_is_verified(self, pages_file, scenario):
        document = deadline.run(arguments(pages_file, scenario))
        outcome = document["outcome"]
        assert document["schema"] == deadline.SCHEMA
        assert outcome["endings"]["aborted"] == outcome["late"] == 0
        assert document["pages_verified"] > 0
        assert document["load"]["stored"] > 0
        assert json.loads(json.dumps(document, allow_nan=False)) == json.loads(json.dumps(document))
        if scenario == "capacity":
            assert outcome["allocations"] == 0
            assert len(outcome["capacity"]) == 1
        elif scenario == "pairs":
            assert outcome["allocations"] == 6
            assert outcome["endings"]["refused"] == outcome["reasons"].get("recovering", 0)
        else:
            assert outcome["endings"]["met"] == 9
            assert outcome["interpreter_lag_ns"] is None

    @pytest.mark.usefixtures("same_cpu")
    def test_the_same_seed_gives_the_same_run(self, pages_file):
        noisy = "emulate:emmc5.1,sigma=0.2,pause_every=1MiB,pause=5ms"
        runs = [
            deadline.run(arguments(pages_file, "unbound", storage=noisy, seed=seed, allocations=4))
            for seed in (3, 3, 4)
        ]
        for run in runs:
            del run["wall_ns"], run["remarks"], run["machine"]["load_average_before"]
        assert runs[0] == runs[1]
        assert runs[0]["outcome"] != runs[2]["outcome"]

    @pytest.mark.parametrize("scenario", ["pairs", "capacity"])
    def test_what_counts_time_itself_runs_in_real_time_too(self, pages_file, scenario):
        document = deadline.run(arguments(pages_file, scenario, virtual=False, threads=2))
        outcome = document["outcome"]
        assert outcome["late"] == 0
        assert outcome["allocations"] == 2 * ALLOCATIONS[scenario] * (scenario == "pairs")
        assert len(outcome["capacity"]) == ALLOCATIONS[scenario] * (scenario == "capacity")
        assert outcome["recoveries"]["count"] <= outcome["reasons"].get("recovering", 0)
        assert document["load"]["stored"] > 0
        assert document["pages_verified"] > 0

    def test_in_real_time_the_way_back_is_measured(self, pages_file):
        document = deadline.run(arguments(pages_file, "steady", virtual=False, threads=2, gap_ns=1_000_000))
        assert document["outcome"]["interpreter_lag_ns"]["max"] > 0
        assert document["outcome"]["late"] == 0
        assert document["pages_verified"] > 0

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"scenario": "chaos"}, "none of steady"),
            ({"allocations": 0}, "at least 1"),
            ({"threads": 65}, "1 to 64"),
            ({"region_bytes": 5000}, "--region"),
            ({"contract_bytes": 512 << 20}, "larger --region"),
            ({"escape_bytes": 1}, "--escape"),
            ({"deadline_ns": 0}, "names no time"),
            ({"gap_ns": -1}, "--gap"),
            ({"gap_ns": 10**18}, "--gap"),
            ({"deadline_ns": 2**62}, "a day or more"),
            ({"region_bytes": 256 << 30}, "less than 256 GiB"),
            ({"escape_bytes": 256 << 30}, "--escape 256GiB; it must be less than 256 GiB"),
            ({"storage": "real"}, "must be emulated"),
            ({"storage": "real", "virtual": False, "scenario": "slower"}, "needs an emulated one"),
        ],
    )
    def test_what_cannot_be_run_is_refused_by_name(self, change, complaint):
        with pytest.raises(ValueError, match=complaint):
            Arguments(**change)


def cli(pages_file, out, *more):
    small = ["--region", "8MiB", "--contract", "2MiB:20ms:hard", "--escape", "1MiB", "--allocations", "6"]
    return main(["bench", "deadline", *small, "--pages", str(pages_file), "--out", str(out), "-q", *more])


class TestCommand:
    def test_one_json_document_and_the_same_in_the_file(self, pages_file, tmp_path, capfd):
        assert cli(pages_file, tmp_path, "--name", "small", "--confidence", "99.9", "--format", "json") == 0
        output, remarks = capfd.readouterr()
        assert remarks == ""
        document = json.loads(output)
        assert [path.name for path in tmp_path.iterdir()] == ["deadline-small.json"]
        assert document == json.loads((tmp_path / "deadline-small.json").read_text(encoding="utf-8"))
        assert document["command"].startswith("tmemstore bench deadline --region 8MiB")
        assert document["arguments"]["confidence"] == 0.999
        assert {"load_average_before", "swap_used_bytes_before"} <= set(document["machine"])
        assert {"commit", "remarks"} <= set(document)
        assert document["machine"]["spill"]["filesystem"] is None

    def test_a_real_device_leaves_nothing_behind(self, pages_file, tmp_path, capfd):
        assert cli(pages_file, tmp_path, "--storage", "real", "--gap", "1ms") == 0
        assert [path.name for path in tmp_path.iterdir()] == ["deadline-steady.json"]
        assert max(len(line) for line in capfd.readouterr().out.splitlines()) <= 80

    def test_aborted_and_late_are_failures_and_refused_is_none(self):
        def code(late=0, **endings):
            counts = dict.fromkeys(("met", "refused", "aborted"), 0) | endings
            return bench_deadline.exit_code({"outcome": {"endings": counts, "late": late}})

        assert code(met=5, refused=3) == 0
        assert code(met=5, aborted=1) == 1
        assert code(met=5, late=1) == 1

    def test_a_contract_that_no_store_could_keep_is_wrong_usage(self, pages_file, tmp_path, capfd):
        assert cli(pages_file, tmp_path, "--contract", "2MiB:1us") == 2
        assert "even clean pages alone" in capfd.readouterr().err

    def test_a_noisy_machine_is_said(self, pages_file, tmp_path, capfd, monkeypatch):
        monkeypatch.setattr("os.getloadavg", lambda: (3.2, 1.0, 1.0))
        monkeypatch.setattr("tmemstore.bench.machine.cores_usable", lambda: 2)
        assert cli(pages_file, tmp_path) == 0
        assert capfd.readouterr().err == ""
        small = ["--region", "2MiB", "--contract", "2MiB:20ms", "--escape", "1MiB", "--allocations", "1"]
        assert main(["bench", "deadline", *small, "--pages", str(pages_file), "--out", str(tmp_path)]) == 0
        remarks = capfd.readouterr().err
        assert "noisy machine: the load average is 3.2" in remarks
        (written,) = tmp_path.glob("*.json")
        assert json.loads(written.read_text(encoding="utf-8"))["remarks"][0] in remarks

    @pytest.mark.parametrize("where", ["tmemstore.bench.deadline.run", "pathlib.Path.replace"])
    def test_an_interrupted_run_leaves_no_file(self, pages_file, tmp_path, capfd, monkeypatch, where):
        def interrupt(*_arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(where, interrupt)
        assert cli(pages_file, tmp_path) == 130
        assert capfd.readouterr().err == "tmemstore bench deadline: interrupted\n"
        assert list(tmp_path.iterdir()) == []
