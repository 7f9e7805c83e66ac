"""What a result says of the machine it was measured on: what else went on there, and which commit it was."""

import subprocess
from pathlib import Path

import pytest

from tmemstore.bench import machine

QUIET = {"load_average_before": 0.1, "swap_used_bytes_before": 0}


@pytest.fixture(autouse=True)
def _cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: {0, 1, 2, 3})


class TestCondition:
    def test_load_and_swap_are_those_of_the_system(self, monkeypatch):
        held = {"SwapTotal": 8 << 20, "SwapFree": 5 << 20}
        monkeypatch.setattr("os.getloadavg", lambda: (1.234, 9, 9))
        monkeypatch.setattr(machine, "memory_bytes", held.get)
        assert machine.condition() == {"load_average_before": 1.23, "swap_used_bytes_before": 3 << 20}
        del held["SwapFree"]
        assert machine.condition()["swap_used_bytes_before"] is None


class TestRemarks:
    def test_a_quiet_machine_needs_none(self):
        assert machine.remarks(QUIET) == []
        assert machine.remarks(QUIET | {"swap_used_bytes_before": None}, {"a": 5.0, "b": 0.0}) == []

    def test_load_counts_by_the_cores_that_there_are(self):
        assert machine.remarks(QUIET | {"load_average_before": 3.0}) == []
        (said,) = machine.remarks(QUIET | {"load_average_before": 3.1})
        assert said.startswith("noisy machine: the load average is 3.1 on 4 cores")

    @pytest.mark.parametrize(("used_bytes", "text"), [(1, "1 MiB"), (300 << 20, "300 MiB")])
    def test_swap_in_use(self, used_bytes, text):
        (said,) = machine.remarks(QUIET | {"swap_used_bytes_before": used_bytes})
        assert f"{text} are in swap" in said

    def test_rows_that_spread_are_counted_and_the_widest_is_named(self):
        (said,) = machine.remarks(QUIET, {"a": 5.1, "b": 4.9, "c": 40.4})
        assert "2 of 3 rows spread by more than 5 %" in said
        assert "most c, by 40 %" in said


class TestCommit:
    def git(self, *arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True, timeout=60)

    def test_of_a_checkout_with_a_plus_if_the_program_was_changed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(machine, "_CHECKOUT", tmp_path)
        monkeypatch.chdir(tmp_path)
        assert machine.commit() is None
        self.git("init", "-q")
        assert machine.commit() is None
        for name in ("native", "tmemstore"):
            Path(name).mkdir()
            Path(name, "file").write_text("one", encoding="utf-8")
        Path("setup.py").write_text("", encoding="utf-8")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "first")
        at = machine.commit()
        assert len(at) == 12
        assert set(at) <= set("0123456789abcdef")
        Path("tmemstore", "file").write_text("two", encoding="utf-8")
        assert machine.commit() == f"{at}+"

    def test_without_git_it_is_not_known(self, tmp_path, monkeypatch):
        monkeypatch.setattr(machine, "_CHECKOUT", tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        Path(tmp_path, ".git").mkdir()
        assert machine.commit() is None
