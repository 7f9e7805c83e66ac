"""``tmemstore replay``: a trace through the core, in virtual time or for real."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmemstore.cli import output, storage, store_options
from tmemstore.cli.promises import contract, ratio
from tmemstore.cli.usage import EXIT_CODES, UsageError, add_format, one_of

if TYPE_CHECKING:
    from tmemstore.trace.settings import Settings

_SAMPLED_PAGES = 8192
"""For re-use distances: exact below, an estimate above, in bounded memory."""

_DESCRIPTION = """\
Run the puts, gets, stores and loads of a trace through the store and say what
became of them: hit rates, device time saved, bytes written, and how long it
took to get the area back meanwhile.

In virtual time, as it is by default, pages have sizes and no bytes, the device
is a model and an hour of the trace takes a second or two; the decisions are
those of the same core. The same trace, settings and seed give the same result
to the byte, but for wall_ns and machine. --real takes real memory, pages that
compress as the trace says, and as long as the trace lasts."""
_EPILOG = f"""\
what is modelled:
  Events take place at their times; a load from the spill device takes what the
  device takes, and what comes after it waits (late_ns: by how much at most). A
  put or a get takes no time. Sizes that the trace lacks are drawn for each key
  from those of 6000 anonymous pages. Saved device time is against a machine
  without the store: there a hit is a random read, a store a sequential write.

units:
  SIZE is bytes or a number with K, M, G, KiB, MiB or GiB (powers of 1024).
  TIME is a number with ns, us, ms or s, of the trace. Times in the JSON are
  integer nanoseconds. PERCENT is from 50 to below 100.

examples:
  tmemstore convert disk.csv disk.tmt --page-cache 64MiB
  tmemstore replay disk.tmt --info
  tmemstore replay disk.tmt --region 256MiB --storage ufs2.1
  tmemstore replay disk.tmt --contract 64MiB:50ms:soft --ratio 70:30
  tmemstore replay disk.tmt --allocate 32MiB@1s:100ms --format json

{EXIT_CODES}"""


def add_parser(commands: Any) -> None:
    """Add ``replay`` to the commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "replay",
        usage="tmemstore replay TRACE [options]",
        help="run a trace through the store, in virtual time",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("trace", type=Path, metavar="TRACE", help="as tmemstore convert writes it")
    parser.add_argument("--info", action="store_true", help="say what is in the trace, and run nothing")
    add_store(parser.add_argument)
    _add_load(parser.add_argument)
    add_format(parser.add_argument)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no remarks")
    parser.set_defaults(run=run)


def add_store(add: Any) -> None:
    """Add by `add` what store a trace is run through."""
    store_options.add_region(add)
    add(
        "--contract",
        type=contract("soft"),
        metavar="SIZE:TIME[:soft|hard]",
        help="any window of SIZE within TIME; soft where it is left out (default: none)",
    )
    store_options.add_confidence(add, "a soft contract")
    add(
        "--storage",
        default="emmc5.1",
        metavar="NAME|PATH",
        help="the device: a preset, the file of a profile, or emulate:PRESET,... with jitter and pauses "
        "(default: emmc5.1)",
    )
    store_options.add_escape(add, "0")
    add(
        "--ratio",
        type=ratio,
        default="auto",
        metavar="PERCENT|C:F",
        help="the knob: frames that frontswap may take, in percent or as cleancache:frontswap; auto: what the contract "
        "allows; adaptive: within that it follows the load (default: auto)",
    )
    store_options.add_writeback(add)
    store_options.add_codec(add)
    add(
        "--eviction",
        type=one_of("fifo", "lru", "sieve"),
        default="sieve",
        metavar="NAME",
        help="in which order clean pages leave: fifo, lru or sieve (default: sieve)",
    )
    add(
        "--admission",
        type=one_of("on", "off"),
        default="on",
        metavar="on|off",
        help="let clean pages in only where they are worth their copy (default: on)",
    )


def _add_load(add: Any) -> None:
    """What is run through it."""
    add(
        "--only",
        type=one_of("cleancache", "frontswap"),
        metavar="KIND",
        help="events of one kind alone: cleancache or frontswap (default: both)",
    )
    store_options.add_load(add)
    add("--real", action="store_true", help="with real memory, in real time, over an emulated device")
    add("--spill", metavar="FILE", help="with --real: over this file, on the device that it lies on")


