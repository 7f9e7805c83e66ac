"""What a cleancache costs, and gives, a foreground job that reads files: with the store off, idle and full."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tmemstore
from tmemstore.bench import copy_jobs, machine, supply
from tmemstore.bench.arena import PAGE
from tmemstore.bench.copy_jobs import Job
from tmemstore.bench.pagecache import Counts, Disk, PageCache
from tmemstore.bench.quantiles import interval_ranks
from tmemstore.quantiles import nearest_rank

SCHEMA = "tmemstore.bench.copy/1"
JOBS = ("stream", "zipf", "tree", "compile")
MODES = ("off", "idle", "full", "filtered")
LEAST_ROUNDS = 7
WORST = 0.98
"""Of the throughput without a cleancache: what a job that reads nothing twice may keep at the least."""

_LEAST_BYTES = 8 << 20
_FILL = 1024
_HISTORY_INODE = 1 << 40

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Arguments:
    """``region_bytes``: of the store. ``cache_bytes``: of the page cache in front of it. ``jobs``: of JOBS.

    ``refault_ns``: what the filter is told a read takes; None: what it took without a store. ``near``: a folder on the
    device to read from.
    """

    region_bytes: int = 64 << 20
    cache_bytes: int = 16 << 20
    rounds: int = 15
    jobs: tuple[str, ...] = JOBS
    refault_ns: int | None = None
    seed: int = 1
    near: str = "."

    def __post_init__(self) -> None:
        """Check them; ValueError."""
        unknown = [name for name in self.jobs if name not in JOBS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no job; choose of {', '.join(JOBS)}")
        for name, size in (("--region", self.region_bytes), ("--cache", self.cache_bytes)):
            if size < _LEAST_BYTES or size % PAGE:
                raise ValueError(f"{name} must be a multiple of 4 KiB and at least 8MiB")
        supply.check_region(self.region_bytes)
        if self.rounds < LEAST_ROUNDS:
            raise ValueError(f"--rounds must be at least {LEAST_ROUNDS}: a median of fewer says little")


def run(arguments: Arguments, progress: Progress | None = None) -> dict[str, Any]:
    """Measure, and return the result document (schema ``tmemstore.bench.copy/1``).

    Raises EnvironmentLacks with what to do, VerifyError if a job was given another page than it had asked for.
    """
    say = progress or (lambda _text, _fraction: None)
    before, commit = machine.condition(), machine.commit()
    began_ns = time.perf_counter_ns()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tmemstore-copy-")))
        jobs = [job for name in arguments.jobs if (job := _job(name, arguments, folder)) is not None]
        say("writing the files that will be read", 0.0)
        path, _ = stack.enter_context(supply.spill_file(None, arguments.near))
        disk = Disk(path, max(job.pages for job in jobs))
        stack.callback(disk.close)
        rows: list[dict[str, Any]] = []
        for number, job in enumerate(jobs):
            say(job.name, number / len(jobs))
            rows += _measure(job, disk, arguments)
    say("done", 1.0)
    spreads = {f"{row['job']}, {row['mode']}": row["spread_percent"] for row in rows}
    return {
        "schema": SCHEMA,
        "machine": machine.describe() | before | {"spill": machine.storage_facts(arguments.near)},
        "arguments": {name: value for name, value in asdict(arguments).items() if name != "near"},
        "pages": {"source": "numbered", "count": max(job.pages for job in jobs)},
        "rows": rows,
        "wall_ns": time.perf_counter_ns() - began_ns,
        "commit": commit,
        "remarks": machine.remarks(before, spreads),
    }


def _job(name: str, arguments: Arguments, folder: Path) -> Job | None:
    all_pages = (arguments.region_bytes + arguments.cache_bytes) // PAGE
    if name == "stream":
        return copy_jobs.stream(4 * all_pages)
    if name == "zipf":
        return copy_jobs.zipf(2 * all_pages, all_pages, arguments.seed)
    if name == "tree":
        return copy_jobs.tree(all_pages * 3 // 4, arguments.seed)
    return copy_jobs.compilation(folder)


# ---- measuring -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Round:
    elapsed_ns: int
    requests_ns: list[int]
    counts: Counts

    @property
    def pages_per_s(self) -> float:
        return self.counts.pages / self.elapsed_ns * 1e9


def _measure(job: Job, disk: Disk, arguments: Arguments) -> Iterator[dict[str, Any]]:
    """By turns, each round beginning with another mode; a round of each before that is not counted."""
    bare = _round(job, disk, arguments, None, 0)
    device_ns = bare.counts.device_ns // max(1, bare.counts.device)
    refault_ns = device_ns if arguments.refault_ns is None else arguments.refault_ns
    rounds: dict[str, list[_Round]] = {mode: [] for mode in MODES}
    with _stores(arguments, refault_ns) as stores:
        for number in range(-1, arguments.rounds):
            for turn in range(len(MODES)):
                mode = MODES[(number + turn) % len(MODES)]
                rounds[mode].append(_round(job, disk, arguments, stores[mode], number + 1))
    for mode in MODES:
        yield _row(job, mode, rounds[mode][1:], rounds["off"][1:], device_ns)


@contextmanager
def _stores(arguments: Arguments, refault_ns: int) -> Iterator[dict[str, tmemstore.Cleancache | None]]:
    """One of each mode; full ones hold pages of files that are not read any more."""
    stores: dict[str, tmemstore.Cleancache | None] = {"off": None}
    with ExitStack() as stack:
        for mode in MODES[1:]:
            tm = stack.enter_context(
                tmemstore.open(arguments.region_bytes, admission_filter=mode == "filtered", refault=refault_ns)
            )
            stores[mode] = tm.cleancache(mode)
            if mode == "idle":
                tm.enabled = False
            else:
                _fill(tm, stores[mode])
        yield stores


def _fill(tm: tmemstore.Controller, fs: tmemstore.Cleancache | None) -> None:
    pages = np.random.default_rng(0).integers(0, 256, (_FILL, PAGE), np.uint8)
    inode = _HISTORY_INODE
    while fs is not None and tm.frame_counts().free:
        fs.put_page_many(np.full(_FILL, inode, np.uint64), np.arange(_FILL, dtype=np.uint64), pages)
        inode += 1


def _round(job: Job, disk: Disk, arguments: Arguments, fs: tmemstore.Cleancache | None, number: int) -> _Round:
    inode = number * len(job.bases) if job.once else 0
    cache = PageCache(disk, job.bases, arguments.cache_bytes // PAGE, fs, first_inode=inode)
    requests_ns: list[int] = []
    clock, read = time.perf_counter_ns, cache.read
    began_ns = clock()
    for requests, work in job.steps:
        for file, first, count in requests:
            asked_ns = clock()
            read(file, first, count)
            requests_ns.append(clock() - asked_ns)
        if work is not None:
            work()
    return _Round(clock() - began_ns, requests_ns, cache.counts)


# ---- what comes out ------------------------------------------------------------------------------------------


def _row(job: Job, mode: str, rounds: list[_Round], off: list[_Round], device_ns: int) -> dict[str, Any]:
    ratios = sorted(ours.pages_per_s / theirs.pages_per_s for ours, theirs in zip(rounds, off, strict=True))
    rates = sorted(each.pages_per_s for each in rounds)
    requests_ns = [took_ns for each in rounds for took_ns in each.requests_ns]
    total = Counts(**{name: sum(getattr(each.counts, name) for each in rounds) for name in asdict(Counts())})
    low, high = interval(ratios)
    middle = rates[len(rates) // 2]
    goal = WORST if mode == "filtered" else None
    return {
        "job": job.name,
        "mode": mode,
        "reuses": job.reuses,
        "mb_per_s": middle * PAGE / 1e6,
        "spread_percent": 100 * (rates[-1] - rates[0]) / middle,
        "against_off": {"p50": ratios[len(ratios) // 2], "low": low, "high": high, "ratios": ratios},
        "goal": goal,
        "met": None if goal is None else ratios[len(ratios) // 2] >= goal,
        "request_p99_ns": nearest_rank(sorted(requests_ns), 0.99),
        "pages": total.pages // len(rounds),
        "hit_rate_page_cache": total.here / total.pages,
        "hit_rate_cleancache": total.cleancache / max(1, total.pages - total.here),
        "copy_ns_per_page": total.copy_ns / total.pages,
        "saved_ns_per_page": total.cleancache * device_ns / total.pages,
        "device_ns_per_page": device_ns,
    }


def interval(ordered: list[float]) -> tuple[float, float]:
    """Return two of the values that hold the median between them with at least 95 %, as the sign test has it.

    With fewer than 6 values that is not to be had, and they are the first and the last.
    """
    low, high = interval_ranks(len(ordered), 0.5)
    return ordered[(low or 1) - 1], ordered[(high or len(ordered)) - 1]
