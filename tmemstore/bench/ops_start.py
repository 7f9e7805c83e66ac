"""How long it takes to import the package and to print the help: what every use pays first."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from tmemstore.bench.ops_rows import Row, in_turns

_MS = 1e6


def rows(rounds: int) -> Iterator[Row]:
    """A new interpreter each time, less what one takes that does nothing."""
    nothing, imported, helped = in_turns(
        rounds,
        lambda: _run_ms("-c", "pass"),
        lambda: _run_ms("-c", "import tmemstore"),
        lambda: _run_ms("-m", "tmemstore.cli.main", "--help"),
    )
    bare = statistics.median(nothing)
    yield Row("start", "an interpreter", "ms", nothing, judged="value")
    yield Row("start", "import tmemstore", "ms", [each - bare for each in imported], judged="value", goal=80)
    yield Row("start", "tmemstore --help, whole", "ms", helped, judged="value", goal=150)


def _run_ms(*arguments: str) -> float:
    began_ns = time.perf_counter_ns()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
    return (time.perf_counter_ns() - began_ns) / _MS
