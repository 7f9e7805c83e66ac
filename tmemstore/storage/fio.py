"""Profiles from the JSON output of fio, which people who know their storage have already."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tmemstore.errors import ProfileError
from tmemstore.storage.document import Fields
from tmemstore.storage.fit import fit_line
from tmemstore.storage.profile import Lane, StorageProfile
from tmemstore.storage.sample import permille_of

_SAMPLE: Final = 1000
"""Values that stand for a list of percentiles: p99.9 is the last but one."""
_SYNC_PERCENTS: Final = frozenset({50.0, 99.0})
_LAT: Final = ("clat_ns", "lat_ns")
_BS: Final = re.compile(r"([0-9]+)([kmg]?)(?:i?b)?", re.IGNORECASE)
_BS_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_NO_DEVICE: Final = "fio does not name the file system it measured on: the profile fits any spill path"


@dataclass(frozen=True, slots=True)
class _Run:
    """One direction of one job. `job`: its name and group. `times`: percentiles and their ns, if fio kept any."""

    job: tuple[str, int]
    lane: str
    block_bytes: int
    iops: float
    bytes_per_s: float
    mean_ns: float
    times: tuple[tuple[float, float], ...]

    @property
    def request_ns(self) -> float:
        """What a request adds to the time of many."""
        return 10**9 / self.iops


def from_fio(document: Any, *, where: str = "the document") -> StorageProfile:
    """The profile of sequential and random jobs, told apart by their options; lanes without a job are derived.

    `where`: the name of the file, for messages. `ProfileError` if a field is missing or wrong, if a job failed, or if
    no job writes.
    """
    found = Fields(document, where)
    version = found.text("fio version")
    runs = _merged(run for job in found.groups("jobs") for run in _runs(found, job))
    notes = [f"converted from the output of {version}", _NO_DEVICE]
    lanes = {
        lane: _lane([run for run in runs if run.lane == lane], lane, notes)
        for lane in dict.fromkeys(run.lane for run in runs)
    }
    if not lanes.keys() & {"write", "random_write"}:
        raise ProfileError(f"{where}: no job writes; run fio with at least a job of rw=write")
    for lane, others in (
        ("write", ("random_write",)),
        ("random_write", ("write",)),
        ("read", ("random_read", "write")),
        ("random_read", ("read",)),
    ):
        if lane not in lanes:
            other = next(other for other in others if other in lanes)
            lanes[lane] = lanes[other]
            notes.append(f"no job of {_spoken(lane)}s: they are taken to be like {_spoken(other)}s")
    lanes = _small_requests(lanes, runs, notes)
    return StorageProfile(
        name=version,
        source="measured",
        write=lanes["write"],
        read=lanes["read"],
        random_write=lanes["random_write"],
        random_read=lanes["random_read"],
        sync_ns=_sync(found),
        notes=tuple(notes),
    )


def _spoken(lane: str) -> str:
    return lane.replace("_", " ")


def _runs(whole: Fields, job: Fields) -> Iterator[_Run]:
    name = job.text("jobname")
    if "error" in job and job.whole("error"):
        job.refuse("error", "0 (the job failed, its figures mean nothing)", str(job.whole("error")))
    way = _option(whole, job, "rw") or _option(whole, job, "readwrite") or "rw"
    for direction in ("write", "read"):
        if direction not in job:
            continue
        section = job.group(direction)
        iops, bytes_per_s = section.number("iops"), section.number("bw_bytes")
        if not iops or not bytes_per_s:
            continue
        mean_ns, times = _latencies(section)
        yield _Run(
            job=(name, job.whole("groupid") if "groupid" in job else 0),
            lane=f"random_{direction}" if way.startswith("rand") else direction,
            block_bytes=_block_bytes(_option(whole, job, "bs")) or max(1, round(bytes_per_s / iops)),
            iops=iops,
            bytes_per_s=bytes_per_s,
            mean_ns=mean_ns,
            times=times,
        )


def _option(whole: Fields, job: Fields, name: str) -> str | None:
    for holder, options in ((job, "job options"), (whole, "global options")):
        if options in holder and name in (named := holder.group(options)):
            return named.text(name)
    return None


def _block_bytes(option: str | None) -> int | None:
    """The size that "4k", "512KiB" or "65536" names; None for a range or a list, which the rates answer."""
    match = None if option is None else _BS.fullmatch(option)
    return None if match is None else int(match[1]) * _BS_UNITS[match[2].lower()]


def _latencies(section: Fields) -> tuple[float, tuple[tuple[float, float], ...]]:
    """The mean and the percentiles, smallest first, of the first kind of latency that has some."""
    for kind in _LAT:
        if kind not in section or "percentile" not in (latency := section.group(kind)):
            continue
        percentile = latency.group("percentile")
        times = []
        for name in percentile.names():
            try:
                percent = float(name)
            except ValueError:
                percentile.refuse(name, "named by a number from 0 to 100", repr(name[:40]))
            times.append((percent, percentile.number(name)))
        if "max" in latency:
            times.append((100.0, latency.number("max")))
        if times and max(time_ns for _, time_ns in times) > 0:
            return latency.number("mean") if "mean" in latency else 0.0, tuple(sorted(times))
    return 0.0, ()


def _merged(runs: Iterator[_Run]) -> list[_Run]:
    """Processes of one job (numjobs=4) ran side by side: their rates add up, the slower percentiles count."""

    def alike(run: _Run) -> tuple[str, tuple[str, int], int]:
        return run.lane, run.job, run.block_bytes

    merged = []
    for _, group in itertools.groupby(sorted(runs, key=alike), key=alike):
        first, *others = group
        for other in others:
            slower = max(first, other, key=lambda run: run.times[-1][1] if run.times else 0.0)
            first = replace(slower, iops=first.iops + other.iops, bytes_per_s=first.bytes_per_s + other.bytes_per_s)
        merged.append(first)
    return merged


def _lane(runs: list[_Run], lane: str, notes: list[str]) -> Lane:
    request_ns, byte_ps = fit_line([(run.block_bytes, run.request_ns) for run in runs])
    line = Lane(request_ns, byte_ps)
    # Sequential requests of the store are large, random ones small.
    pick = min if lane.startswith("random") else max
    nearest = pick(runs, key=lambda run: run.block_bytes)
    if not nearest.times:
        notes.append(f"no percentiles of {_spoken(lane)}s: all are taken to be alike")
        return line
    usual_ns = nearest.mean_ns or dict(nearest.times).get(50.0) or nearest.times[0][1]
    typical = nearest.request_ns / max(1, line.request_time_ns(nearest.block_bytes))
    ratios = (time_ns / max(1.0, usual_ns) * typical for time_ns in _steps(nearest.times))
    return replace(line, spread_permille=tuple(sorted(permille_of((ratio * 1000 for ratio in ratios), 1000.0))))


def _steps(times: tuple[tuple[float, float], ...]) -> Iterator[float]:
    """A sample with these percentiles: between two of them the larger one's time."""
    for rank in range(1, _SAMPLE + 1):
        percent = 100 * rank / _SAMPLE
        yield next((time_ns for known, time_ns in times if known >= percent - 1e-6), times[-1][1])


