"""``tmemstore tune``: the knob from a workload, a device and a deadline."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tmemstore.cli import output, results, storage, store_options
from tmemstore.cli.promises import contract
from tmemstore.cli.usage import EXIT_CODES, UsageError, add_output, one_of, several, whole

_NAME = "tune"
_STATE = "tune.rows.jsonl"
_MAYBE = ("tune.toml", *(f"{picture}.{kind}" for picture in ("tune", "tune-curves") for kind in ("svg", "png")))
"""What a run does not write if nothing holds, or without matplotlib."""
_ALL = 100
_WRITEBACKS = ("back", "behind", "through")
_CODECS = ("lz4", "zstd", "none")
_EVICTIONS = ("sieve", "lru", "fifo")
_DESCRIPTION = """\
Run a trace, in virtual time, with every ratio of cleancache to frontswap and
every write policy; recommend the setting that saves most device time among
those whose allocations keep the contract's deadline at its confidence; say what
the next step either way would cost. If none keeps it, say what deadline would.

A trace that has no allocations of its own gets 1000 of the contract's size at
random times; so many cannot show more than 99.7 %, and it says so. A sweep that
was interrupted goes on where it was when it is started again."""
_EPILOG = f"""\
units:
  SIZE is bytes or a number with K, M, G, KiB, MiB or GiB (powers of 1024).
  TIME is a number with ns, us, ms or s. Times in the JSON are integer
  nanoseconds. PERCENT is from 50 to below 100. LIST is separated by commas.

files:
  DIR/tune.json, DIR/tune.toml for tmemstore.open(config=...), pictures
  DIR/tune.svg, DIR/tune-curves.svg and both as .png (they need matplotlib:
  pip install 'tmemstore[plot]'); while it runs DIR/{_STATE}.

