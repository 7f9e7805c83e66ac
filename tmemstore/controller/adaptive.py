"""The knob that follows the load: what either kind would gain from each share of the region, and which share is best.

The core keeps, for a sample of the keys, how many frames of its kind lie between two uses of a page (`tms_ghosts`). A
share of x frames finds what is used again within x, under LRU; so the counts say for every ratio at once what device
time it would have saved: of pages found a random read, of frontswap pages that were freed before they had to be written
a part of a sequential write. Old counts fade, by half in half as many accesses as the region has frames, and those of
a kind that is suddenly used much less fade faster.

To that comes what a ratio keeps of the swapped pages that are in the region now: one that is moved out is written, and
loaded from the device until it is stored anew. So the share of frontswap falls only for a gain that will pay for that
while the load may be taken to stay as it is. It moves only within what the contracts allow, and every change is logged
with its reason.

The constants were chosen on eight recorded loads (a compiler, git, a database, node, numpy, grep, sqlite) with regions
of 10, 30 and 100 % of their pages; bench/results/traces has the outcome beside every fixed ratio.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from tmemstore.stores import background
from tmemstore.stores.background import Ghosts
from tmemstore.stores.tmem import TmemStore
from tmemstore.units import PAGE_SIZE

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
_LATELY_SHARE: Final = 8
"""Half-life, in as many, of the loads that the pages which are there now may expect: fewer than that share of them."""
_LATELY_PRIOR: Final = 24
"""Loads that are expected before anything is seen."""
_DROP: Final = 0.4
"""A kind of which less is used again than this part of what was expected has changed its load."""
_DROP_FACTOR: Final = 0.5
"""Its counts fade to what was seen, by half at most each time."""
_DROP_EXPECTED: Final = 12
"""Of fewer nothing is concluded."""
_FULL: Final = 0.85
"""Of its share, that frontswap's frames take where it counts as full."""
_DENSE_LEAST: Final = 0.6
_DENSE_FROM_PERCENT: Final = 2
"""Frames of frontswap from which their density says anything, and how low it may get."""
_ENOUGH: Final = 24
"""Uses again in the sample, faded, until they say anything."""
_GAIN: Final = 0.007
"""Of what the ratio in force is worth: for less it stays as it is."""
_SPARE_PERCENT: Final = 6
_MANY_SPARE_PERCENT: Final = 20
"""Free frames that clean pages come and go through: beyond these the share is not lowered, beyond those raised."""
_UNIT_BYTES: Final = 64
_UNITS: Final = 64
"""Of a frame."""
_ALL: Final = 100
_LOG: Final = 256


class Event(NamedTuple):
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
        self.clean_uses = self.swap_uses = 0.0

    @property
    def uses(self) -> float:
        """Of both kinds: how many times a page was used again."""
        return self.clean_uses + self.swap_uses

    def fade(self, factor: float, clean_uses: int, swap_uses: int) -> None:
        """Old counts count less. `clean_uses`, `swap_uses`: what came meanwhile, and is not taken in yet."""
        clean = factor * _dropped(self.clean_uses * (1 - factor), clean_uses)
        swap = factor * _dropped(self.swap_uses * (1 - factor), swap_uses)
        self.clean = [value * clean for value in self.clean]
        self.swap = [value * swap for value in self.swap]
        self.clean_uses *= clean
        self.swap_uses *= swap

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
            self.clean_uses += clean
            self.swap_uses += swap

    def saved(self, percent: float, most: float, dense: float = 1.0) -> float:
        """With frontswap at this share at most; `most`: the share that all its pages would fill, in percent.

        `dense`: the part of its frames that holds pages, the rest being gaps between them.
        """
        region = len(self.clean) // 2
        swap = min(percent, most / dense) / _ALL * region
        return _within(self.clean, region - swap) + _within(self.swap, swap * dense)


def _dropped(expected: float, seen: int) -> float:
    """What more a kind's counts are to fade by, 1: nothing."""
    if expected < _DROP_EXPECTED or seen >= _DROP * expected:
        return 1.0
    return max(_DROP_FACTOR, (seen + 1) / expected)


