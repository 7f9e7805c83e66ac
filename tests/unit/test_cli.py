"""The command line as a process: exit codes, what goes where, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import tmemstore
from support import files_of_at_most
from tmemstore.cli import bench_eviction, checks, doctor, main, output

COMMAND = [sys.executable, "-m", "tmemstore.cli.main"]


def run(*arguments, **options):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60, **options)


class TestStart:
    def test_help_needs_neither_numpy_nor_matplotlib(self):
        code = (
            "import sys; from tmemstore.cli.main import build_parser; build_parser().format_help()\n"
            "print([name for name in ('numpy', 'matplotlib', 'rich') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_version(self):
        done = run("--version")
        assert done.returncode == 0
        assert done.stdout.startswith("tmemstore ")


class TestDoctor:
    def test_json_is_one_document(self, tmp_path):
        done = run("doctor", "--format", "json", "--spill", str(tmp_path))
        assert done.stderr == ""
        document = json.loads(done.stdout)
        assert document["schema"] == "tmemstore.doctor/1"
        names = {check["name"] for check in document["checks"]}
        assert {
            "huge pages",
            "mlock limit",
            "spill path",
            "io_uring",
            "codec lz4",
            "codec zstd",
            "copy variant",
        } <= names
        missing = [check for check in document["checks"] if check["state"] == "missing"]
        assert done.returncode == (3 if missing else 0)
        assert all(check["advice"] for check in document["checks"] if check["state"] != "ok")
        assert list(tmp_path.iterdir()) == []

    def test_a_spill_path_that_is_not_there_is_missing(self, tmp_path, capsys):
        assert main.main(["doctor", "--spill", str(tmp_path / "no" / "spill.img")]) == 3
        lines = capsys.readouterr().out.splitlines()
        (at,) = [number for number, line in enumerate(lines) if line.startswith("missing")]
        assert "spill path" in lines[at]
        advice = next(line for line in lines[at + 1 :] if not line.startswith(" " * 25))
        assert advice.lstrip().startswith("-> name a folder")

    def test_it_fits_80_columns_whatever_is_found(self, monkeypatch):
        monkeypatch.setattr(checks.machine, "transparent_hugepage", lambda: "never")
        monkeypatch.setattr(checks.machine, "hugetlb_pool", lambda: (0, 2 << 20))
        monkeypatch.setattr(checks, "os", SimpleNamespace(geteuid=lambda: 1000))
        monkeypatch.setattr(checks.resource, "getrlimit", lambda _limit: (8 << 20, 8 << 20))
        found = [checks.transparent_hugepages(), checks.hugetlb(), checks.mlock()]
        found.append(
            checks.Check("codec lz4", "ok", "/a/folder" * 12 + "/library-of-a-very-long-name.so (1.9.4)", "take " * 30)
        )
        found.append(checks.Check("spill path", "missing", "x" * 200, None))
        lines = [line for check in found for line in doctor.lines_of(check)]
        assert max(map(len, lines)) <= 80
        assert f"          -> echo madvise | sudo tee {checks._THP}" in lines
        assert next(line[25:] for line in lines if "/folder" in line).endswith("/")
        assert "".join(line[25:] for line in lines if "x" * 30 in line) == "x" * 200

    def test_what_is_missing_comes_with_advice(self, monkeypatch):
        monkeypatch.setattr(checks.machine, "transparent_hugepage", lambda: "never")
        monkeypatch.setattr(checks.machine, "hugetlb_pool", lambda: (0, 2 << 20))
        monkeypatch.setattr(tmemstore, "codec_origins", lambda: {"lz4": None, "zstd": None})
        monkeypatch.setattr(checks.importlib.util, "find_spec", lambda _name: None)
        assert "madvise" in checks.transparent_hugepages().advice
        assert "nr_hugepages=128" in checks.hugetlb().advice
        assert [check.state for check in checks.codecs()] == ["missing", "optional"]
        assert all("install" in check.advice for check in (*checks.codecs(), *checks.optional_parts()))


class TestExitCodes:
    DOCUMENT = json.loads((Path(__file__).parents[1] / "golden" / "eviction.json").read_text(encoding="utf-8"))

    def rows(self, **change):
        return {"rows": [{**self.DOCUMENT["rows"][0], **change}]}

    def test_refused_alone_is_fine_aborted_and_late_are_not(self):
        assert bench_eviction.exit_code(self.rows()) == 0
        assert bench_eviction.exit_code(self.rows(endings={"met": 0, "refused": 3, "aborted": 0})) == 0
        assert bench_eviction.exit_code(self.rows(endings={"met": 2, "refused": 0, "aborted": 1})) == 1
        assert bench_eviction.exit_code(self.rows(cheapest_endings={"met": 2, "refused": 0, "aborted": 1})) == 1
        assert bench_eviction.exit_code(self.rows(late=1)) == 1

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (tmemstore.EnvironmentLacks("too little memory"), 3),
            (tmemstore.SpillError("foreign"), 2),
            (tmemstore.VerifyError("broken"), 1),
            (tmemstore.TmemError("odd"), 1),
        ],
    )
    def test_errors_of_the_library_become_a_sentence(self, monkeypatch, capsys, error, code):
        def fail(_options):
            raise error

        monkeypatch.setattr("tmemstore.cli.doctor.run", fail)
        assert main.main(["doctor"]) == code
        assert capsys.readouterr().err == f"tmemstore doctor: {error}\n"

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (MemoryError(), "out of memory; free some, or ask for less"),
            (MemoryError("9 GiB"), "out of memory (9 GiB); free some, or ask for less"),
            (MemoryError("no memory for it; free some memory"), "no memory for it; free some memory"),
        ],
    )
    def test_want_of_memory_is_what_the_machine_lacks(self, monkeypatch, capsys, error, told):
        def fail(_options):
            raise error

        monkeypatch.setattr("tmemstore.cli.doctor.run", fail)
        assert main.main(["doctor"]) == main.LACKING
        assert capsys.readouterr().err == f"tmemstore doctor: {told}\n"

    def test_a_defect_of_ours_is_not_dressed_up(self, monkeypatch):
        def fail(_options):
            raise ZeroDivisionError

        monkeypatch.setattr("tmemstore.cli.doctor.run", fail)
        with pytest.raises(ZeroDivisionError):
            main.main(["doctor"])


class TestStreams:
    def test_a_reader_that_goes_away_is_not_an_error(self):
        reading, writing = os.pipe()
        os.close(reading)
        code = "from tmemstore.cli import output; output.write('x' * 100000)"
        done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False)
        os.close(writing)
        assert done.returncode == 0
        assert done.stderr == b""

    @pytest.mark.parametrize("arguments", [["doctor"], ["--help"], ["--version"], ["bench", "copy", "--help"]])
    def test_a_full_disk_is_one_sentence_and_an_exit_code(self, arguments):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
            )
        assert done.returncode == main.LACKING
        assert done.stderr.count("\n") == 1
        assert "standard output cannot be written to (No space left on device)" in done.stderr

    @pytest.mark.parametrize("command", [["bench", "eviction", "--region", "1MiB"], ["calibrate"]])
    def test_a_spill_path_on_a_full_disk_is_what_the_environment_lacks(self, tmp_path, monkeypatch, capsys, command):
        monkeypatch.chdir(tmp_path)
        with files_of_at_most(0):
            assert main.main([*command, "-q", "--spill", "spill.img"]) == main.LACKING
        assert "spill.img: cannot" in capsys.readouterr().err

    @pytest.mark.parametrize("argument", ["--version", "--help"])
    def test_an_output_that_was_closed_is_one_sentence_and_an_exit_code(self, argument):
        command = [*COMMAND, argument]
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (3, "tmemstore: standard output is closed; nothing was printed\n")

    def test_where_nothing_can_be_said_the_exit_code_stays(self):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run([*COMMAND, "--nonsense"], stderr=full, check=False, timeout=60)
        assert done.returncode == main.WRONG_USAGE

    def test_json_has_no_word_for_not_a_number(self):
        with pytest.raises(ValueError, match="JSON"):
            output.json_text({"a": float("nan")})

    def test_progress_is_for_terminals(self):
        with output.progress(wanted=True) as show:
            assert show is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_bench_leaves_no_file_and_no_process(tmp_path, number, code):
    command = [*COMMAND, "bench", "eviction", "--region", "64MiB", "--out", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as bench:
        try:
            end = time.monotonic() + 30
            while not working_in(tmp_path) - {bench.pid} and time.monotonic() < end:
                time.sleep(0.02)
            bench.send_signal(number)
            _, remarks = bench.communicate(timeout=30)
        finally:
            bench.kill()
    assert bench.returncode == code
    assert "Traceback" not in remarks
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert list((tmp_path / "out").iterdir()) == []
    end = time.monotonic() + 10
    while working_in(tmp_path) and time.monotonic() < end:
        time.sleep(0.02)  # a process that was killed takes a moment to die
    assert working_in(tmp_path) == set()


INTERRUPTED_AGAIN = """
import signal, sys
from tmemstore.cli import doctor, main, output
remark = output.remark
def strike(*_):
    signal.raise_signal(signal.SIGINT)
def remark_and_strike(text):
    remark(text)
    strike()
doctor.run, output.remark, sys.argv = strike, remark_and_strike, ["tmemstore", "doctor"]
sys.exit(main.main())
"""


def test_an_interrupt_behind_the_first_one_is_passed_over():
    """Who keeps Ctrl-C down saw a traceback of the last lines of the command."""
    command = [sys.executable, "-c", INTERRUPTED_AGAIN]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (130, "tmemstore doctor: interrupted\n")


def working_in(folder):
    """The processes whose current folder this is."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == folder:
                found.add(int(link.parent.name))
        except OSError:
            continue
    return found


def test_the_defaults_of_the_command_are_those_of_the_bench():
    """The command names them itself, because --help must not import numpy."""
    from tmemstore.bench import eviction

    options = main.build_parser().parse_args(["bench", "eviction"])
    assert options.repeats == eviction.DEFAULT_REPEATS
    assert tuple(options.ratios) == eviction.DEFAULT_RATIOS
    assert options.region == eviction.Arguments().region_bytes
