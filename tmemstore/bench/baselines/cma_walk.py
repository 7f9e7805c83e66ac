"""How CMA goes through an area: which batches of pages a call takes out, in which order, and whether it gets a range.

Counts only: nothing here takes or measures time, so the same seed gives the same walk on every machine.

    area      |--batch--|--batch--|--batch--|   32 pages each, from the start of the area on
    windows   first fit, 1 MiB apart; one with a pinned page is emptied up to the batch that holds it, and given up
    rounds    the first try, then retries by the caller; what has left in one round stays away in the next
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmemstore.bench.baselines.pins import Numbers, Pins

BATCH_PAGES = 32
STEP_PAGES = 256
"""Windows are tried 1 MiB apart."""
RETRIES = 10
RETRY_NS = 20_000_000

Flags = NDArray[np.bool_]


class Area:
    """The movable pages of a region.  ``moves``: which of them have to be copied; the others are clean file pages."""

    def __init__(self, moves: Flags) -> None:
        self.moves = moves
        self.frames = len(moves)
        self.batches = -(-self.frames // BATCH_PAGES)
        self.clean = self.by_batch(np.flatnonzero(~moves))
        self.moved = self.by_batch(np.flatnonzero(moves))

    def by_batch(self, pages: Numbers) -> Numbers:
        """Return how many of these pages each batch has."""
        counts: Numbers = np.bincount(pages // BATCH_PAGES, minlength=self.batches)
        return counts

    def starts(self, frames: int) -> Numbers:
        """Return the first batch of each window of so many frames, rounded up to batches; at least one window."""
        last = max(0, self.batches - -(-frames // BATCH_PAGES))
        return np.arange(0, last + 1, STEP_PAGES // BATCH_PAGES)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round took out: batches in order, and pages dropped and copied in each.

    ``tried``: migrations of pinned pages that were begun, once for each window that met them.
    """

    number: int
    batches: Numbers
    dropped: Numbers
    copied: Numbers
    pages_dropped: int
    pages_copied: int
    tried: int
    met: bool


def walk(area: Area, frames: int, pins: Pins, *, retries: int = RETRIES, retry_ns: int = RETRY_NS) -> Iterator[Round]:
    """Yield the rounds of one call for ``frames`` frames, until a range is had or the retries are used up.

    A pin counts as released by what the caller has waited, ``retry_ns`` a round, whatever the work took.
    """
    starts, length = area.starts(frames), min(area.batches, -(-frames // BATCH_PAGES))
    clean, moved = area.clean, area.moved
    held_before, tried = -1, 0
    for number in range(retries + 1):
        held = pins.held_at(number * retry_ns)
        if len(held) == held_before:
            # The same pins refuse the same windows, which hold nothing else any more.
            yield Round(number, *_NOTHING, 0, 0, tried, met=False)
            continue
        held_before = len(held)
        held_clean, held_moved = area.by_batch(held[~area.moves[held]]), area.by_batch(held[area.moves[held]])
        pinned = held_clean + held_moved
        visited, tried, met = _windows(starts, length, pinned)
        batches = np.flatnonzero(visited)
        left_clean, left_moved = np.where(visited, held_clean, clean), np.where(visited, held_moved, moved)
        dropped, copied = (clean - left_clean)[batches], (moved - left_moved)[batches]
        clean, moved = left_clean, left_moved
        yield Round(number, batches, dropped, copied, int(dropped.sum()), int(copied.sum()), tried, met)
        if met:
            return


_NOTHING = (np.empty(0, np.int64),) * 3


def _windows(starts: Numbers, length: int, pinned: Numbers) -> tuple[Flags, int, bool]:
    """Return which batches a round goes through, how often it tries a pinned page, and whether a window is free."""
    total = np.concatenate(([0], np.cumsum(pinned)))
    free = np.flatnonzero(total[starts + length] == total[starts])
    met = len(free) > 0
    refusing = starts[: free[0]] if met else starts
    with_pins = np.flatnonzero(pinned)
    stops = with_pins[np.searchsorted(with_pins, refusing)] if len(refusing) else refusing
    begins, ends = refusing, stops + 1
    if met:
        begins, ends = np.append(begins, starts[free[0]]), np.append(ends, starts[free[0]] + length)
    batches = len(pinned)
    depth = np.bincount(begins, minlength=batches + 1) - np.bincount(ends, minlength=batches + 1)
    return np.cumsum(depth)[:batches] > 0, int(pinned[stops].sum()), met