examples:
  tmemstore tune --trace T --contract 64MiB:50ms:soft --storage emmc5.1
  tmemstore tune --trace T --region 1GiB --contract 64MiB:20ms:hard \\
    --escape 32MiB --writeback behind
  tmemstore tune --trace T --contract 64MiB:50ms:soft --confidence 99.99 \\
    --allocate 64MiB@10ms:1ms --codec lz4,zstd --eviction sieve,lru --step 10
  tmemstore tune --trace T --contract 64MiB:50ms:soft --verify
  tmemstore tune --trace T --contract 64MiB:50ms:soft \\
    --executor dask://10.0.0.5:8786

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``tune`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "tune",
        usage="tmemstore tune --trace FILE --contract SIZE:TIME[:soft|hard] [options]",
        help="the knob from a workload, a device and a deadline",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    _add_store(parser.add_argument)
    _add_sweep(parser.add_argument)
    store_options.add_load(parser.add_argument)
    add_output(parser.add_argument)
    parser.set_defaults(run=run)


def _add_store(add: Any) -> None:
    """What is opened."""
    add("--trace", type=Path, required=True, metavar="FILE", help="the workload, a trace that tmemstore convert made")
    store_options.add_region(add)
    add(
        "--contract",
        type=contract("soft"),
        required=True,
        metavar="SIZE:TIME[:soft|hard]",
        help="any window of SIZE within TIME; soft where it is left out",
    )
    store_options.add_confidence(add, "a soft contract")
    add(
        "--storage",
        default="emmc5.1",
        metavar="WHAT",
        help="a preset, the file of a profile, or emulate:PRESET,... (default: emmc5.1)",
    )
    store_options.add_escape(add, "0")


def _add_sweep(add: Any) -> None:
    """What is tried, and where."""
    add("--step", type=whole(1), default="5", metavar="N", help="of the ratio, in points of percent (default: 5)")
    for name, values, default, text in (
        ("writeback", _WRITEBACKS, ",".join(_WRITEBACKS), "write policies"),
        ("codec", _CODECS, "lz4", "codecs"),
        ("eviction", _EVICTIONS, "sieve", "eviction orders"),
        ("admission", ("on", "off"), "on", "admission filter"),
    ):
        add(
            f"--{name}",
            type=several(one_of(*values)),
            default=default,
            metavar="LIST",
            help=f"{text} to try: {', '.join(values)} (default: {default})",
        )
    add("--jobs", type=whole(1), metavar="N", help="replays at a time (default: one a core)")
    add(
        "--executor",
        default="processes",
        metavar="WHERE",
        help="processes, threads or dask://HOST:PORT (default: processes)",
    )
    add(
        "--verify",
        action="store_true",
        help="run the recommended setting in real memory and real time too, a minute at most",
    )


# ---- running ----


def run(options: argparse.Namespace) -> int:
    """Tune and report; returns 0, or 1 if no setting keeps the deadline, or a verification did not."""
    from tmemstore.bench import machine
    from tmemstore.tuning import executors, tuner
    from tmemstore.tuning.sweep import State

    storage.check(options.storage)
    base, grid = _checked(options)
    results.prepare(options.out, f"{_NAME}.json")
    noise, commit = machine.condition(), machine.commit()
    with contextlib.ExitStack() as stack:
        show = stack.enter_context(output.progress(wanted=not options.quiet))
        state = stack.enter_context(State(options.out / _STATE, commit or ""))
        pool = stack.enter_context(executors.executor(options.executor, options.jobs))
        stack.enter_context(_errors())
        document = tuner.tune(str(options.trace), base, grid, pool, state=state, verify=options.verify, show=show)
    document |= {
        "machine": machine.describe(),
        "commit": commit,
        "remarks": machine.remarks(noise) if options.verify else [],
    }
    path = options.out / f"{_NAME}.json"
    results.deliver(document, options, path, _table, beside=lambda written: _beside(document, options.out, written))
    state.remove()
    return exit_code(document)


def _checked(options: argparse.Namespace) -> tuple[Any, Any]:
    from tmemstore import Contract
    from tmemstore.trace.schedule import Allocate
    from tmemstore.trace.settings import Settings
    from tmemstore.tuning import executors
    from tmemstore.tuning.tuner import Grid

    size_bytes, deadline_ns, kind = options.contract
    with _errors():
        executors.check(options.executor)
        base = Settings(
            region_bytes=options.region,
            storage=options.storage,
            contract=Contract(size_bytes, deadline_ns, kind=kind, confidence=options.confidence),
            escape_bytes=options.escape,
            allocate=None if options.allocate is None else Allocate.parse(options.allocate),
            time_scale=options.time_scale,
            rate=options.rate,
            seed=options.seed,
        )
        grid = Grid.by_step(
            options.step,
            writebacks=_once(options.writeback),
            codecs=_once(options.codec),
            evictions=_once(options.eviction),
            admissions=[word == "on" for word in _once(options.admission)],
        )
    return base, grid


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """What no sweep could run with is the user's to change."""
    from tmemstore import ProfileError, TraceError

    try:
        yield
    except (ProfileError, TraceError):
        raise
    except ValueError as error:
        raise UsageError(str(error)) from error


def _table(document: dict[str, Any]) -> str:
    from tmemstore.report.tune import tune_table

    return tune_table(document)


def _beside(document: dict[str, Any], folder: Path, written: list[Path]) -> None:
    """Write the config and the pictures, and add their paths to those that are ``written``."""
    from tmemstore.report.result_drawings import drawings_of
    from tmemstore.tuning.tuner import toml

    config, text = folder / f"{_NAME}.toml", toml(document)
    for name in _MAYBE:  # of an earlier run: they would not be this one's
        (folder / name).unlink(missing_ok=True)
    if text is not None:
        results.write_whole(config, text)
        written.append(config)
    for drawing in drawings_of(document):
        written += drawing.save(folder)


def exit_code(document: dict[str, Any]) -> int:
    """Return 1 if nothing is recommended, or the recommended setting did not hold in real time; else 0."""
    if document["recommended"] is None:
        return 1
    verify = document["verify"]
    return 1 if verify is not None and not verify["real"]["holds"] else 0
