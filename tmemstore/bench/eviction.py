"""The benchmark: how long it takes to get the area back, against the cleancache:frontswap ratio.

For every ratio the region is filled with real pages, the kinds interleaved, and given a history.  Then contiguous
ranges are asked for: the dearest window (what can be promised) and the cheapest (what a caller gets), again and
again, the hole being refilled each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import tmemstore
from tmemstore.bench import machine, supply
from tmemstore.bench.arena import PAGE
from tmemstore.bench.baselines import cma
from tmemstore.bench.baselines import device as devices
from tmemstore.bench.baselines import run as baselines
from tmemstore.bench.fill import ALL, INTERLEAVE_POINTS, InterleavedFill
from tmemstore.bench.pages import LIVE, PageSource
from tmemstore.bench.quantiles import median, spread
from tmemstore.bench.windows import dearest_start
from tmemstore.quantiles import FEW_SAMPLES

SCHEMA = "tmemstore.bench.eviction/1"
DEFAULT_RATIOS = tuple(range(0, 101, 10))
DEFAULT_REPEATS = 2
_SMALLEST_REGION = 1 << 20
_COLLECTING_SHARE = 0.15
_CHURN_DIVISOR = 32
_CHECKED_PAGES = 64
_CHECKED_FROM_SPILL = 32
_EMULATED = "emulate:"

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the whole that is behind."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What to measure, fully resolved.  Sizes in bytes, ratios in percent of frames that hold frontswap data.

    ``spill``: path of the spill file, or None for a temporary one in or near the folder ``near``.  ``storage``: what is
    known of the device, as for ``tmemstore.open``; None: measured at open; "emulate:..." without ``spill`` keeps its
    data in RAM.  ``escape_bytes``: RAM outside the region that pages may be moved to.
    ``pages``: "live" or the path of a ``.npy`` file.  ``baselines``: names of the systems to compare with.
    ``baseline_calls``: of each pins, ratio and size of a model.
    ``virtual``: an emulated device and the CPU's work take modelled time only.  Raises ValueError, naming the argument,
    for what cannot be measured.
    """

    region_bytes: int = 256 << 20
    sizes_bytes: tuple[int, ...] = (64 << 20, 256 << 20)
    ratios: tuple[int, ...] = DEFAULT_RATIOS
    repeats: int = DEFAULT_REPEATS
    deadline_ns: int | None = None
    spill: str | None = None
    storage: str | None = None
    escape_bytes: int = 0
    codec: str = "lz4"
    pages: str = LIVE
    near: str = "."
    baselines: tuple[str, ...] = ()
    baseline_calls: int = cma.CALLS
    virtual: bool = False

    def __post_init__(self) -> None:
        if not self.sizes_bytes:
            raise ValueError("--size names no size; give one or several, for example --size 64MiB")
        for name, size in (("region", self.region_bytes), *(("size", size) for size in self.sizes_bytes)):
            if size <= 0 or size % PAGE:
                raise ValueError(f"--{name} is {size} bytes; it must be a positive multiple of {PAGE}")
        if self.region_bytes < _SMALLEST_REGION:
            raise ValueError(f"--region {_size(self.region_bytes)} is too small; it must be at least 1 MiB")
        if self.escape_bytes < 0 or self.escape_bytes % PAGE:
            raise ValueError(f"--escape is {self.escape_bytes} bytes; it must be a multiple of {PAGE}")
        supply.check_region(self.region_bytes, self.escape_bytes)
        if max(self.sizes_bytes) > self.region_bytes:
            raise ValueError(
                f"--size {_size(max(self.sizes_bytes))} is larger than the region, {_size(self.region_bytes)}; "
                "take a larger --region or a smaller --size"
            )
        self._check_how()

    def _check_how(self) -> None:
        if not self.ratios or not all(0 <= ratio <= ALL for ratio in self.ratios):
            raise ValueError("--ratios takes frontswap percentages from 0 to 100, for example --ratios 0,50,100")
        if self.repeats < 1:
            raise ValueError(f"--repeats is {self.repeats}; it must be at least 1")
        if self.baseline_calls < 1:
            raise ValueError(f"--baseline-calls is {self.baseline_calls}; it must be at least 1")
        if self.deadline_ns is not None and self.deadline_ns <= 0:
            raise ValueError("--deadline must be longer than nothing")
        if self.spill is not None and not self.spill:
            raise ValueError("--spill names no file; give a path, or leave it out")
        if self.virtual and not (self.storage or "").startswith(_EMULATED):
            raise ValueError("--virtual needs an emulated device: --storage emulate:PRESET,...")
        baselines.check(self.baselines)