def settings_of(options: argparse.Namespace) -> Settings:
    """Return what the options say; raises UsageError for what no store could be."""
    from tmemstore import Contract
    from tmemstore.trace.schedule import Allocate
    from tmemstore.trace.settings import Settings

    storage.check(options.storage)
    try:
        promised = None
        if options.contract is not None:
            size_bytes, deadline_ns, kind = options.contract
            promised = Contract(size_bytes, deadline_ns, kind, options.confidence)
        return Settings(
            region_bytes=options.region,
            storage=options.storage,
            contract=promised,
            escape_bytes=options.escape,
            codec=options.codec,
            eviction=options.eviction,
            writeback=options.writeback,
            frontswap_percent=options.ratio,
            admission_filter=options.admission == "on",
            only=options.only,
            allocate=None if options.allocate is None else Allocate.parse(options.allocate),
            time_scale=options.time_scale,
            rate=options.rate,
            seed=options.seed,
            real=options.real,
            spill=options.spill,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def run(options: argparse.Namespace) -> int:
    """Replay and tell; returns 0, or 1 if an allocation was aborted or late."""
    from tmemstore.trace.format import open_trace

    with open_trace(options.trace) as reader:
        if options.info:
            return _info(reader, options)
        document = _replayed(reader, settings_of(options), options)
    if options.format == "json":
        output.write(output.json_text(document))
    else:
        from tmemstore.report.replay import replay_table

        output.write(replay_table(document))
    if not options.quiet:
        output.remarks_of(document)
    return exit_code(document)


def _replayed(reader: Any, settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    from tmemstore import TraceError
    from tmemstore.bench import machine
    from tmemstore.trace.faults import EventError, fault
    from tmemstore.trace.outcome import replay

    before = machine.condition()
    with output.progress(wanted=not options.quiet) as show:

        def say(events: int) -> None:
            if show is not None:
                show(f"{events} events", min(1.0, events / reader.events))

        try:
            document = replay(reader.blocks, settings, origin=reader.header.origin, say=say)
        except EventError as error:
            raise fault(options.trace, str(error)) from error
        except TraceError:
            raise
        except ValueError as error:
            raise UsageError(str(error)) from error
    document["trace"] = {"name": options.trace.name, "origin": document["trace"]}
    document["command"] = shlex.join(["tmemstore", *options.command_line])
    document["machine"] = machine.describe() | before | {"commit": machine.commit()}
    # In virtual time a noisy machine changes nothing but wall_ns.
    document["remarks"] = machine.remarks(before) if settings.real else []
    return document


def _info(reader: Any, options: argparse.Namespace) -> int:
    from tmemstore.report.terminal import distance_plot
    from tmemstore.report.trace import info_table
    from tmemstore.trace.distances import Distances, Stream
    from tmemstore.trace.info import describe

    fill = bool(reader.header.origin.get("fill"))
    streams = {"cleancache": Stream.CLEANCACHE_FILLED if fill else Stream.CLEANCACHE, "frontswap": Stream.FRONTSWAP}
    watched = {kind: Distances(stream, most_pages=_SAMPLED_PAGES) for kind, stream in streams.items()}
    with output.progress(wanted=not options.quiet) as show:
        document = describe(reader, [distances.add for distances in watched.values()], show)
    histograms = {kind: distances.result() for kind, distances in watched.items()}
    document["reuse_distances"] = {kind: histogram.to_document() for kind, histogram in histograms.items()}
    if options.format == "json":
        output.write(output.json_text(document))
        return 0
    output.write(info_table(document))
    for kind, histogram in histograms.items():
        if histogram.accesses:
            pages = "" if kind == "cleancache" else ", pages before compression"
            output.write(f"\n{kind}{pages}\n{distance_plot(histogram)}")
    return 0


def exit_code(document: dict[str, Any]) -> int:
    """Return 1 if any allocation of the document was aborted or late, else 0."""
    allocations = document["allocations"]
    return 1 if allocations["aborted"] or allocations["late"] else 0
