"""A put, get, store, load and drop take as many instructions as were recorded for this compiler and libc, within 2 %.

Seconds move from run to run, counts of instructions repeat exactly: what is seen here is a change of the code.  It
counts in either direction, since a gate that is left open after an improvement lets the next loss through.

To accept a change: TMEMSTORE_UPDATE_INSTRUCTIONS=1 .venv/bin/python -m pytest tests/instructions, then read the diff.
A compiler and libc without a record are reported and pass; the same command records them.
"""

import json
import os
import platform
import runpy
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RECORD = HERE / "recorded.json"
UPDATE = os.environ.get("TMEMSTORE_UPDATE_INSTRUCTIONS") == "1"
ACCEPT = "TMEMSTORE_UPDATE_INSTRUCTIONS=1 .venv/bin/python -m pytest tests/instructions"

KINDS = ("put", "get", "store", "load", "drop")
TOLERANCE_PERCENT = 2.0

CC = os.environ.get("CC", "gcc")
# The product's, and AVX2 but not AVX-512, which valgrind does not know, whatever this machine has.
FLAGS = (
    *runpy.run_path(str(ROOT / "native" / "build_ffi.py"))["COMPILE_ARGS"],
    *("-O3", f"-I{ROOT / 'native' / 'include'}", f"-I{ROOT / 'native' / 'src'}"),
    *(("-march=x86-64-v3",) if platform.machine() == "x86_64" else ()),
)
# -z now: looking up a function at its first call is no part of an operation.
LINK = ("-pthread", "-Wl,-z,now", "-lm")
# These change what libc does for the same call.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"GLIBC_TUNABLES", "LD_PRELOAD"}}
PROGRAM_SECONDS = 120


def judge(kind, counted, recorded):
    """What is wrong with a count, as a sentence; None if nothing is."""
    percent = (counted - recorded) / recorded * 100
    if abs(percent) <= TOLERANCE_PERCENT:
        return None
    change = "more" if percent > 0 else "fewer"
    advice = "If that is the price of something, accept it" if percent > 0 else "So that it stays so, record it"
    return (
        f"{kind} takes {counted:.1f} instructions a page, {abs(percent):.1f} % {change} than the {recorded:.1f} "
        f"recorded; {TOLERANCE_PERCENT:.0f} % are allowed. {advice} on purpose: {ACCEPT}"
    )


def read_record():
    return json.loads(RECORD.read_text(encoding="utf-8"))


def write_record(combination, kind, counted):
    record = read_record() if RECORD.exists() else {}
    known = record.get(combination, {}) | {kind: counted}
    record[combination] = {each: known[each] for each in KINDS if each in known}
    RECORD.write_text(json.dumps(record, indent=4, sort_keys=False) + "\n", encoding="utf-8")


def run(command, **keywords):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env=ENVIRONMENT, **keywords
    )
    if done.returncode == -signal.SIGILL:
        pytest.skip("not counted: this processor, or valgrind for it, has no x86-64-v3 (AVX2)")
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout


def skip_without_tools():
    for tool in (CC, "valgrind"):
        if shutil.which(tool) is None:
            pytest.skip(f"not counted: {tool} is not installed")
    known = subprocess.run([CC, *FLAGS, "-E", "-x", "c", os.devnull], capture_output=True, text=True, check=False)
    if known.returncode:
        pytest.skip(f"not counted: {CC} does not take {' '.join(FLAGS)}: {known.stderr.strip()}")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Return the program, compiled as the product is."""
    skip_without_tools()
    folder = tmp_path_factory.mktemp("instructions")
    sources = [*sorted((ROOT / "native" / "src").glob("*.c")), HERE / "operations.c"]
    objects = [folder / f"{source.stem}.o" for source in sources]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda pair: run([CC, *FLAGS, "-c", pair[0], "-o", pair[1]]), zip(sources, objects, strict=True)))
    target = folder / "operations"
    run([CC, *objects, "-o", target, *LINK])
    return target


@pytest.fixture(scope="module")
def combination(program):
    """Return what counts are recorded for, as text."""
    return run([program, "combination"]).strip()


def count(program, kind):
    """Instructions a page of one kind of operation, to one decimal."""
    out = program.with_name(f"callgrind.{kind}")
    callgrind = ["valgrind", "--tool=callgrind", "--toggle-collect=measured*", f"--callgrind-out-file={out}"]
    pages = int(run([*callgrind, program, kind], timeout=PROGRAM_SECONDS))
    (total,) = [line for line in out.read_text(encoding="utf-8").splitlines() if line.startswith("totals:")]
    instructions = int(total.split()[1])
    assert instructions, f"{kind}: valgrind counted nothing: it did not find the function measured"
    return round(instructions / pages, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_instructions_are_those_recorded(kind, program, combination):
    counted = count(program, kind)
    if UPDATE:
        write_record(combination, kind, counted)
    recorded = read_record().get(combination, {}).get(kind)
    if recorded is None:
        pytest.skip(f"not judged: {kind} takes {counted} instructions a page, with no record for {combination}")
    wrong = judge(kind, counted, recorded)
    if wrong:
        pytest.fail(wrong, pytrace=False)


@pytest.mark.parametrize("percent", [-1.9, 0, 1.9])
def test_a_small_change_passes(percent):
    assert judge("put", 1000 + 10 * percent, 1000) is None


@pytest.mark.parametrize(("percent", "word"), [(-2.1, "2.1 % fewer"), (2.1, "2.1 % more")])
def test_a_larger_change_fails_and_says_how_to_accept_it(percent, word):
    wrong = judge("put", 1000 + 10 * percent, 1000)
    assert word in wrong
    assert ACCEPT in wrong
