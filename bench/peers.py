"""How fast `tmemstore replay` is beside libcachesim on one stream of requests, and on traces: bench/peers.py.

One zipf stream is written in both formats. In each round every system runs it from its file, ours as a cleancache alone
(in virtual time, without a contract or an admission filter), theirs by `process_trace`, each in an order that turns
from round to round; the times are CPU times of the thread, since other work may share the cores. theirs twice: with a
hash table of as many buckets as the cache has objects, rounded up to a power of two, and with the default of 2^24.
Where both have an order their hits must be equal. Then every --trace, as `tmemstore replay` runs it with all its
defaults. The result goes to bench/results/peers.json. Exit code: 0, 1 if hits differ, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import libcachesim
import numpy as np
import numpy.typing as npt

from tmemstore.bench import machine
from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.format import TraceWriter, open_trace
from tmemstore.trace.outcome import replay
from tmemstore.trace.replay import Replay
from tmemstore.trace.settings import Settings
from tmemstore.units import PAGE_SIZE

ROOT: Final = Path(__file__).resolve().parents[1]
RESULT: Final = ROOT / "bench" / "results" / "peers.json"
ORACLE: Final = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
"""A record of libCacheSim's oracleGeneral."""
THEIRS: Final = {
    "fifo": libcachesim.FIFO,
    "lru": libcachesim.LRU,
    "sieve": libcachesim.Sieve,
    "s3-fifo": libcachesim.S3FIFO,
}
OURS: Final = ("fifo", "lru", "sieve")
DEFAULT_HASHPOWER: Final = 24

Run = Callable[[], tuple[int, int]]
"""Thread CPU ns, and hits."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream in both formats, and the pages of the cache that it runs through."""

    ours: Path
    theirs: Path
    frames: int


def zipf(requests: int, pages: int, skew: float, seed: int) -> npt.NDArray[np.int64]:
    """int64[requests] page numbers below `pages`, the k-th most frequent one with a weight of k ** -skew."""
    rng = np.random.default_rng(seed)
    weights = np.arange(1, pages + 1) ** -skew
    picked = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(requests))
    return rng.permutation(pages)[np.minimum(picked, pages - 1)]


def write(folder: Path, pages: npt.NDArray[np.int64], frames: int) -> Stream:
    """Write the stream into a folder in both formats."""
    stream = Stream(folder / "stream.tmt", folder / "stream.oracleGeneral", frames)
    events = np.zeros(len(pages), RECORD)
    events["op"], events["time_ns"] = Op.GET_PAGE, np.arange(len(pages)) * 1000
    events["object"], events["index"] = pages >> 16, pages & 0xFFFF
    with TraceWriter(stream.ours, {"kind": "seeded", "fill": True}) as writer:
        writer.write(events)
    records = np.zeros(len(pages), ORACLE)
    records["time"], records["id"], records["size"] = np.arange(len(pages)), pages + 1, PAGE_SIZE
    records["next"] = -1
    records.tofile(stream.theirs)
    return stream


def run_ours(stream: Stream, order: str) -> tuple[int, int]:
    """Replay it, from its file."""
    settings = Settings(
        region_bytes=stream.frames * PAGE_SIZE, eviction=order, admission_filter=False, frontswap_percent=0
    )
    with open_trace(stream.ours) as reader, Replay(settings, fill=True) as running:
        began_ns = time.thread_time_ns()
        running.run(reader.blocks())
        return time.thread_time_ns() - began_ns, running.tm.stats().clean_hits


