"""``tmemstore compare``: two results of one benchmark, figure beside figure, and whether it got worse."""

from __future__ import annotations

import argparse
import re
from decimal import Decimal
from typing import Any

from tmemstore.cli import output
from tmemstore.cli.usage import EXIT_CODES, UsageError, add_format, several

_DESCRIPTION = """\
Put two results of one benchmark beside each other: each figure of the rows that
both have, its change, how much of that may be noise by what each result itself
holds, and a verdict. What else differs (arguments, machine, pages) and rows
that only one has are said on standard error."""
_EPILOG = f"""\
metrics:
  eviction  p50, p99, max, bytes_written, miss_rate, late
  deadline  p50, p99, p999, max, core_lag_p999, python_lag_p999, miss_rate,
            late, bound_missed, tightness, in_use, frontswap; in the scenario
            capacity also in_use_worst, frontswap_worst, stores_refused; of
            fewer than 100 allocations there is no p99, of 1000 no p999
  ops       ours, floor, figure: as in the table of bench ops
  copy      mb_per_s, against_off, p99, copy: as in the table of bench copy
  tune      p50, p99, max, saved, bytes_written, miss_rate, late
  replay    cleancache_hits, frontswap_hits, refused, bytes_written, saved,
            miss_rate (refused, aborted or late), p50, p99, max
  peers     cpu, hits: of bench/peers.py
  traces    events, saved, adaptive, cleancache_hits: of bench/traces.py

  More is worse, but of MB/s, mb_per_s, against_off, in_use, frontswap, saved,
  adaptive, events, all hits and what has a least for a goal. A figure within
  noise has not got worse; one that is 0 in the baseline and not in the
  candidate has by more than any percentage, and one that is gone too.

examples:
  tmemstore compare before/eviction.json after/eviction.json
  tmemstore compare old/ops.json new/ops.json --fail figure:10%
  tmemstore compare a.json b.json --fail p50:5%,p99:20% --fail late:0%
  tmemstore compare a.json b.json --format json

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``compare`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "compare",
        usage="tmemstore compare BASELINE.json CANDIDATE.json [options]",
        help="two results beside each other: what got worse?",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("baseline", metavar="BASELINE.json", help="the result to compare with")
    add("candidate", metavar="CANDIDATE.json", help="the result that may have got worse")
    add(
        "--fail",
        type=several(_limit),
        action="extend",
        metavar="METRIC:PERCENT%",
        help="exit with 1 if a figure of that name got worse by more than so many percent; several, separated by "
        "commas or given several times",
    )
    add_format(add)
    parser.set_defaults(run=run)


def _limit(text: str) -> tuple[str, Decimal]:
    match = re.fullmatch(r"\s*([a-z][a-z0-9_]*):([0-9]{1,6}(?:\.[0-9]{1,6})?)%\s*", text)
    if not match:
        raise ValueError(f"{text!r} is no limit; write METRIC:PERCENT%, for example p99:10%")
    return match[1], Decimal(match[2])


def run(options: argparse.Namespace) -> int:
    """Compare and report; returns 0, or 1 if a figure that --fail names got worse by more than it may."""
    from tmemstore.report import compare, figures
    from tmemstore.report.compare_table import compare_table
    from tmemstore.report.tables import plain

    limits: dict[str, Decimal] = {}
    for name, percent in options.fail or ():
        if limits.setdefault(name, percent) != percent:
            raise UsageError(f"--fail gives {name} two limits, {limits[name]:f}% and {percent:f}%; give it one")
    try:
        document = compare.compare(figures.read(options.baseline), figures.read(options.candidate), limits)
    except figures.ResultError as error:
        raise UsageError(plain(str(error))) from error
    except compare.UnknownMetricError as error:
        raise UsageError(f"--fail: {error}") from error
    output.write(output.json_text(document) if options.format == "json" else compare_table(document))
    for text in compare.remarks(document):
        output.remark(plain(text))
    return 1 if document["regressed"] else 0
