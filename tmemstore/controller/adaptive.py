"""The knob that follows the load: what either kind would gain from each share of the region, and which share is best.

The core keeps, for a sample of the keys, how many frames of its kind lie between two uses of a page (`tms_ghosts`). A
share of x frames finds what is used again within x, under LRU; so the counts say for every ratio at once what device
time it would have saved: of pages found a random read, of frontswap pages that were freed before they had to be written
a part of a sequential write. Old counts fade, by half in half as many accesses as the region has frames.

To that comes what a ratio keeps of the swapped pages that are in the region now: one that is moved out is loaded from
the device until it is stored anew. So the share of frontswap falls only for a gain that will pay for that while the
load may be taken to stay as it is. It moves only within what the contracts allow, and every change is logged with its
reason.

The constants were chosen on eight recorded loads (a compiler, git, a database, node, numpy, grep, sqlite) with regions
of 10, 30 and 100 % of their pages; bench/results/adaptive has the outcome beside every fixed ratio.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tmemstore.stores import background
from tmemstore.stores.background import Ghosts
from tmemstore.stores.tmem import TmemStore

START_PERCENT: Final = 100
"""Nothing is held back for clean pages before anything is known of them."""
_SAMPLED_SHARE: Final = 16
_SAMPLED_MIN: Final = 512
_SAMPLED_MAX: Final = 1024
"""Frames that stand for the region: a sixteenth, within these."""
_PERIOD_SHARE: Final = 8
"""Decisions in as many accesses as the region has frames."""
_FADE_SHARE: Final = 2
"""Half-lives in as many."""
_HORIZON: Final = 4
"""For so many times as many accesses the load is taken to stay as it is."""
_LOADS_SHARE: Final = 4
"""Half-life, in as many, of how often a swapped page is loaded."""
_LOADS_PRIOR: Final = 0.5
_LOADS_PRIOR_PAGES: Final = 512
"""What is believed of that before anything is seen, and how many pages that counts for."""
_ENOUGH: Final = 24
"""Uses again in the sample, faded, until they say anything."""
_GAIN: Final = 0.01
"""Of what the ratio in force is worth: for less it stays as it is."""
_SPARE_PERCENT: Final = 6
_MANY_SPARE_PERCENT: Final = 20
"""Free frames that clean pages come and go through: beyond these the share is not lowered, beyond those raised."""
_UNIT_BYTES: Final = 64
_UNITS: Final = 64
"""Of a frame."""
_ALL: Final = 100
_LOG: Final = 256


@dataclass(frozen=True, slots=True)
class Event:
    """Something the controller decided by itself: when, on the store's clock, what, and why."""

    time_ns: int
    what: str
    reason: str
    percent: int


class Curve:
    """What a share of either kind would have saved, in ns of device time, faded."""

    def __init__(self, bins: int) -> None:
        self.clean = [0.0] * bins
        self.swap = [0.0] * bins
        self.uses = 0.0

    def fade(self, factor: float) -> None:
        """Old counts count less."""
        self.clean = [value * factor for value in self.clean]
        self.swap = [value * factor for value in self.swap]
        self.uses *= factor

    def add(self, seen: Ghosts, before: Ghosts | None, read_ns: int, write_ps: int) -> None:
        """Takes in what came since `before`; None: all of it."""
        for i in range(len(self.clean)):
            clean, swap, freed = seen.clean[i], seen.swap[i], seen.swap_freed_units[i]
            if before is not None:
                clean -= before.clean[i]
                swap -= before.swap[i]
                freed -= before.swap_freed_units[i]
            self.clean[i] += clean * read_ns
            self.swap[i] += swap * read_ns + freed * _UNIT_BYTES * write_ps / 1000
            self.uses += clean + swap

    def saved(self, percent: float, most: float) -> float:
        """With frontswap at this share at most; `most`: the share that all its pages would fill, in percent."""
        region = len(self.clean) // 2
        swap = min(percent, most) / _ALL * region
        return _within(self.clean, region - swap) + _within(self.swap, swap)


def share_of(units: int, seen: Ghosts, frames: int) -> float:
    """Units of 64 bytes in the sample as percent of the region's frames."""
    return _ALL * units / max(1.0, seen.rate_ppb * frames * _UNITS / 1e9)


