"""Histograms of re-use distances: what share of the accesses a cache of a given size serves, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

GROUPS: Final = 32
"""Parts of the sample, by hash, whose differences tell how far the sample is off."""
STEPS: Final = 16
"""Bins of a group for each doubling of the distance."""
_BINS: Final = STEPS * 48
_NEVER: Final = _BINS
"""The bin of accesses that no cache serves."""
_SIGMAS: Final = 2.04
"""Student's t: 95 % of what is drawn lie within so many standard errors that were estimated from 32 groups."""
_UNSEEN: Final = 3.0
"""What is seen in none of n samples is less than 3 / n of the whole, at 95 % (the rule of three)."""


def empty_groups() -> Array:
    """Groups that have seen nothing: float64[GROUPS, bins + 1]."""
    return np.zeros((GROUPS, _BINS + 1))


def group_bins(distances: Array) -> Array:
    """The bin of each distance in pages, at least 1; int64[n]."""
    bins: Array = np.ceil(STEPS * np.log2(np.maximum(distances, 1.0))).astype(np.int64)
    return np.minimum(bins, _BINS - 1)


def add_to_groups(groups: Array, of: Array, bins: Array | None, weight: float) -> None:
    """Adds `weight` for each access of group of[i] in bins[i]; None: no cache serves them."""
    cells = of * (_BINS + 1) + (_NEVER if bins is None else bins)
    groups += weight * np.bincount(cells, minlength=groups.size).reshape(groups.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Accesses by re-use distance: the least number of page frames with which LRU would have served them.

    Counts are scaled up to the whole stream; with a rate of 1 they are exact and the errors are 0.
    """

    accesses: int
    """Of the whole stream, counted and not estimated."""
    sampled: int
    """Those among them whose page was in the sample."""
    rate: float
    """Share of the pages in the sample, at the end; in (0, 1]."""
    seed: int
    counts: Array
    """float64[n]: counts[i] accesses at a distance of more than i / rate, at most (i + 1) / rate pages."""
    cold: float
    """Accesses that no size would have served: the page never came in, or was removed."""
    depth_pages: float
    """Pages held at once at most: a cache of this size never drops one."""
    adjusted: bool
    """Whether what the sample holds too little or too much of accesses is put on the shortest distances."""
    groups: Array
    """The same by group, in bins of STEPS a doubling, the last for cold ones: float64[GROUPS, bins + 1]."""

    @property
    def adjustment(self) -> float:
        """What is added at the shortest distances, in accesses; may be negative.

        The accesses of a sample differ in number from their expectation mostly by the few pages that are asked for
        most, and those have short distances (SHARDS-adj: C. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, "Efficient
        MRC Construction with SHARDS", FAST 2015, section 3.3).
        """
        return self.accesses - float(self.counts.sum()) - self.cold if self.adjusted else 0.0

    @property
    def full_pages(self) -> float:
        """The longest distance: the size from which on a larger one serves nothing more; 0 without a hit."""
        (served,) = np.nonzero(self.counts)
        return float(served[-1] + 1) / self.rate if len(served) else 0.0

    def hits(self, pages: npt.ArrayLike) -> Array:
        """Accesses that LRU caches of these sizes in pages would have served; float64[n], at least 0."""
        sizes = np.floor(np.maximum(np.asarray(pages, np.float64), 0.0))
        counts = np.concatenate(([0.0], np.cumsum(self.counts)))
        adjusted = counts + self.adjustment * (np.arange(len(counts)) > 0) if len(counts) > 1 else counts
        served: Array = np.interp(sizes * self.rate, np.arange(len(counts)), adjusted)
        return np.maximum(served, 0.0)

    def hit_ratio(self, pages: npt.ArrayLike) -> Array:
        """The share of the accesses that caches of these sizes in pages would have served; float64[n] in [0, 1]."""
        total = self.accesses if self.adjusted else float(self.counts.sum()) + self.cold
        return np.clip(self.hits(pages) / max(total, 1e-300), 0.0, 1.0)

    def standard_error(self, pages: npt.ArrayLike) -> Array:
        """Of the hit ratio, by which pages happen to be in the sample; float64[n].

        The groups are samples of their own; what they differ by, the sum of them is off by (random groups: K. Wolter,
        "Introduction to Variance Estimation", 2007, chapter 2), less what is known of a finite population.
        """
        sizes = np.maximum(np.asarray(pages, np.float64), 1.0)
        if self.rate >= 1 or not self.accesses:
            return np.zeros(sizes.shape)
        served = np.cumsum(self.groups[:, :-1], axis=1)[:, group_bins(sizes)]
        totals = self.groups.sum(axis=1, keepdims=True)
        off = totals - served if self.adjusted else served - self.hit_ratio(sizes) * totals
        finite = (1 - self.rate) / (1 - self.rate / GROUPS)
        error: Array = np.sqrt(GROUPS * off.var(axis=0, ddof=1) * finite) / self.accesses
        return error

    def error(self, pages: npt.ArrayLike) -> Array:
        """Half the width of the interval that holds the true hit ratio in 95 of 100 cases; float64[n].

        Two errors: which accesses are seen, and how far their distances are off. A distance of d pages is counted by
        the n = d * rate of them that are in the sample, and off by sqrt(d * (1 - rate) / rate): at a cliff of the
        curve the error is its height. They are added, not their squares: a sample that holds too many pages has both
        too many of their accesses and too long distances.
        """
        sizes = np.maximum(np.asarray(pages, np.float64), 1.0)
        if self.rate >= 1 or not self.accesses:
            return np.zeros(sizes.shape)
        off = _SIGMAS * np.sqrt((sizes + 1 / self.rate) * (1 - self.rate) / self.rate)
        here = self.hit_ratio(sizes)
        moved = np.maximum(self.hit_ratio(sizes + off) - here, here - self.hit_ratio(sizes - off))
        unseen = _UNSEEN * (1 - self.rate) / max(self.sampled, 1)
        error: Array = _SIGMAS * self.standard_error(sizes) + moved + unseen
        return np.minimum(error, 1.0)

    def octaves(self) -> list[tuple[int, int, float]]:
        """Accesses by doublings of the distance: (above, up to, accesses), in pages: 0 to 1, 1 to 2, 2 to 4 and on."""
        edges = [0, *(1 << power for power in range(int(np.ceil(self.full_pages)).bit_length() + 1))]
        more = np.maximum(np.diff(self.hits(edges)), 0.0)
        return list(zip(edges[:-1], edges[1:], more.tolist(), strict=True))

    def to_document(self) -> dict[str, Any]:
        """Sizes in pages; "octaves": accesses by doublings of the distance, each above `above`, up to `up_to` pages."""
        return {
            "accesses": self.accesses,
            "sampled": self.sampled,
            "rate": self.rate,
            "never_held": self.cold,
            "octaves": [
                {"above_pages": above, "up_to_pages": up_to, "accesses": accesses}
                for above, up_to, accesses in self.octaves()
            ],
        }