def run(arguments: Arguments, progress: Progress | None = None) -> dict[str, Any]:
    """Measure, and return the result document (schema ``tmemstore.bench.eviction/1``).

    Raises PagesFileError, NotEnoughPages, SpillError or EnvironmentLacks with what to do; FillError or VerifyError
    mean a defect of tmemstore.
    """
    say = progress or (lambda _text, _fraction: None)
    before, commit = machine.condition(), machine.commit()
    supply.check_memory(arguments.region_bytes, arguments.ratios, arguments.pages)
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        spill, temporary = _spill(arguments, stack)
        tm = stack.enter_context(_open(arguments, spill))
        say("collecting pages", 0.0)
        source = supply.collect(
            arguments.region_bytes,
            arguments.ratios,
            arguments.codec,
            arguments.pages,
            escape_bytes=arguments.escape_bytes,
        )
        fill = stack.enter_context(closing(InterleavedFill(tm, source.file_pages, source.anon_pages, seed=supply.SEED)))
        for number, percent in enumerate(arguments.ratios):
            behind = _COLLECTING_SHARE + (1 - _COLLECTING_SHARE) * number / len(arguments.ratios)
            say(f"cleancache:frontswap {100 - percent}:{percent}", behind)
            rows += _measure_ratio(tm, fill, arguments, percent)
        facts = _store_facts(tm, spill)
        device = devices.of_run(arguments.storage, spill, tm.cost, supply.SEED) if arguments.baselines else None
    compared = {} if device is None else _compare(arguments, rows, source, device, say)
    say("done", 1.0)
    return {
        "schema": SCHEMA,
        "machine": machine.describe() | before | facts,
        "arguments": {
            "region_bytes": arguments.region_bytes,
            "sizes_bytes": list(arguments.sizes_bytes),
            "ratios": list(arguments.ratios),
            "repeats": arguments.repeats,
            "deadline_ns": arguments.deadline_ns,
            "spill": "temporary" if temporary else arguments.spill,
            "storage": arguments.storage,
            "escape_bytes": arguments.escape_bytes,
            "codec": arguments.codec,
            "virtual": arguments.virtual,
            "pages": arguments.pages,
            "seed": supply.SEED,
        }
        | _compared_with(arguments),
        "pages": source.describe(),
        "rows": rows,
        **compared,
        "predicted_over_elapsed_p50": _middle([row["predicted_over_elapsed"] for row in rows]),
        "commit": commit,
        "remarks": machine.remarks(before, _spreads(rows)),
    }


def _compared_with(arguments: Arguments) -> dict[str, Any]:
    if not arguments.baselines:
        return {}
    return {"baselines": list(arguments.baselines), "baseline_calls": arguments.baseline_calls}


def _compare(
    arguments: Arguments,
    rows: Sequence[dict[str, Any]],
    source: PageSource,
    device: devices.Device,
    say: Progress,
) -> dict[str, Any]:
    """Return the baselines at the ratios and sizes of the rows, on the anonymous pages of the run where it has some."""
    pages = source.anon_pages if len(source.anon_pages) else source.file_pages
    return {
        "baselines": baselines.measure(
            arguments.baselines,
            rows,
            arguments.region_bytes,
            pages,
            device,
            seed=supply.SEED,
            calls=arguments.baseline_calls,
            say=lambda text: say(text, 1.0),
        )
    }


def _spill(arguments: Arguments, stack: ExitStack) -> tuple[str | None, bool]:
    """Return the path of the spill file and whether it is temporary; an emulated device needs none."""
    if arguments.spill is None and (arguments.storage or "").startswith(_EMULATED):
        return None, False
    return stack.enter_context(supply.spill_file(arguments.spill, arguments.near))


def _open(arguments: Arguments, spill: str | None) -> tmemstore.Controller:
    """Write-back: no page may get a copy, and be dropped for nothing, before an allocation asks for it."""
    return tmemstore.open(
        arguments.region_bytes,
        spill=spill,
        storage=arguments.storage,
        escape=arguments.escape_bytes,
        codec=arguments.codec,
        writeback="back",
        admission_filter=False,
        virtual_time=arguments.virtual,
    )


