"""``tmemstore bench copy``: what a cleancache costs, and gives, a job that reads files."""

from __future__ import annotations

import argparse
from typing import Any

from tmemstore.cli.rounds import add_names, add_region, add_rounds, measure
from tmemstore.cli.usage import EXIT_CODES, add_output, size, time_ns

_NAME = "copy"
_JOBS = ("stream", "zipf", "tree", "compile")
_DESCRIPTION = """\
Read files through a page cache of this process, past that of the kernel, with
no store behind it, with one that takes nothing, with one that takes every page
that the cache gives up, and with one that has the admission filter: throughput,
the p99 of a request, the time that went into copies and the device time that
they saved. By turns, so that each round of one has a round of the others beside
it.

The goal: with the filter, a job that reads nothing twice keeps 0.98 of its
throughput. One that is not reached is said, and is no error."""
_EPILOG = f"""\
jobs:
  stream   a file larger than everything, once from beginning to end
  zipf     single pages at random, some much more often than others
  tree     many small files, all of them twice
  compile  C files: their headers are read, then the compiler runs (left out
           where there is none)

units:
  SIZE is bytes or a number with K, M, G, KiB, MiB or GiB (powers of 1024).
  TIME is a number with ns, us, ms or s.

files:
  DIR/copy.json; and while it runs, in DIR, files of four times the size of
  region and cache together

examples:
  tmemstore bench copy
  tmemstore bench copy --jobs stream --rounds 31
  tmemstore bench copy --region 256MiB --cache 64MiB --format json

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``copy`` to the benchmarks."""
    parser: argparse.ArgumentParser = commands.add_parser(
        _NAME,
        usage="tmemstore bench copy [options]",
        help="what a cleancache costs and gives a job that reads files",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add_region(add, "64MiB", "the reserved area")
    add("--cache", type=size, default="16MiB", metavar="SIZE", help="the page cache in front of it (default: 16MiB)")
    add_rounds(add, 15)
    add_names(add, "--jobs", "job", _JOBS, "what is read")
    add(
        "--refault",
        type=time_ns,
        metavar="TIME",
        help="what the filter takes a read of a page to cost (default: what it costs without a store)",
    )
    add_output(add)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure and report; returns 0."""
    from tmemstore.bench import copy
    from tmemstore.report.copy import copy_table

    def arguments() -> copy.Arguments:
        return copy.Arguments(
            region_bytes=options.region,
            cache_bytes=options.cache,
            rounds=options.rounds,
            jobs=tuple(dict.fromkeys(options.jobs)),
            refault_ns=options.refault,
            near=str(options.out),
        )

    return measure(_NAME, options, arguments, copy.run, copy_table)