def share_of(units: int, seen: Ghosts, frames: int) -> float:
    """Units of 64 bytes in the sample as percent of the region's frames."""
    return _ALL * units / max(1.0, seen.rate_ppb * frames * _UNITS / 1e9)


def sampled_frames(frames: int) -> int:
    """How many frames stand for a region of so many."""
    return min(_SAMPLED_MAX, max(_SAMPLED_MIN, frames // _SAMPLED_SHARE))


def _uses(seen: Ghosts) -> tuple[list[int], list[int]]:
    return seen.clean, seen.swap


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
        self.left = self.period
        """Accesses until the next decision."""
        self._loads = self._stores = self._lately = 0.0
        self._write_ps = 0
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
        self.left = self.period - passed if passed < self.period else self.period
        if passed < self.period:
            return False
        self._write_ps = write_ps
        clean, swap = (sum(now) - sum(then) for now, then in zip(_uses(seen), _uses(self._before), strict=True))
        self._curve.fade(0.5 ** (passed * _FADE_SHARE / self._frames), clean, swap)
        self._curve.add(seen, self._before, self._read_ns, write_ps)
        self._learn_loads(swap, seen.swap_stores - self._before.swap_stores, passed)
        self._before = seen
        if self._curve.uses < _ENOUGH:
            return False
        percent, reason = self._best(seen, most)
        if percent == self.percent:
            return False
        self.log.append(Event(background.now_ns(self._store), "frontswap_max_percent", reason, percent))
        self.percent = percent
        return True

    def _learn_loads(self, loads: int, stores: int, passed: int) -> None:
        """How often a swapped page is loaded before it is stored anew or freed, on a long average."""
        factor, lately = (0.5 ** (passed / (share * self._frames)) for share in (_LOADS_SHARE, _LATELY_SHARE))
        self._loads = self._loads * factor + loads
        self._stores = self._stores * factor + stores
        self._lately = self._lately * lately + loads

    def _page_ns(self, seen: Ghosts) -> float:
        """What it costs to move a swapped page out: its write, and its loads until it is stored anew.

        No more loads than there were lately, for each page: those of a process that sleeps are not asked for.
        """
        pages = max(1, sum(seen.swap_pages))
        a_page = (self._loads + _LOADS_PRIOR * _LOADS_PRIOR_PAGES) / (self._stores + _LOADS_PRIOR_PAGES)
        written_bytes = seen.units[1] / pages * _UNIT_BYTES
        lately = (self._lately + _LATELY_PRIOR) / pages
        return min(a_page, lately) * self._read_ns + written_bytes * self._write_ps / 1000

    def _dense(self, now: int) -> float:
        """What part of frontswap's frames holds pages, where it fills its share; else pages will close the gaps.

        After a process is gone the frames of its neighbours are half empty, and a share that looks large enough is not.
        """
        frames = self._store.frame_counts().frontswap
        most = now * self._frames / _ALL
        if now == _ALL or frames * _ALL <= _DENSE_FROM_PERCENT * self._frames or frames < _FULL * most:
            return 1.0
        return min(1.0, max(_DENSE_LEAST, self._store.stats().bytes_kept / (frames * PAGE_SIZE)))

    def _worths(self, seen: Ghosts, now: int) -> list[float]:
        """Of each percentage: what it saves while the load stays so, and what it keeps of the pages that are there.

        A page that is moved out does not come back before it is stored anew, so to lower the share costs loads. A share
        that is raised takes new pages, without gaps.
        """
        region = len(seen.swap_pages) // 2
        most = share_of(seen.units[1], seen, self._frames)
        windows = _HORIZON * _FADE_SHARE * math.log(2)
        page_ns, dense = self._page_ns(seen), self._dense(now)
        return [
            windows * self._curve.saved(percent, most, dense if percent <= now else 1.0)
            + page_ns * _within(seen.swap_pages, dense * min(percent, now) / _ALL * region)
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
