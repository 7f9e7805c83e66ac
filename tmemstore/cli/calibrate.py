"""``tmemstore calibrate``: how fast the storage under a spill path is, and what the work around it costs the CPU."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tmemstore.cli import output, results
from tmemstore.cli.usage import EXIT_CODES, UsageError, add_format, size, time_ns
from tmemstore.units import format_size, format_time_ns

_DESCRIPTION = """\
Measure sequential and random writes and reads of 4 KiB to 512 KiB, one and
four at a time, and fdatasync, where the spill file is to be; and drops, copies,
zeroing and compression on this machine. The profile that comes of it says how
long requests take, and how far single ones are off that.

Of a spill file that is there nothing is touched: a scratch file beside it is
used, which has no name and vanishes in any case. A block device must hold a
spill header already, unless --overwrite gives up what it holds."""
_EPILOG = f"""\
units:
  SIZE is bytes or a number with K, M, G, KiB, MiB or GiB (powers of 1024).
  TIME is a number with ns, us, ms or s. Times in the JSON are integer
  nanoseconds. MB/s are 10^6 bytes a second. Quantiles are nearest-rank.

examples:
  tmemstore calibrate --spill /mnt/sdcard/spill.img --output sdcard.json
  tmemstore calibrate --spill spill.img --budget 2s --limit 64MiB
  tmemstore calibrate --spill /dev/mmcblk1p3 --overwrite
  tmemstore calibrate --from sdcard.json
  fio --output-format=json --output=fio.json job.fio
  tmemstore calibrate --from fio.json --output sdcard.json

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``calibrate`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "calibrate",
        usage="tmemstore calibrate (--spill PATH | --from FILE) [options]",
        help="measure the storage under a spill path, or convert figures of fio",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--spill", metavar="PATH", help="spill file, block device or folder to measure")
    what.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help="measure nothing: show a saved profile, or convert the JSON output of fio",
    )
    add = parser.add_argument
    add("--output", type=Path, metavar="FILE", help="save the profile here (default: nowhere)")
    add("--budget", type=time_ns, default="20s", metavar="TIME", help="about how long it takes (default: 20s)")
    add("--limit", type=size, default="512MiB", metavar="SIZE", help="bytes to write at most (default: 512MiB)")
    add("--overwrite", action="store_true", help="take a block device that holds something else, losing it")
    add_format(add)
    add("-q", "--quiet", action="store_true", help="no progress, no remarks")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, or read, and report; returns 0."""
    place = f"--output {options.output}"
    if options.output is not None:
        try:  # now: after twenty seconds of measuring is no time to find that it cannot be written
            results.try_file(options.output)
        except OSError as error:
            raise results.not_writable(place, error, "file") from error
    document = _read(options.source) if options.source is not None else _measure(options)
    document["arguments"] |= {"output": None if options.output is None else str(options.output)}
    document["arguments"] |= {"format": options.format}
    results.deliver(document, options, options.output, _table, place=place)
    return 0


def _table(document: dict[str, Any]) -> str:
    from tmemstore.report.profile import profile_table

    return profile_table(document)


def _read(source: str) -> dict[str, Any]:
    """Return the document of a saved profile; of the machine it was measured on nothing is known here."""
    from tmemstore import StorageProfile

    return StorageProfile.load(source).to_document() | {"arguments": {"from": source}, "remarks": []}


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    from tmemstore.bench import machine
    from tmemstore.storage import calibrate, cells

    before, commit = machine.condition(), machine.commit()
    try:
        at_most = calibrate.planned_bytes(options.limit)
    except ValueError as error:
        raise UsageError(f"--limit: {error}") from error
    if options.budget <= 0:
        raise UsageError("--budget must be longer than nothing")
    if not options.quiet:
        output.remark(
            f"writing at most {-(-at_most >> 20)} MiB where {options.spill} is, "
            f"in about {format_time_ns(options.budget)}; --limit {format_size(options.limit)} bounds it"
        )
    with output.progress(wanted=not options.quiet) as show:
        found = calibrate.measure(
            options.spill,
            budget_ns=options.budget,
            limit_bytes=options.limit,
            overwrite=options.overwrite,
            progress=show,
        )
    return found.profile.to_document() | {
        "machine": machine.describe() | before,
        "arguments": {
            "spill": options.spill,
            "budget_ns": options.budget,
            "limit_bytes": options.limit,
            "overwrite": options.overwrite,
            "seed": cells.SEED,
        },
        "measurements": found.measurements(),
        "commit": commit,
        "remarks": machine.remarks(before),
    }