def sampled_frames(frames: int) -> int:
    """How many frames stand for a region of so many."""
    return min(_SAMPLED_MAX, max(_SAMPLED_MIN, frames // _SAMPLED_SHARE))


def _within(bins: Sequence[float], x: float) -> float:
    """The sum of the bins below x, which may be a fraction."""
    whole = int(x)
    return sum(bins[:whole]) + (x - whole) * (bins[whole] if whole < len(bins) else 0.0)


class Adaptive:
    """The share of frontswap that saves most, as the load is now. Not thread-safe: the cleaner asks."""

    def __init__(self, store: TmemStore, *, read_ns: int) -> None:
        self._store = store
        self._read_ns = read_ns
        self._frames = store.region.frames
        background.set_ghosts(store, sampled_frames(self._frames))
        self._before = background.ghosts(store)
        self._curve = Curve(len(self._before.clean))
        self.percent = START_PERCENT
        self._loads = self._stores = 0.0
        self.log: deque[Event] = deque(maxlen=_LOG)

    @property
    def period(self) -> int:
        """Accesses between two decisions."""
        return max(1, self._frames // _PERIOD_SHARE)

    def end(self) -> None:
        """Nothing is sampled any more."""
        background.set_ghosts(self._store, 0)

    def decide(self, most: int, write_ps: int) -> bool:
        """Looks at what came, if that was enough. True: the share changed.

        `most`: percent that the contracts allow. `write_ps`: of a byte that is written.
        """
        seen = background.ghosts(self._store)
        passed = seen.accesses - self._before.accesses
        if passed < self.period:
            return False
        self._curve.fade(0.5 ** (passed * _FADE_SHARE / self._frames))
        self._curve.add(seen, self._before, self._read_ns, write_ps)
        self._learn_loads(seen, passed)
        self._before = seen
        if self._curve.uses < _ENOUGH:
            return False
        percent, reason = self._best(seen, most)
        if percent == self.percent:
            return False
        self.log.append(Event(background.now_ns(self._store), "frontswap_max_percent", reason, percent))
        self.percent = percent
        return True

    def _learn_loads(self, seen: Ghosts, passed: int) -> None:
        """How often a swapped page is loaded before it is stored anew or freed, on a long average."""
        factor = 0.5 ** (passed / (_LOADS_SHARE * self._frames))
        self._loads = self._loads * factor + sum(seen.swap) - sum(self._before.swap)
        self._stores = self._stores * factor + seen.swap_stores - self._before.swap_stores

    @property
    def _loads_a_page(self) -> float:
        return (self._loads + _LOADS_PRIOR * _LOADS_PRIOR_PAGES) / (self._stores + _LOADS_PRIOR_PAGES)

    def _worths(self, seen: Ghosts, now: int) -> list[float]:
        """Of each percentage: what it saves while the load stays so, and what it keeps of the pages that are there.

        A page that is moved out does not come back before it is stored anew, so to lower the share costs loads.
        """
        region = len(seen.swap_pages) // 2
        most = share_of(seen.units[1], seen, self._frames)
        windows = _HORIZON * _FADE_SHARE * math.log(2)
        page_ns = self._loads_a_page * self._read_ns
        return [
            windows * self._curve.saved(percent, most)
            + page_ns * _within(seen.swap_pages, min(percent, now) / _ALL * region)
            for percent in range(_ALL + 1)
        ]

    def _best(self, seen: Ghosts, most: int) -> tuple[int, str]:
        now = min(self.percent, most)
        worths = self._worths(seen, now)
        # Where more would not be used, nothing is held back: the load may grow.
        best = max(range(most + 1), key=lambda percent: (worths[percent], percent))
        gain = _ALL * (worths[best] / worths[now] - 1) if worths[now] else _ALL
        kind = "frontswap" if best > now else "cleancache"
        reason = f"{kind} gains more: {gain:.1f} % of device time against {now} %"
        if worths[best] <= worths[now] * (1 + _GAIN):
            best, reason = now, "the contracts allow no more"
        least = self._least(now, most)
        if best < least:
            best, reason = least, "frames are free"
        return best, reason

    def _least(self, now: int, most: int) -> int:
        """A share below which frames would stay free."""
        counts = self._store.frame_counts()
        free, used = (_ALL * count // self._frames for count in (counts.free, counts.frontswap))
        least = min(now, used + free - _SPARE_PERCENT) if free > _SPARE_PERCENT else 0
        raised = used + free - _MANY_SPARE_PERCENT if free > _MANY_SPARE_PERCENT else 0
        return min(most, max(least, raised))
