"""The ``tmemstore`` command: parses, calls the subcommand, turns errors into one sentence and an exit code."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from tmemstore.cli import (
    bench_copy,
    bench_deadline,
    bench_eviction,
    bench_ops,
    calibrate,
    compare,
    convert,
    doctor,
    output,
    replay,
    report,
    tune,
)
from tmemstore.cli.usage import EXIT_CODES, Parser, UsageError

FINE = 0
FAILED = 1
WRONG_USAGE = 2
LACKING = 3
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

_DESCRIPTION = """\
A reserved contiguous memory area lent to cleancache and frontswap pages, and
the time it takes to get it back."""
_EPILOG = f"""\
examples:
  tmemstore doctor                 what this machine gives, what it lacks
  tmemstore calibrate --spill x    how fast this machine and the storage are
  tmemstore bench eviction         eviction time against the ratio
  tmemstore bench deadline         is a promised time kept, whatever happens?
  tmemstore bench ops              what does a put, a get cost here?
  tmemstore bench copy             and what a job that reads files?
  tmemstore convert IN OUT         a trace from what others record
  tmemstore replay TRACE           what would this store have done for a load?
  tmemstore tune --trace T ...     which ratio keeps a deadline, and saves most
  tmemstore compare OLD NEW        two results: what got worse?
  tmemstore report RESULT -o FILE  results on one page, with pictures

Sizes are bytes, or K, M, G and KiB, MiB, GiB (powers of 1024); times are ns,
us, ms or s. Results go to standard output, everything else to standard error.

{EXIT_CODES}"""


def build_parser() -> Parser:
    """Return the parser of the whole command line; nothing heavy is imported."""
    usage = "tmemstore [-h] [--version] COMMAND ..."
    parser = Parser(prog="tmemstore", usage=usage, description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(prog="tmemstore", title="commands", metavar="COMMAND", dest="command")
    doctor.add_parser(commands)
    calibrate.add_parser(commands)
    bench = commands.add_parser(
        "bench",
        usage="tmemstore bench [-h] BENCHMARK ...",
        help="measure on this machine",
        description="Benchmarks on real pages of this machine.",
        epilog="\n  ".join(
            ("examples:", *(f"tmemstore bench {name} --help" for name in ("eviction", "deadline", "ops", "copy")))
        ),
    )
    benches = bench.add_subparsers(
        prog="tmemstore bench", title="benchmarks", metavar="BENCHMARK", dest="benchmark", required=True
    )
    bench_eviction.add_parser(benches)
    bench_deadline.add_parser(benches)
    bench_ops.add_parser(benches)
    bench_copy.add_parser(benches)
    convert.add_parser(commands)
    replay.add_parser(commands)
    compare.add_parser(commands)
    report.add_parser(commands)
    tune.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; ``argv`` defaults to the arguments of the process."""
    try:
        return _run(sys.argv[1:] if argv is None else list(argv), ends_process=argv is None)
    except output.OutputError as error:
        output.remark(f"tmemstore: {error}")
        return LACKING


def _run(arguments: list[str], *, ends_process: bool) -> int:
    parser = build_parser()
    options, unknown = parser.parse_known_args(arguments)
    options.command_line = arguments
    name = " ".join(part for part in ("tmemstore", options.command, getattr(options, "benchmark", None)) if part)
    if unknown:
        parser.exit(WRONG_USAGE, f"{name}: unknown argument {unknown[0]}; see {name} --help\n")
    if options.version:
        import importlib.metadata

        output.write(f"tmemstore {importlib.metadata.version('tmemstore')}\n")
        return FINE
    if options.command is None:
        parser.error("no command was given")
    restore = _terminate_cleanly()
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        if ends_process:  # who keeps Ctrl-C down would see a traceback of wherever we are by then
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        output.remark(f"{name}: interrupted")
        return INTERRUPTED
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        output.remark(f"{name}: {_sentence(error, options)}")
        return code
    finally:
        restore()


def _sentence(error: Exception, options: argparse.Namespace) -> str:
    from tmemstore.report.words import for_options

    said = for_options(str(error), vars(options))
    if isinstance(error, MemoryError) and ";" not in said:  # not the core's, which says what to do
        return f"out of memory{f' ({said})' if said else ''}; free some, or ask for less"
    return said


def _code_of(error: Exception) -> int | None:
    """Return the exit code of an error that is the user's or the machine's, None for one that is ours."""
    if isinstance(error, UsageError):
        return WRONG_USAGE
    if isinstance(error, (output.OutputError, MemoryError)):
        return LACKING
    from tmemstore import EnvironmentLacks, ProfileError, SpillError, TmemError, TraceError
    from tmemstore.bench.pages import PagesFileError
    from tmemstore.cli.results import is_of_the_device

    if isinstance(error, EnvironmentLacks) or (isinstance(error, SpillError) and is_of_the_device(error.__cause__)):
        return LACKING
    if isinstance(error, (SpillError, PagesFileError, ProfileError, TraceError)):
        return WRONG_USAGE
    return FAILED if isinstance(error, TmemError) else None


def _terminate_cleanly() -> Callable[[], None]:
    """Make SIGTERM unwind like Ctrl-C, so that temporary files and child processes go; return what undoes it."""

    def unwind(_signal: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, unwind)
    except ValueError:  # not the main thread
        return lambda: None
    return lambda: _restore(before)


def _restore(before: object) -> None:
    if callable(before) or isinstance(before, int):
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
