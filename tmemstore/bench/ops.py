"""The benchmark of single operations: each beside what this machine can do at best, in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tmemstore.bench import machine, ops_device, ops_memory, ops_packed, ops_reclaim, ops_start, supply
from tmemstore.bench.ops_rows import Row
from tmemstore.bench.ops_store import Source
from tmemstore.bench.pages import LIVE, open_pages
from tmemstore.floors import nontemporal_variant

SCHEMA = "tmemstore.bench.ops/1"
GROUPS = ("memory", "growth", "packed", "reclaim", "waits", "device", "start")
LEAST_ROUNDS = 7
_PAGES = 16384
"""64 MiB of pages, more than a cache holds."""

_PACKED_BYTES = 256 << 20
"""A history of compressed pages ten times over takes a minute in this."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What to measure. ``region_bytes``: of the rows that say "large"; at least 256 MiB. ``groups``: of GROUPS."""

    region_bytes: int = 1 << 30
    rounds: int = LEAST_ROUNDS
    groups: tuple[str, ...] = GROUPS
    seed: int = 1
    pages: str = LIVE
    near: str = "."

    def __post_init__(self) -> None:
        """Check them; ValueError."""
        unknown = [name for name in self.groups if name not in GROUPS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no group of operations; choose of {', '.join(GROUPS)}")
        if self.region_bytes < 4 * ops_reclaim.WINDOW_BYTES:
            raise ValueError("--region must be at least 256MiB: it stands for one that no cache holds")
        supply.check_region(self.region_bytes)
        if self.rounds < LEAST_ROUNDS:
            raise ValueError(f"--rounds must be at least {LEAST_ROUNDS}: a median of fewer says little")


def run(arguments: Arguments, progress: Progress | None = None) -> dict[str, Any]:
    """Measure, and return the result document (schema ``tmemstore.bench.ops/1``).

    Raises PagesFileError, NotEnoughPages, SpillError or EnvironmentLacks with what to do.
    """
    say = progress or (lambda _text, _fraction: None)
    before, commit = machine.condition(), machine.commit()
    if "device" in arguments.groups:
        ops_device.check(arguments.near)
    say("collecting pages", 0.0)
    with open_pages(arguments.pages, 0, _PAGES, seed=arguments.seed) as found:
        found.need(0, _PAGES)
        source = Source(np.ascontiguousarray(found.anon_pages[:_PAGES]))
    began_ns = time.perf_counter_ns()
    waits = ops_reclaim.Waits(source, arguments.seed)
    rows = _rows(arguments, source, waits, say)
    say("done", 1.0)
    return {
        "schema": SCHEMA,
        "machine": machine.describe()
        | before
        | {"copy_variant": nontemporal_variant(), "spill": machine.storage_facts(arguments.near)},
        "arguments": {name: value for name, value in asdict(arguments).items() if name != "near"},
        "pages": found.describe(),
        "rows": [row.to_document() for row in rows],
        "waits_below_ns": {
            name: {str(1 << power): count for power, count in sorted(counts.items())}
            for name, counts in waits.histogram.items()
        },
        "wall_ns": time.perf_counter_ns() - began_ns,
        "commit": commit,
        "remarks": machine.remarks(before, {f"{row.group}: {row.name}": row.spread_percent for row in rows}),
    }


def _rows(arguments: Arguments, source: Source, waits: ops_reclaim.Waits, say: Progress) -> list[Row]:
    size, rounds, seed = arguments.region_bytes, arguments.rounds, arguments.seed
    parts: dict[str, Callable[[], Iterable[Row]]] = {
        "memory": lambda: ops_memory.rows(size, source, rounds, seed),
        "growth": lambda: (*ops_memory.growth(source, rounds, seed), *ops_reclaim.planning(source, rounds, seed)),
        "packed": lambda: ops_packed.rows(min(size, _PACKED_BYTES), source, rounds, seed),
        "reclaim": lambda: ops_reclaim.rows(size, source, rounds, seed),
        "waits": lambda: waits.rows(rounds),
        "device": lambda: ops_device.rows(source, arguments.near, rounds, seed),
        "start": lambda: ops_start.rows(rounds),
    }
    rows: list[Row] = []
    for number, name in enumerate(arguments.groups):
        say(name, number / len(arguments.groups))
        rows += parts[name]()
    return rows
