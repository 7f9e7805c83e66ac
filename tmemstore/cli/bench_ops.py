"""``tmemstore bench ops``: single operations beside what the machine does at best."""

from __future__ import annotations

import argparse
from typing import Any

from tmemstore.cli.rounds import add_names, add_region, add_rounds, measure
from tmemstore.cli.usage import EXIT_CODES, add_results

_NAME = "ops"
_GROUPS = ("memory", "growth", "packed", "reclaim", "waits", "device", "start")
_DESCRIPTION = """\
Time put, get, store, load, drop, migrate and page out, and beside each, by
turns in the same run, what this machine does at best for that job: copies of
pages in random order with and without the cache, random look-ups in a table of
the same size, the bare codec, O_DIRECT reads and writes. Stores are full and
have a random history before anything is measured.

A goal is a ratio to that floor, a time beyond it, or a time. One that is not
reached is said, and is no error: the exit code is 0."""
_EPILOG = f"""\
groups:
  memory    put and get of raw pages, in C, from Python, on two threads
  growth    the same in regions of 64 MiB to 8 GiB; planning (takes 17 GiB)
  packed    lz4 and zstd, the room compressed pages take, bookkeeping
  reclaim   drop and migrate
  waits     single calls beside allocations and the cleaner, with a histogram
  device    page out, load, and a get beside a hit of the page cache
  start     import and help

units:
  SIZE is bytes or a number with K, M, G, KiB, MiB or GiB (powers of 1024).

files:
  DIR/ops.json

examples:
  tmemstore bench ops
  tmemstore bench ops --groups memory,start --rounds 15
  tmemstore bench ops --region 256MiB --format json

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``ops`` to the benchmarks."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "ops",
        usage="tmemstore bench ops [options]",
        help="put, get, store, load, drop beside the floor of the machine",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add_region(add, "1GiB", "the large region")
    add_names(add, "--groups", "group", _GROUPS, "what to measure")
    add_rounds(add, 7)
    add_results(add)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure and report; returns 0."""
    from tmemstore.bench import ops
    from tmemstore.report.ops import ops_table

    def arguments() -> ops.Arguments:
        return ops.Arguments(
            region_bytes=options.region,
            rounds=options.rounds,
            groups=tuple(dict.fromkeys(options.groups)),
            pages=options.pages,
            near=str(options.out),
        )

    return measure(_NAME, options, arguments, ops.run, ops_table)
