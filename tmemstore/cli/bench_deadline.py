"""``tmemstore bench deadline``: allocations under a contract, with a load beside them, each held to its end."""

from __future__ import annotations

import argparse
import re
from typing import Any

from tmemstore.cli import output, results, storage, store_options
from tmemstore.cli.promises import contract
from tmemstore.cli.usage import EXIT_CODES, UsageError, add_results, checked, one_of, time_ns, whole

_SCENARIOS = ("steady", "slower", "stalls", "pairs", "capacity", "unbound")
_DESCRIPTION = """\
Ask for contiguous ranges of mixed sizes, again and again, under a contract,
while a load puts and gets clean pages and stores, loads and forgets anonymous
ones; hold every allocation to its ending (met, refused, aborted) and to the
time that was predicted and promised, and compare every page at the end.

With an emulated device it runs in virtual time, where a second of the device
costs no second of yours; --real makes it last as long as it lasts, with the
load on threads of its own and the way back into Python measured as well."""
_EPILOG = f"""\
scenarios:
  steady    the device stays as it is
  slower    from the middle on it is 10 times slower
  stalls    it stalls fully for 120 ms, by turns before and during allocations
  pairs     two allocations a --gap apart, the first from full windows; one that
            is refused as recovering is tried until it would be met
  capacity  no allocations: N seconds of stores at half the device's write rate
  unbound   no contract and no deadline: how tight are the bounds?

units:
  SIZE is bytes or a number with K, M, G, KiB, MiB or GiB (powers of 1024).
  TIME is a number with ns, us, ms or s. Times in the JSON are integer
  nanoseconds. PERCENT is from 50 to below 100.

files:
  DIR/deadline-NAME.json

examples:
  tmemstore bench deadline
  tmemstore bench deadline --contract 64MiB:50ms:soft --confidence 99.9 \\
    --storage emulate:emmc5.1,sigma=0.1,pause_every=64MiB,pause=10ms
  tmemstore bench deadline --scenario stalls --allocations 3000
  tmemstore bench deadline --scenario pairs --gap 10ms --contract 8MiB:9ms:soft
  tmemstore bench deadline --storage real --allocations 200

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``deadline`` to the benchmarks."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "deadline",
        usage="tmemstore bench deadline [options]",
        help="allocations under a contract: endings, coverage, tightness",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    _add_store(parser.add_argument)
    _add_run(parser.add_argument)
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--virtual",
        action="store_const",
        const=True,
        dest="virtual",
        help="time passes in the model only (default where the storage is emulated)",
    )
    when.add_argument(
        "--real", action="store_const", const=False, dest="virtual", help="time passes as it does (default elsewhere)"
    )
    parser.set_defaults(run=run)


def _add_store(add: Any) -> None:
    """What is opened."""
    store_options.add_region(add)
    add(
        "--contract",
        type=contract("hard"),
        default="64MiB:50ms:hard",
        metavar="SIZE:TIME[:soft|:hard]",
        help="any window of SIZE within TIME; hard where it is left out (default: 64MiB:50ms:hard)",
    )
    store_options.add_confidence(add, "the bound, and of a soft contract")
    store_options.add_escape(add, "16MiB")
    store_options.add_codec(add)
    store_options.add_writeback(add)
    add(
        "--storage",
        default="emulate:emmc5.1",
        metavar="WHAT",
        help="emulate:PRESET,...; real: a temporary spill file beside DIR, measured at the start; a preset or the file "
        "of a profile: the same file, taken as given (default: emulate:emmc5.1)",
    )


def _add_run(add: Any) -> None:
    """What is done with it."""
    add(
        "--scenario",
        type=one_of(*_SCENARIOS),
        default="steady",
        metavar="NAME",
        help="what happens meanwhile, see below (default: steady)",
    )
    add(
        "--allocations",
        type=whole(1),
        default="1000",
        metavar="N",
        help="how many; of pairs in pairs, of seconds in capacity (default: 1000)",
    )
    add(
        "--threads",
        type=whole(1),
        default="4",
        metavar="N",
        help="load, in real time (default: 4)",
    )
    add(
        "--gap",
        type=time_ns,
        metavar="TIME",
        help="between two allocations (default: as long as the device needs, drawn from the seed; in pairs: none)",
    )
    add("--seed", type=whole(0), default="1", metavar="N", help="of all that is drawn (default: 1)")
    add("--name", type=checked(_name), metavar="NAME", help="of the file (default: that of the scenario)")
    add_results(add)


# ---- reading the arguments ----


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise ValueError(f"{text!r} is no name for a file; use letters, digits, '.', '_' and '-'")
    return text


# ---- running ----


def run(options: argparse.Namespace) -> int:
    """Run and report; returns 0, or 1 if an allocation was aborted or late."""
    from tmemstore.bench import deadline
    from tmemstore.report.deadline import deadline_table

    arguments = _arguments(options)
    name = f"deadline-{options.name or options.scenario}.json"
    results.prepare(options.out, name)
    with output.progress(wanted=not options.quiet) as show, storage.contract_errors():
        document = deadline.run(arguments, show)
    results.deliver(document, options, options.out / name, deadline_table)
    return exit_code(document)


def _arguments(options: argparse.Namespace) -> Any:
    from tmemstore.bench import deadline_arguments

    if options.storage != deadline_arguments.REAL_DEVICE:
        storage.check(options.storage)
    contract_bytes, deadline_ns, kind = options.contract
    emulated = options.storage.startswith(deadline_arguments.EMULATED)
    try:
        return deadline_arguments.Arguments(
            scenario=options.scenario,
            allocations=options.allocations,
            region_bytes=options.region,
            contract_bytes=contract_bytes,
            deadline_ns=deadline_ns,
            kind=kind,
            confidence=options.confidence,
            escape_bytes=options.escape,
            codec=options.codec,
            writeback=options.writeback,
            storage=options.storage,
            virtual=emulated if options.virtual is None else options.virtual,
            threads=options.threads,
            gap_ns=options.gap,
            seed=options.seed,
            pages=options.pages,
            near=str(options.out),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def exit_code(document: dict[str, Any]) -> int:
    """Return 1 if any allocation of the document was aborted or late, else 0."""
    outcome = document["outcome"]
    return 1 if outcome["endings"]["aborted"] or outcome["late"] else 0
