"""The knob that follows the load: what either kind would gain from each share of the region, and which share is best.

The core keeps, for a sample of the keys, how many frames of its kind lie between two uses of a page (`tms_ghosts`). A
share of x frames finds what is used again within x, under LRU; so the counts say for every ratio at once what device
time it would have saved: of pages found a random read, of frontswap pages that were freed before they had to be written
a part of a sequential write. Old counts fade, by half in half as many accesses as the region has frames.

The ratio moves only for a gain that is worth it, since what is moved out must be written, and never beyond what the
contracts allow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tmemstore.stores import background
from tmemstore.stores.background import Ghosts
from tmemstore.stores.tmem import TmemStore

START_PERCENT: Final = 50
_SAMPLED_SHARE: Final = 16
_SAMPLED_MIN: Final = 512
_SAMPLED_MAX: Final = 1024
"""Frames that stand for the region: a sixteenth, within these."""
_PERIOD_SHARE: Final = 4
"""Decisions in as many accesses as the region has frames."""
_FADE_SHARE: Final = 2
"""Half-lives in as many."""
_ENOUGH: Final = 24
"""Uses again in the sample, faded, until they say anything."""
_GAIN: Final = 0.01
"""Of what the ratio in force would have saved: for less it stays as it is."""
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

    def add(self, seen: Ghosts, before: Ghosts, read_ns: int, write_ps: int) -> None:
        """Takes in what came since `before`."""
        for i in range(len(self.clean)):
            clean = seen.clean[i] - before.clean[i]
            swap = seen.swap[i] - before.swap[i]
            freed = seen.swap_freed_units[i] - before.swap_freed_units[i]
            self.clean[i] += clean * read_ns
            self.swap[i] += swap * read_ns + freed * 64 * write_ps / 1000
            self.uses += clean + swap

    def saved(self, percent: float, swap_most: float) -> float:
        """With frontswap at this share at most; `swap_most`: the share that all its pages would fill, in percent."""
        region = len(self.clean) // 2
        swap = min(percent, swap_most) / _ALL * region
        return _within(self.clean, region - swap) + _within(self.swap, swap)


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
        sampled = min(_SAMPLED_MAX, max(_SAMPLED_MIN, self._frames // _SAMPLED_SHARE))
        background.set_ghosts(store, sampled)
        self._before = background.ghosts(store)
        self._curve = Curve(len(self._before.clean))
        self.percent = START_PERCENT
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
        self._before = seen
        if self._curve.uses < _ENOUGH:
            return False
        wanted, reason = self._best(seen, most)
        if wanted == self.percent:
            return False
        self.log.append(Event(background.now_ns(self._store), "frontswap_max_percent", reason, wanted))
        self.percent = wanted
        return True

    def _best(self, seen: Ghosts, most: int) -> tuple[int, str]:
        share = seen.rate_ppb * self._frames * 64 / 1e9  # units of the region, as the sample sees them
        swap_most = _ALL * seen.units[1] / max(1.0, share)
        saved = [self._curve.saved(percent, swap_most) for percent in range(_ALL + 1)]
        best = max(range(min(most, _ALL) + 1), key=lambda percent: (saved[percent], -percent))
        now = min(self.percent, most)
        if saved[best] <= saved[now] * (1 + _GAIN):
            best = now
        if best == self.percent:
            return best, ""
        gain = _ALL * (saved[best] / saved[self.percent] - 1) if saved[self.percent] else _ALL
        kind = "frontswap" if best > self.percent else "cleancache"
        return best, f"{kind} gains more: {gain:.1f} % more device time saved than at {self.percent} %"
