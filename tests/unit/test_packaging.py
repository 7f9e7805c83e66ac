"""What is handed out can be built and used away from the checkout."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "latest")

pytestmark = [pytest.mark.slow, pytest.mark.packaging]


def run(*command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **keywords)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the sdist from a clean copy of the tree, and the wheel from the sdist; return both paths."""
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", cwd=tree)
    (sdist,) = (folder / "dist").glob("tmemstore-*.tar.gz")
    (wheel,) = (folder / "dist").glob("tmemstore-*.whl")
    return sdist, wheel


def test_sdist_holds_all_that_the_build_needs(built):
    with tarfile.open(built[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "native").glob("**/*.[ch]")}
    assert sources <= held
    assert {"native/build_ffi.py", "setup.py", "pyproject.toml", "LICENSE", "Makefile", "tests/native/check.h"} <= held
    assert not [name for name in held if name.endswith((".so", ".o", ".pyc"))]


def test_wheel_holds_the_core_and_the_types(built):
    with zipfile.ZipFile(built[1]) as archive:
        held = archive.namelist()
    assert {"tmemstore/py.typed", "tmemstore/_native.pyi", "tmemstore/__init__.py"} <= set(held)
    assert [name for name in held if name.startswith("tmemstore/_native.") and name.endswith(".so")]
    assert not [name for name in held if not name.startswith(("tmemstore/", "tmemstore-"))]


def test_wheel_works_away_from_the_checkout(built, tmp_path):
    home = tmp_path / "home"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", home, built[1])
    # -I leaves out the current folder and PYTHONPATH: nothing but the wheel can answer.
    program = f"""
import sys
sys.path.insert(0, {str(home)!r})
import tmemstore
with tmemstore.open("1MiB") as tm:
    swap = tm.frontswap(0)
    out = bytearray(4096)
    assert swap.store(7, bytes(range(256)) * 16) and swap.load(7, out)
    assert out == bytes(range(256)) * 16
print(tmemstore.__file__)
"""
    output = run(sys.executable, "-I", "-c", program, cwd=tmp_path)
    assert Path(output.strip()).is_relative_to(home)
