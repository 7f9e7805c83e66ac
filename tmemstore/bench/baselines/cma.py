"""Linux CMA over the same pages: clean ones dropped, the others copied and remapped, pinned ones a refusal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tmemstore.bench.arena import PAGE
from tmemstore.bench.baselines import cma_walk
from tmemstore.bench.baselines.cma_walk import Area, Round
from tmemstore.bench.baselines.copies import Copies
from tmemstore.bench.baselines.device import Device
from tmemstore.bench.baselines.figures import Calls, Card, pages_of
from tmemstore.bench.baselines.pins import Numbers, PinSetting, draw, settings

SYSTEM = "cma"
DROP_NS = 120
"""Dropping one clean page, as measured on a 6.12 kernel; nothing is copied."""
PASSES = 5
CALLS = 100

CARD = Card(
    models=(
        "Movable pages in an area of the same size: clean file pages and others (anonymous, dirty), mixed at random.",
        "A clean page is dropped in 120 ns, as measured on a 6.12 kernel; nothing of it is copied.",
        "The others are copied to free memory: real pages of the run, by a real clock, up to a number for each call.",
        "Each copy beyond that number counts as plain_copy_ns; copied_really_permille says what share was real.",
        "A migration takes 5, 8 or 12 plain copies, its own included, and 0, 1 or 2 us for the TLB shootdown.",
        "What is modelled is added to the time of the copies, and nobody sleeps.",
        "A page under writeback is waited for; what is under writeback is one queue on the device, in random order.",
        "Batches of 32 pages; a pinned page is tried 5 times, each time for what a migration takes beyond its copy.",
        "Then the next range, 1 MiB on, first fit, without waiting for the pin; up to 10 retries, 20 ms apart.",
        "What left in one try stays away in the next; the clean pages that a refused call dropped count as destroyed.",
        "The refault figure assumes that each dropped page is asked for again, by one read of the device.",
    ),
    leaves_out=(
        "Isolating page blocks, draining the lists of each CPU, locks, and other callers.",
        "Pins that are taken while a call runs; a pin ends by what the caller has waited, whatever the work took.",
        "How long a pin holds and how many pages are under writeback is assumed, with no source.",
        "Copies that go to another CMA area, and pages that come back into this one between two tries.",
        "A range is rounded up to whole batches, and each call finds the area full again.",
        "Reclaim outside, unless outside_free_pages says what is free there: each page beyond it waits for one write.",
    ),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """``factor``: a migration over a plain copy, the copy included.  ``shootdown_ns``: the TLB shootdown of a page."""

    name: str
    factor: int
    shootdown_ns: int


COSTS = (Cost("low", 5, 0), Cost("middle", 8, 1000), Cost("high", 12, 2000))


@dataclass(frozen=True, slots=True)
class Setting:
    """What the calls of a row meet.

    ``dirty_permille``: of the file pages, to be copied as anonymous ones are.  ``writeback_permille``: of the pages to
    be copied, under writeback when the call begins (assumed, with no source).  ``outside_free_pages``: memory for
    migrated pages; None: enough.  ``calls``: for each row.
    """

    pins: PinSetting
    dirty_permille: int = 0
    writeback_permille: int = 1
    outside_free_pages: int | None = None
    calls: int = CALLS
    seed: int = 1


class Clock:
    """The time of one call at one cost, in ns: measured copies, and what is added to them.

    ``writeback``: batches with a page under writeback, and when its write is done, from the call on.
    """

    def __init__(self, cost: Cost, setting: Setting, device: Device, writeback: tuple[Numbers, Numbers]) -> None:
        self.ns = 0
        self._cost = cost
        self._device = device
        self._batches, self._done_ns = writeback
        self._queue_ns = int(self._done_ns.max(initial=0))
        self._room = setting.outside_free_pages
        self.reclaimed = 0

    def add(self, work: Round, copies_ns: int, plain_ns: int) -> None:
        """Add a round, and what the caller waited before a retry.

        ``copies_ns``: all its copies; ``plain_ns``: the usual time of one; remapping costs multiples of it.
        """
        remap_ns = (self._cost.factor - 1) * plain_ns + self._cost.shootdown_ns
        self.ns += cma_walk.RETRY_NS if work.number else 0
        copied = work.pages_copied
        waited_ns = self._waited_ns(work, copies_ns / max(1, copied) + remap_ns)
        self.ns += work.pages_dropped * DROP_NS + copies_ns + (copied + PASSES * work.tried) * remap_ns + waited_ns
        self._reclaim(copied)

    def _waited_ns(self, work: Round, each_ns: float) -> int:
        """Return for how long the writes of the batches that are gone through hold the round up."""
        if not len(self._batches) or not len(work.batches) or self._queue_ns <= self.ns:
            return 0
        at = np.minimum(np.searchsorted(work.batches, self._batches), len(work.batches) - 1)
        met = work.batches[at] == self._batches
        until_ns = np.cumsum(work.dropped * DROP_NS + work.copied * each_ns)
        late_ns = self._done_ns[met] - self.ns - until_ns[at[met]]
        return max(0, int(late_ns.max(initial=0)))

    def _reclaim(self, copied: int) -> None:
        if self._room is None:
            return
        short = max(0, copied - self._room)
        self._room -= copied - short
        if short:
            self._queue_ns = max(self._queue_ns, self.ns) + short * self._device.write_page_ns
            self.ns = self._queue_ns
            self.reclaimed += short


class Model:
    """The area of a region of ``region_bytes``, what it costs to copy a page and to wait for one; calls of each row."""

    def __init__(self, region_bytes: int, copies: Copies, device: Device, calls: int = CALLS) -> None:
        self._frames = pages_of(region_bytes)
        self._calls = calls
        self._copies = copies
        self._device = device

    def elements(self, ratios: Sequence[int], sizes_bytes: Sequence[int], seed: int) -> Iterator[dict[str, Any]]:
        """Yield an element for each of the pins and costs; sizes in bytes, ratios in percent of anonymous pages."""
        for pins in settings():
            setting = Setting(pins, calls=self._calls, seed=seed)
            cells = [self.measure(setting, percent, size) for percent in ratios for size in sizes_bytes]
            for number, cost in enumerate(COSTS):
                yield {
                    "system": SYSTEM,
                    "setting": f"{pins}, {cost.name} cost",
                    "card": CARD.to_document(),
                    "settings": self.describe(setting, cost),
                    "rows": [cell[number].row(self._device) for cell in cells],
                }

    def describe(self, setting: Setting, cost: Cost) -> dict[str, Any]:
        """Return all that a row depends on, resolved."""
        return {
            "cost": asdict(cost),
            "pins": setting.pins.to_document(),
            "drop_page_ns": DROP_NS,
            "plain_copy_ns": self._copies.plain_ns,
            "batch_pages": cma_walk.BATCH_PAGES,
            "passes": PASSES,
            "step_pages": cma_walk.STEP_PAGES,
            "retries": cma_walk.RETRIES,
            "retry_ns": cma_walk.RETRY_NS,
            "dirty_permille": setting.dirty_permille,
            "writeback_permille": setting.writeback_permille,
            "outside_free_pages": setting.outside_free_pages,
            "calls": setting.calls,
            "seed": setting.seed,
            "device": self._device.to_document(),
        }

    def measure(self, setting: Setting, percent: int, size_bytes: int) -> tuple[Calls, ...]:
        """Make the calls of one ratio and size; returns what they were at each of ``COSTS``, for the same copies."""
        random = np.random.default_rng((setting.seed, percent, setting.pins.count))
        area = self._area(setting, percent, random)
        results = tuple(Calls(percent, size_bytes) for _ in COSTS)
        for _ in range(setting.calls):
            self._call(setting, area, random, results)
        return results

    def _area(self, setting: Setting, percent: int, random: np.random.Generator) -> Area:
        order = random.permutation(self._frames)
        anonymous = round(self._frames * percent / 100)
        dirty = round((self._frames - anonymous) * setting.dirty_permille / 1000)
        moves = np.zeros(self._frames, dtype=np.bool_)
        moves[order[: anonymous + dirty]] = True
        return Area(moves)

    def _call(self, setting: Setting, area: Area, random: np.random.Generator, results: tuple[Calls, ...]) -> None:
        pins = draw(setting.pins, area.frames, random)
        writeback = self._writeback(setting, area, random)
        clocks = [Clock(cost, setting, self._device, writeback) for cost in COSTS]
        dropped = copied = 0
        really = self._copies.really
        met = False
        for work in cma_walk.walk(area, pages_of(results[0].size_bytes), pins):
            copies_ns = self._copies.took_ns(work.pages_copied)
            for clock in clocks:
                clock.add(work, copies_ns, self._copies.plain_ns)
            dropped += work.pages_dropped
            copied += work.pages_copied
            met = work.met
        for calls, clock in zip(results, clocks, strict=True):
            (calls.latency_ns if met else calls.failed_ns).append(clock.ns)
            calls.add(dropped, copied * PAGE, (self._copies.really - really) * PAGE, destroyed=0 if met else dropped)
            calls.bytes_written += clock.reclaimed * PAGE

    def _writeback(self, setting: Setting, area: Area, random: np.random.Generator) -> tuple[Numbers, Numbers]:
        """Return the batches with a page under writeback, and when each write is done: one queue, in random order."""
        moved = int(area.moved.sum())
        count = random.binomial(moved, setting.writeback_permille / 1000)
        # A page is drawn by its batch: which of them it is changes nothing.
        batches = random.choice(area.batches, count, p=area.moved / moved) if count else np.empty(0, np.int64)
        return batches, np.arange(1, count + 1, dtype=np.int64) * self._device.write_page_ns
