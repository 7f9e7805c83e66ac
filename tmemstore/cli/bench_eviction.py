"""``tmemstore bench eviction``: eviction time against the cleancache:frontswap ratio, on real pages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tmemstore.cli import output, results, storage, store_options
from tmemstore.cli.usage import EXIT_CODES, UsageError, add_results, several, time_ns, whole
from tmemstore.units import parse_size

_NAME = "eviction"
_ALL = 100
_DESCRIPTION = """\
Fill a region with file pages (cleancache) and anonymous pages (frontswap) at
several ratios, ask for a contiguous range again and again, and report how long
it took. The pages are real: files of this machine, and the memory of processes
that are started for it (Python, and a compiler, perl and node where they are
there).

The ratio is in frames. The kinds are interleaved: every 2 MiB chunk holds the
ratio within 2 points. Each row measures the dearest window, which is what can
be promised, and the cheapest, which is what a caller gets."""
_EPILOG = f"""\
units:
  SIZE is bytes or a number with K, M, G, KiB, MiB or GiB (powers of 1024).
  TIME is a number with ns, us, ms or s. Times in the JSON are integer
  nanoseconds. Counts in a row are medians over its repeats; quantiles are
  nearest-rank.

files:
  DIR/eviction.json, DIR/eviction.svg and DIR/eviction.png (the pictures need
  matplotlib: pip install 'tmemstore[plot]').

examples:
  tmemstore bench eviction
  tmemstore bench eviction --size 64MiB --deadline 50ms --repeats 100
  tmemstore bench eviction --spill /mnt/sdcard/spill.img --ratios 0,10,20
  tmemstore bench eviction --region 32MiB --size 8MiB,32MiB --format json
  tmemstore bench eviction --storage emulate:sd-a2 --ratios 0,10,20
  tmemstore bench eviction --storage emulate:emmc5.1 --baseline cma,gcma
  tmemstore bench eviction --published --ratios 29 --repeats 32

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``eviction`` to the benchmarks."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "eviction",
        usage="tmemstore bench eviction [options]",
        help="eviction time against the cleancache:frontswap ratio",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    store_options.add_region(add)
    add(
        "--size",
        type=several(parse_size),
        action="extend",
        metavar="SIZE",
        help="ranges to ask for, separated by commas or given several times (default: 64MiB and the whole region)",
    )
    add(
        "--ratios",
        type=several(_percent),
        default="0,10,20,30,40,50,60,70,80,90,100",
        metavar="LIST",
        help="percent of all frames that hold frontswap pages, separated by commas (default: 0,10,...,100)",
    )
    add("--repeats", type=whole(1), default="2", metavar="N", help="allocations for each row (default: 2)")
    add("--deadline", type=time_ns, metavar="TIME", help="deadline of each allocation (default: none)")
    add(
        "--spill",
        metavar="PATH",
        help="spill file or block device; a file that was not there is removed at the end (default: a temporary file "
        "beside DIR)",
    )
    add(
        "--storage",
        metavar="WHAT",
        help="what is known of the device: emulate:PRESET,... puts a model in its place (data in RAM, or in PATH), a "
        "preset or the file of a profile is taken as given (default: measured at the start)",
    )
    add("--virtual", action="store_true", help="let an emulated device, and the CPU's work, take modelled time only")
    store_options.add_escape(add, "0")
    store_options.add_codec(add)
    add(
        "--baseline",
        type=several(_baseline),
        action="extend",
        metavar="LIST",
        help="systems to compare with, from cma, gcma and zram, separated by commas: models on the same pages, or the "
        "kernel's own zram where there is root, each with a card of what it holds and leaves out (default: none)",
    )
    add(
        "--baseline-calls",
        type=whole(1),
        default="100",
        metavar="N",
        help="calls of the model of cma, for each number of pins, ratio and size: 100 carry a p99, 1000 a p99.9 "
        "(default: 100)",
    )
    add(
        "--published",
        action="store_true",
        help="print the latencies that were published of GCMA and CMA in 2014 and 2015, on a CuBox i4, beside ours; "
        "the ranges asked for are then by default of their sizes, 1 to 32000 pages",
    )
    add_results(add)
    parser.set_defaults(run=run)


def _percent(text: str) -> int:
    if not text.strip().isdecimal() or int(text) > _ALL:
        raise ValueError(f"{text!r} is not a whole percentage from 0 to 100")
    return int(text)


def _baseline(text: str) -> str:
    from tmemstore.bench.baselines import run as baselines

    baselines.check([text])
    return text


def run(options: argparse.Namespace) -> int:
    """Measure and report; returns 0, or 1 if an allocation was aborted or late."""
    from tmemstore.bench import eviction

    try:
        sizes = options.size or _sizes(options)
        arguments = eviction.Arguments(
            region_bytes=options.region,
            sizes_bytes=tuple(dict.fromkeys(sizes)),
            ratios=tuple(dict.fromkeys(options.ratios)),
            repeats=options.repeats,
            deadline_ns=options.deadline,
            spill=options.spill,
            storage=options.storage,
            escape_bytes=options.escape,
            codec=options.codec,
            pages=options.pages,
            virtual=options.virtual,
            near=str(options.out),
            baselines=tuple(dict.fromkeys(options.baseline or ())),
            baseline_calls=options.baseline_calls,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    if options.storage is not None:
        storage.check(options.storage)
    results.prepare(options.out, f"{_NAME}.json")
    with output.progress(wanted=not options.quiet) as show:
        document = eviction.run(arguments, show)
    document["arguments"] |= {"out": str(options.out), "format": options.format}
    if options.published:
        document["arguments"]["published"] = True
    results.deliver(
        document,
        options,
        options.out / f"{_NAME}.json",
        _tables,
        beside=lambda written: written.extend(_pictures(document, options.out)),
    )
    if not options.quiet:
        for row in document["rows"]:
            if not row["interleaved"]:
                output.remark(
                    f"at {100 - row['frontswap_percent']}:{row['frontswap_percent']} a chunk was "
                    f"{row['worst_chunk_deviation_points']:.1f} points off the ratio; 2 are allowed"
                )
    return exit_code(document)


def _sizes(options: argparse.Namespace) -> list[int]:
    if options.published:
        from tmemstore.report import published

        return [pages * published.PAGE_BYTES for pages in published.PAGES]
    return [min(64 << 20, options.region), options.region]


def _tables(document: dict[str, Any]) -> str:
    from tmemstore.report.baselines import baselines_table
    from tmemstore.report.published import published_table
    from tmemstore.report.tables import eviction_table

    tables = [eviction_table(document)]
    if "baselines" in document:
        tables.append(baselines_table(document))
    if document["arguments"].get("published"):
        tables.append(published_table(document))
    return "\n".join(tables)


def exit_code(document: dict[str, Any]) -> int:
    """Return 1 if any allocation of the document was aborted or late, else 0."""
    failed = any(
        row["endings"]["aborted"] or row["cheapest_endings"]["aborted"] or row["late"] or row["cheapest_late"]
        for row in document["rows"]
    )
    return 1 if failed else 0


def _pictures(document: dict[str, Any], folder: Path) -> list[Path]:
    from tmemstore.report.plots import eviction_drawing

    return eviction_drawing(document).save(folder)
