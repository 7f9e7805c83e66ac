"""``tmemstore doctor``: what this machine gives, and what to do about each thing that is missing."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from typing import Any

from tmemstore.cli import output
from tmemstore.cli.usage import EXIT_CODES, add_format

SCHEMA = "tmemstore.doctor/1"

_DESCRIPTION = """\
Look at what decides how fast an area can be filled and emptied on this
machine: huge pages, the limit of locked memory, O_DIRECT on the spill path,
io_uring, the codecs and where they come from, the way pages are copied. For
each thing that is missing it says what to do. Nothing is changed; a small file
is made on the spill path and removed again."""
_EPILOG = f"""\
states:
  ok        as it should be
  optional  missing; everything works without it, slower or with less comfort
  missing   tmemstore, or tmemstore with this spill path, cannot work without

examples:
  tmemstore doctor
  tmemstore doctor --spill /mnt/sdcard/spill.img
  tmemstore doctor --format json

{EXIT_CODES}"""
_WIDTH = 80


def add_parser(commands: Any) -> None:
    """Add ``doctor`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        usage="tmemstore doctor [options]",
        help="what this machine gives, and what to do about what is missing",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--spill",
        metavar="PATH",
        help="spill file, block device or folder to look at (default: the current folder)",
    )
    add_format(parser.add_argument)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look and report; returns 3 if something that is required is missing, else 0."""
    from tmemstore.cli import checks

    found = checks.all_checks(options.spill)
    if options.format == "json":
        document = {"schema": SCHEMA, "checks": [check.as_dict() for check in found]}
        output.write(output.json_text(document))
    else:
        output.write("\n".join(line for check in found for line in lines_of(check)) + "\n")
    return 3 if any(check.state == checks.MISSING for check in found) else 0


def lines_of(check: Any) -> Iterator[str]:
    """Give the lines of a check, of 80 columns."""
    yield from _column(f"{check.state:<9} {check.name:<14}", check.found)
    if check.advice is not None:
        yield from _column(f"{'':<9} ->", check.advice)


def _column(head: str, text: str) -> Iterator[str]:
    """Put a text behind a head, within the width; of what is too long for a line, a path is broken behind a slash."""
    room = _WIDTH - len(head) - 1
    for line in textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False):
        rest = line
        while rest:
            end = len(rest) if len(rest) <= room else rest.rfind("/", 0, room) + 1 or room
            yield f"{head} {rest[:end]}"
            head, rest = " " * len(head), rest[end:]