def _spreads(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return, of each row with several samples, from the shortest to the longest in percent of the median."""
    return {
        f"{_size(row['size_bytes'])} at {100 - row['frontswap_percent']}:{row['frontswap_percent']}": 100
        * (row["elapsed_ns"]["max"] - row["elapsed_ns"]["min"])
        / max(1, row["elapsed_ns"]["p50"])
        for row in rows
        if len(row["elapsed_samples_ns"]) > 1
    }


def _middle(ratios: Sequence[float | None]) -> float | None:
    """Return the nearest-rank median of those that are there."""
    there = sorted(ratio for ratio in ratios if ratio is not None)
    return there[(len(there) - 1) // 2] if there else None


def _size(size_bytes: int) -> str:
    return tmemstore.units.format_size(size_bytes)


def _store_facts(tm: tmemstore.Controller, spill: str | None) -> dict[str, object]:
    return {
        "copy_variant": tm.region.copy_variant,
        "region_notes": list(tm.region.notes),
        "spill": machine.storage_facts(spill) | {"direct": tm.spill is not None and tm.spill.direct},
    }


# ---- one ratio ----


def _measure_ratio(
    tm: tmemstore.Controller, fill: InterleavedFill, arguments: Arguments, percent: int
) -> list[dict[str, Any]]:
    fill.start(percent)
    rows = []
    for size_bytes in arguments.sizes_bytes:
        samples = _Samples(percent, size_bytes, arguments.repeats)
        frames = size_bytes // PAGE
        for _ in range(arguments.repeats):
            fill.restore()
            fill.churn(fill.clean.count // _CHURN_DIVISOR, fill.anon.count // _CHURN_DIVISOR)
            samples.before(fill)
            start = dearest_start(tm.chunks(), tm.cost, frames, tm.region.frames)
            samples.dearest.append(_allocate(tm, arguments, size_bytes, start))
            samples.after(fill)
            if size_bytes == arguments.region_bytes:
                samples.cheapest.append(samples.dearest[-1])
                continue
            fill.restore()
            samples.cheapest.append(_allocate(tm, arguments, size_bytes, None))
            samples.after(fill)
        tm.verify()
        rows.append(samples.row())
    return rows


def _allocate(
    tm: tmemstore.Controller, arguments: Arguments, size_bytes: int, start_pfn: int | None
) -> tmemstore.ReclaimReport:
    try:
        contig = tm.alloc_contig(size_bytes, deadline=arguments.deadline_ns, start_pfn=start_pfn)
    except (tmemstore.AllocationRefused, tmemstore.AllocationAborted) as error:
        return error.report
    contig.release()
    return contig.report


class _Samples:
    """The allocations of one ratio and size, and what they become in the document."""

    def __init__(self, percent: int, size_bytes: int, repeats: int) -> None:
        self.percent = percent
        self.size_bytes = size_bytes
        self.repeats = repeats
        self.dearest: list[tmemstore.ReclaimReport] = []
        self.cheapest: list[tmemstore.ReclaimReport] = []
        self.shares: list[float] = []
        self.deviations: list[float] = []
        self.pages_checked = 0

    def before(self, fill: InterleavedFill) -> None:
        """Note how well the kinds are interleaved; see that a few frontswap pages come back."""
        self.shares.append(fill.share_percent())
        self.deviations.append(fill.worst_deviation_points())
        self.pages_checked += fill.check_back(_CHECKED_PAGES)

    def after(self, fill: InterleavedFill) -> None:
        """See that a few of the pages that were paged out come back; find out what left."""
        self.pages_checked += fill.look_around(_CHECKED_FROM_SPILL)

    def row(self) -> dict[str, Any]:
        elapsed = _elapsed(self.dearest)
        typical = median(elapsed)
        frames = self.size_bytes // PAGE
        return {
            "frontswap_percent": self.percent,
            "size_bytes": self.size_bytes,
            "repeats": self.repeats,
            "frontswap_percent_measured": round(sum(self.shares) / len(self.shares), 3),
            "worst_chunk_deviation_points": round(max(self.deviations), 3),
            "interleaved": max(self.deviations) <= INTERLEAVE_POINTS,
            **_work(self.dearest),
            "elapsed_ns": spread(elapsed),
            "elapsed_samples_ns": elapsed,
            "predicted_over_elapsed": _middle(
                [round(r.predicted_ns / r.elapsed_ns, 4) for r in self.dearest if r.ending != tmemstore.Ending.REFUSED]
            ),
            "ns_per_page": None if typical is None else round(typical / frames),
            "p99_of_fewer_than_100": len(elapsed) < FEW_SAMPLES,
            "endings": _endings(self.dearest),
            "late": sum(map(_late, self.dearest)),
            "starved": sum(report.starved for report in self.dearest),
            "cheapest_ns": spread(_elapsed(self.cheapest)),
            "cheapest_samples_ns": _elapsed(self.cheapest),
            "cheapest": _work(self.cheapest),
            "cheapest_endings": _endings(self.cheapest),
            "cheapest_late": sum(map(_late, self.cheapest)),
            "pages_checked": self.pages_checked,
            "verified": True,
        }


def _elapsed(reports: list[tmemstore.ReclaimReport]) -> list[int]:
    """Times of the allocations that ran; a refused one changed nothing and took none."""
    return [report.elapsed_ns for report in reports if report.ending != tmemstore.Ending.REFUSED]


def _work(reports: list[tmemstore.ReclaimReport]) -> dict[str, int | None]:
    """What an allocation had to do: the median over the repeats of each count, refused ones left out."""
    ran = [report for report in reports if report.ending != tmemstore.Ending.REFUSED]
    return {
        "pages_dropped": median([report.pages_dropped for report in ran]),
        "pages_paged_out": median([report.paged_out for report in ran]),
        "bytes_written": median([report.bytes_written for report in ran]),
        "predicted_ns": median([report.predicted_ns for report in reports]),
        "bound_ns": median([report.bound_ns for report in reports]),
    }


def _endings(reports: list[tmemstore.ReclaimReport]) -> dict[str, int]:
    return {ending.value: sum(report.ending == ending for report in reports) for ending in tmemstore.Ending}


def _late(report: tmemstore.ReclaimReport) -> bool:
    """A range handed over after its deadline; DESIGN.md says that there is no such thing."""
    return report.ending == tmemstore.Ending.MET and report.commit_ns > report.deadline_ns > 0
