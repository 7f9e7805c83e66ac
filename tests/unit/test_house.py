"""The arrows of DESIGN.md, section 5, that import-linter cannot see: C includes, and who keeps to public names.

The layers of the Python package are contracts in pyproject.toml.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "native" / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

# Leaves use the public header and one another, every module may use them.
LEAVES = {
    *("arena", "check", "list", "bitmap", "slab", "hash", "copy", "fault", "clock", "emulate", "reserve"),
    *("inflight", "filter", "ghost"),
}
# The modules a module may use, besides the leaves.  A new module gets a line here.
ARROWS = {
    "mapping": set(),
    "frame": {"mapping"},
    "sizeclass": {"frame"},
    "plan": set(),
    "range": {"frame", "plan"},
    "region": {"mapping", "frame", "sizeclass", "range"},
    "walk": {"region"},
    "ceiling": {"region"},
    "entry": set(),
    "aging": {"entry"},
    "index": {"entry"},
    "evict": {"entry"},
    "pool": {"entry", "index"},
    "codec": set(),
    "floor": {"codec"},
    "io": set(),
    "spill": set(),
    "shrink": {"entry", "aging", "pool", "index", "evict", "spill", "io", "region", "ceiling"},
    "page_out": {"shrink"},
    "admit": {"shrink"},
    "store": {"admit", "page_out", "shrink", "pool", "index", "entry", "evict", "codec", "spill", "io", "region"},
    "clean": {"store", "walk"},
    "write_through": {"store"},
    "measure": {"store"},
    "steer": {"store"},
    "squeeze": {"store"},
    "move": {"squeeze", "walk"},
    "writeback": {"squeeze", "walk"},
    "evacuate": {"move", "writeback"},
    "drop": {"store", "shrink"},
    "reclaim": {"drop", "evacuate", "plan", "store", "range", "shrink"},
    "replay": {"store"},
}
# These look at everything and are used by nothing.
ONLOOKERS = {"stats", "verify"}

# The modules whose names are public beside those of `tmemstore` itself.
PUBLIC_MODULES = {
    "tmemstore",
    "tmemstore.errors",
    "tmemstore.floors",
    "tmemstore.mounts",
    "tmemstore.quantiles",
    "tmemstore.rates",
    "tmemstore.units",
}


def name(path):
    return str(path.relative_to(ROOT))


def core_files():
    return sorted(SOURCES.glob("*.[ch]"))


def module_of(path):
    """Return the module a C file belongs to: spill_open.c is a part of spill."""
    known = LEAVES | set(ARROWS) | ONLOOKERS
    whole = path.stem.partition("_")[0]
    return whole if path.stem not in known and whole in known else path.stem


def allowed(module):
    if module in LEAVES:
        return LEAVES
    if module in ONLOOKERS:
        return LEAVES | set(ARROWS) | ONLOOKERS
    if module in ARROWS:
        return LEAVES | ARROWS[module]
    pytest.fail(f"native/src/{module} has no line in the ARROWS of {name(Path(__file__))}: say what it may use")


@pytest.mark.parametrize("path", core_files(), ids=lambda path: path.name)
def test_c_file_includes_only_what_its_arrows_allow(path):
    module = module_of(path)
    may_use = allowed(module) | {module}
    for header in INCLUDE.findall(path.read_text(encoding="utf-8")):
        assert header == "tmemstore.h" or module_of(Path(header)) in may_use, (
            f'{name(path)} includes "{header}", but {module} may use only {", ".join(sorted(may_use))}'
        )


def test_c_arrows_have_no_cycle_and_point_at_modules():
    below = {}

    def everything_below(module, above=()):
        assert module not in above, f"cycle: {' -> '.join([*above, module])}"
        assert module in ARROWS, f"{above[-1]} -> {module}: no such module"
        if module not in below:
            below[module] = ARROWS[module].union(*(everything_below(used, (*above, module)) for used in ARROWS[module]))
        return below[module]

    for module in ARROWS:
        everything_below(module)
    assert not {"reclaim"} & everything_below("store"), "store never calls reclaim"


@pytest.mark.parametrize("path", core_files(), ids=lambda path: path.name)
def test_core_neither_prints_nor_aborts_nor_reads_the_environment(path):
    code = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    calls = re.findall(r"\b(v?f?printf|f?puts|putchar|perror|abort|_?exit|assert|(?:secure_)?getenv)\s*\(", code)
    assert not calls, f"{name(path)} calls {', '.join(calls)}"


def test_every_c_module_has_its_native_test():
    untested = {module_of(path) for path in SOURCES.glob("*.c")} - {
        path.stem.removeprefix("test_") for path in (ROOT / "tests" / "native").glob("test_*.c")
    }
    assert not untested, f"no tests/native/test_*.c for {', '.join(sorted(untested))}"


def imported_modules(path):
    """Yield (line, module) of every absolute import; `from tmemstore import x` counts as tmemstore.x if x is one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, inner if is_module(inner) else node.module
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{name(path)}:{node.lineno}: relative import; write the whole name")


def is_module(dotted):
    path = ROOT.joinpath(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").exists() or path.with_suffix(".pyi").exists()


def own_imports(path):
    return [(line, module) for line, module in imported_modules(path) if module.split(".")[0] == "tmemstore"]


def python_files(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).glob("**/*.py"))


@pytest.mark.parametrize("path", python_files("tmemstore"), ids=name)
def test_only_the_binding_touches_the_native_module(path):
    lines = [line for line, module in own_imports(path) if module.startswith("tmemstore._native")]
    assert not lines or name(path) == "tmemstore/_binding.py", f"{name(path)}:{lines[0]} imports tmemstore._native"


@pytest.mark.parametrize("path", python_files("tmemstore/bench"), ids=name)
def test_bench_imports_public_names_only(path):
    for line, module in own_imports(path):
        assert module in PUBLIC_MODULES or module.startswith("tmemstore.bench"), f"{name(path)}:{line}: {module}"


@pytest.mark.parametrize("path", python_files("tests/laws", "tests/property", "tests/faults"), ids=name)
def test_laws_are_stated_in_public_names_only(path):
    for line, module in own_imports(path):
        assert module == "tmemstore", f"{name(path)}:{line}: {module}"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("*.py")), ids=name)
def test_what_tests_share_uses_public_names_only(path):
    for line, module in own_imports(path):
        if path.name not in {"conftest.py", "replay_support.py"}:  # the latter is for unit tests, see below
            assert module == "tmemstore", f"{name(path)}:{line}: {module}"


@pytest.mark.parametrize("path", python_files("tests/laws", "tests/property", "tests/faults"), ids=name)
def test_laws_share_nothing_with_unit_tests_of_replays(path):
    assert "replay_support" not in path.read_text(encoding="utf-8")
