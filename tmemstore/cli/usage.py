"""How every subcommand parses its arguments and explains itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tmemstore.cli import output
from tmemstore.units import parse_size, parse_time_ns

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

T = TypeVar("T")

EXIT_CODES = """\
exit codes:
  0  fine (an allocation that was refused is fine)
  1  an allocation was aborted or late, a figure got worse than --fail allows,
     tune found no setting, or --verify that it does not hold, or tmemstore has
     a defect
  2  wrong usage, or input that is unreadable, foreign or malformed
  3  the environment lacks something, or standard output cannot be written to
  130, 143  ended by Ctrl-C, by SIGTERM"""

_WIDTH = 80
_HELP_COLUMN = 22


class UsageError(Exception):
    """Wrong arguments or unusable input; the message is a sentence for the user."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose help looks the same everywhere and whose errors are one sentence."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=_Formatter,
            allow_abbrev=False,
            **options,
        )
        # Python 3.14 and later colour the help.
        self.color = False

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and exit with code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:  # noqa: ARG002 - argparse's signature
        """Print the help as a result is, so that a full or closed output is met in one place."""
        output.write(self.format_help())

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:  # noqa: ARG002
        """Print complaints, all that is left, as remarks are."""
        output.remark(message.rstrip("\n"))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **_options: Any) -> None:
        super().__init__(prog, max_help_position=_HELP_COLUMN, width=_WIDTH)


def checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return ``parse`` for use as an argument's type: what its ValueError says is what the user reads."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def whole(least: int) -> Callable[[str], int]:
    """Return the type of an option that is a whole number of at least so much."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or int(text) < least:
            raise ValueError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return checked(parse)


def one_of(*names: str) -> Callable[[str], str]:
    """Return a parser that takes one of these names."""

    def choose(text: str) -> str:
        if text not in names:
            raise ValueError(f"{text!r} is none of {', '.join(names)}")
        return text

    return checked(choose)


size = checked(parse_size)
time_ns = checked(parse_time_ns)


def several(parse: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Return a parser of a comma-separated list of what ``parse`` parses."""
    return checked(lambda text: [parse(part) for part in text.split(",")])


def add_format(add: Callable[..., Any]) -> None:
    """Add by `add` how a result is printed."""
    add(
        "--format",
        type=one_of("table", "json"),
        default="table",
        metavar="FORM",
        help="what goes to standard output: table or json (default: table)",
    )


def add_results(add: Callable[..., Any]) -> None:
    """Add what every benchmark has by `add`: which pages it runs on, and where its results go."""
    add(
        "--pages",
        default="live",
        metavar="live|FILE.npy",
        help="pages of this machine, or those of a NumPy file, uint8[n, 4096] (default: live)",
    )
    add_output(add)


def add_output(add: Callable[..., Any]) -> None:
    """Add by `add` where the results of a benchmark go."""
    add_format(add)
    add("--out", type=Path, default="bench-results", metavar="DIR", help="where results go (default: bench-results)")
    add("-q", "--quiet", action="store_true", help="no progress, no remarks")
