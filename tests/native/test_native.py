"""Compiles and runs tests/native/test_*.c, one program a module of the C core.

``TMEMSTORE_SANITIZE=address,undefined`` (or ``thread``) compiles core and tests for the sanitizers.
"""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
INCLUDE = ROOT / "native" / "include"
SOURCES = ROOT / "native" / "src"
PROGRAMS = sorted(HERE.glob("test_*.c"))

CC = os.environ.get("CC", "gcc")
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Werror")
SANITIZE = os.environ.get("TMEMSTORE_SANITIZE", "")
FLAGS = (
    *("-std=gnu11", "-pthread", "-g", "-O1", "-fno-omit-frame-pointer", "-DTMS_DEBUG", *WARNINGS),
    *((f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all") if SANITIZE else ()),
    *(f"-I{INCLUDE}", f"-I{SOURCES}"),
)
PROGRAM_SECONDS = 300


def run(command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **keywords)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}", pytrace=False)
    return done.stdout


def compile_object(source, into):
    target = into / f"{source.stem}.o"
    run([CC, *FLAGS, "-c", source, "-o", target])
    return target


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("native")


@pytest.fixture(scope="session")
def core(build):
    """Return the object files of the core."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda source: compile_object(source, build), sorted(SOURCES.glob("*.c"))))


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda source: source.stem)
def test_program(source, core, build):
    program = build / source.stem
    run([CC, *FLAGS, source, *core, "-o", program, "-lm"])
    output = run([program], timeout=PROGRAM_SECONDS, cwd=build)
    assert output.startswith(f"{source.stem}: "), output
    assert output.endswith(" passed\n"), output


@pytest.mark.parametrize(("compiler", "language"), [(CC, "c11"), ("g++", "c++17")])
def test_public_header_is_clean_on_its_own(compiler, language):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    name = "c++" if language.startswith("c++") else "c"
    flags = ["-x", name, f"-std={language}", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    run([compiler, *flags, INCLUDE / "tmemstore.h"])