def _small_requests(lanes: Mapping[str, Lane], runs: list[_Run], notes: list[str]) -> dict[str, Lane]:
    """A random job of one block size does not tell its own time from that of its bytes: the sequential rate does."""
    split = dict(lanes)
    for direction in ("write", "read"):
        random = [run for run in runs if run.lane == f"random_{direction}"]
        sequential = [run for run in runs if run.lane == direction]
        if len({run.block_bytes for run in random}) != 1 or not sequential:
            continue
        lane = lanes[f"random_{direction}"]
        time_ns = lane.request_time_ns(random[0].block_bytes)
        bytes_ns = random[0].block_bytes * lanes[direction].byte_ps // 1000
        if bytes_ns <= time_ns:
            split[f"random_{direction}"] = replace(
                lane, request_ns=time_ns - bytes_ns, byte_ps=lanes[direction].byte_ps
            )
            notes.append(f"random {direction}s were measured at one block size: their bytes take the sequential rate")
    return split


def _sync(whole: Fields) -> tuple[int, int] | None:
    """The slowest job's p50 and p99, if any job synced."""
    seen = []
    for job in whole.groups("jobs"):
        if "sync" in job and "lat_ns" in (sync := job.group("sync")):
            _, times = _latencies(sync)
            by_percent = dict(times)
            if by_percent.keys() >= _SYNC_PERCENTS:
                p50_ns, p99_ns = sorted(round(by_percent[percent]) for percent in _SYNC_PERCENTS)
                seen.append((p50_ns, p99_ns))
    return max(seen, key=lambda pair: pair[1]) if seen else None