def run_theirs(stream: Stream, requests: int, order: str, hashpower: int) -> tuple[int, int]:
    """Run it through libcachesim, from its file."""
    reader = libcachesim.TraceReader(str(stream.theirs), libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    cache = THEIRS[order](stream.frames * PAGE_SIZE, hashpower=hashpower)
    began_ns = time.thread_time_ns()
    miss_ratio, _ = cache.process_trace(reader)
    return time.thread_time_ns() - began_ns, round(requests * (1 - miss_ratio))


def systems(stream: Stream, requests: int) -> dict[tuple[str, str], Run]:
    """Return what is to be run, by system and order."""
    runs: dict[tuple[str, str], Run] = {
        ("tmemstore", order): lambda order=order: run_ours(stream, order)  # type: ignore[misc]
        for order in OURS
    }
    for name, hashpower in (
        ("libcachesim", max(1, (stream.frames - 1).bit_length())),
        ("libcachesim, default table", DEFAULT_HASHPOWER),
    ):
        for order in THEIRS:
            runs[name, order] = lambda order=order, power=hashpower: run_theirs(  # type: ignore[misc]
                stream, requests, order, power
            )
    return runs


def alternate(runs: dict[tuple[str, str], Run], rounds: int) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Run all of them in every round, beginning with another one each time."""
    done: dict[tuple[str, str], list[tuple[int, int]]] = {which: [] for which in runs}
    order = list(runs)
    for number in range(rounds):
        at = number * len(order) // rounds
        for which in order[at:] + order[:at]:
            done[which].append(runs[which]())
    return done


def figures(times_ns: Sequence[int], operations: int) -> dict[str, Any]:
    """Median, range and speed of some runs."""
    median_ns = int(statistics.median(times_ns))
    return {
        "median_ns": median_ns,
        "min_ns": min(times_ns),
        "max_ns": max(times_ns),
        "spread_percent": round(100 * (max(times_ns) - min(times_ns)) / median_ns, 1),
        "per_second": round(operations * 1e9 / median_ns),
    }


def rows(done: dict[tuple[str, str], list[tuple[int, int]]], requests: int) -> list[dict[str, Any]]:
    """One for each system and order."""
    return [
        {"system": system, "order": order, "hits": runs[0][1]} | figures([time_ns for time_ns, _ in runs], requests)
        for (system, order), runs in done.items()
    ]


def hits_agree(told: Sequence[dict[str, Any]]) -> bool:
    """Whether all systems that have an order hit as often."""
    return all(len({row["hits"] for row in told if row["order"] == order}) == 1 for order in OURS)


def recorded(path: Path, rounds: int) -> dict[str, Any]:
    """How fast `tmemstore replay` runs a trace with its defaults, by the clock on the wall and by the thread's."""
    walls_ns, cpus_ns = [], []
    for _ in range(rounds):
        with open_trace(path) as reader:
            began_ns = time.thread_time_ns()
            document = replay(reader.blocks, Settings(region_bytes=256 << 20), origin=reader.header.origin)
            cpus_ns.append(time.thread_time_ns() - began_ns)
            walls_ns.append(int(document["wall_ns"]))
    told = figures(cpus_ns, document["operations"])
    return {
        "trace": path.name,
        "operations": document["operations"],
        "wall_ns": int(statistics.median(walls_ns)),
    } | told


def table(document: dict[str, Any]) -> str:
    """Return the table of a result, at most 80 columns wide."""
    lines = [f"{'system':<28}{'order':<10}{'hits':>12}{'million a second':>20}{'spread':>10}"]
    for row in document["rows"]:
        speed = f"{row['per_second'] / 1e6:.2f}"
        lines.append(f"{row['system']:<28}{row['order']:<10}{row['hits']:>12,}{speed:>20}{row['spread_percent']:>8} %")
    for row in document["recorded"]:
        speed = f"{row['per_second'] / 1e6:.2f}"
        lines.append(f"{row['trace']:<38}{row['operations']:>12,}{speed:>20}{row['spread_percent']:>8} %")
    return "\n".join([*lines, *document["remarks"]]) + "\n"


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything."""
    before = machine.condition()
    frames = options.objects * options.share // 100
    with tempfile.TemporaryDirectory() as folder:
        stream = write(Path(folder), zipf(options.requests, options.objects, options.skew, options.seed), frames)
        told = rows(alternate(systems(stream, options.requests), options.rounds), options.requests)
    traces = [recorded(path, options.rounds) for path in options.trace]
    spreads = {f"{row['system']} {row['order']}": row["spread_percent"] for row in told}
    spreads |= {row["trace"]: row["spread_percent"] for row in traces}
    return {
        "schema": "tmemstore.peers/1",
        "arguments": {
            name: getattr(options, name) for name in ("requests", "objects", "skew", "share", "rounds", "seed")
        },
        "frames": frames,
        "libcachesim": version("libcachesim"),
        "hits_agree": hits_agree(told),
        "rows": told,
        "recorded": traces,
        "machine": machine.describe() | before,
        "commit": machine.commit(),
        "remarks": machine.remarks(before, spreads),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the result, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/peers.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("--requests", type=int, default=3_000_000, metavar="N")
    parser.add_argument("--objects", type=int, default=200_000, metavar="N", help="different pages")
    parser.add_argument("--skew", type=float, default=0.9, metavar="S", help="exponent of the zipf weights")
    parser.add_argument("--share", type=int, default=10, metavar="PERCENT", help="of the objects fit into the region")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--trace", type=Path, action="append", default=[], metavar="FILE", help="as convert writes it")
    parser.add_argument("--output", type=Path, default=RESULT, metavar="FILE")
    options = parser.parse_args(argv)
    if min(options.requests, options.objects, options.rounds) < 1 or options.objects * options.share // 100 < 256:  # noqa: PLR2004
        parser.error("the region has 256 pages at least: more objects, or a larger share")
    document = measure(options)
    arguments = [Path(each).name if Path(each).is_absolute() else each for each in (argv or sys.argv[1:])]
    document["command"] = shlex.join(["bench/peers.py", *arguments])
    options.output.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    sys.stdout.write(table(document))
    return 0 if document["hits_agree"] else 1


if __name__ == "__main__":
    sys.exit(main())
