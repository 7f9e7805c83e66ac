"""Miss-ratio curves over the size of the region: what each kind would get out of one of any size, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tmemstore.trace.distances import distances
from tmemstore.trace.events import Flag, Op
from tmemstore.trace.histogram import Histogram
from tmemstore.units import PAGE_SIZE

Array = npt.NDArray[Any]

_POINTS: Final = 64
_LEAST_PAGES: Final = 16
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Point:
    """What a region of one size serves."""

    size_bytes: int
    hit_ratio: float
    """Share of the gets, or of the loads, in [0, 1]."""
    error: float
    """Half the width of the interval that holds the true share in 95 of 100 cases; 0 if all pages were looked at."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What one kind gets out of a region that is all its own, under LRU."""

    histogram: Histogram
    page_bytes: float
    """Of the region, taken by a page on average."""
    points: tuple[Point, ...]
    """By size; the last one serves all that any size does."""

    @property
    def full_bytes(self) -> int:
        """The size from which on a larger one serves nothing more."""
        return int(np.ceil(self.histogram.full_pages * self.page_bytes))

    @property
    def held_bytes(self) -> int:
        """What all pages take that are held at once: in a region of this size none is dropped for room."""
        return int(np.ceil(self.histogram.depth_pages * self.page_bytes))

    def at(self, size_bytes: int) -> Point:
        """The point of a region of `size_bytes`."""
        return self._at([size_bytes])[0]

    def with_sizes(self, sizes_bytes: Sequence[int]) -> Curve:
        """The same curve at other sizes, in any order."""
        return Curve(self.histogram, self.page_bytes, self._at(sorted(sizes_bytes)))

    def _at(self, sizes_bytes: Sequence[int]) -> tuple[Point, ...]:
        # A size that was made from a whole number of pages is one again.
        pages = np.floor(np.array(sizes_bytes, np.float64) / self.page_bytes + _ROUNDING)
        ratios, errors = self.histogram.hit_ratio(pages), self.histogram.error(pages)
        return tuple(map(Point, map(int, sizes_bytes), ratios.tolist(), errors.tolist()))

    def to_document(self) -> dict[str, Any]:
        """For JSON: the points, and what they come from."""
        return {
            "accesses": self.histogram.accesses,
            "sampled": self.histogram.sampled,
            "rate": self.histogram.rate,
            "page_bytes": self.page_bytes,
            "full_bytes": self.full_bytes,
            "held_bytes": self.held_bytes,
            "points": [asdict(point) for point in self.points],
        }


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves of both kinds of one trace."""

    cleancache: Curve
    """Hits of gets."""
    frontswap: Curve
    """Loads served from the region; the others come from the spill file, where a page stays until it is stored anew."""
    seed: int

    def to_document(self) -> dict[str, Any]:
        """For JSON: {"seed", "cleancache": {"points": [...], ...}, "frontswap": {...}}."""
        return {
            "seed": self.seed,
            "cleancache": self.cleancache.to_document(),
            "frontswap": self.frontswap.to_document(),
        }


def curves(
    blocks: Iterable[Array],
    *,
    fill: bool = False,
    sizes_bytes: Sequence[int] | None = None,
    rate: float = 1.0,
    most_pages: int | None = None,
    seed: int = 0,
) -> Curves:
    """The curves of both kinds, in one pass over blocks of events (`RECORD`).

    `fill`: gets that miss are followed by a put of the page, as the origin of such a trace says. `sizes_bytes`: where
    to take points; None: up to 64, from 64 KiB to where nothing more is gained, evenly by their logarithm. `rate`,
    `most_pages`, `seed`: of the sample, as `Distances` has them (`ValueError` as there); its error is in the points.

    Distances are counted in pages. What a page takes of the region is the mean over the puts or stores of the trace:
    the compressed size where it is known, nothing for a same-filled page, else 4096 bytes.

    A cleancache in LRU order that has the region to itself serves exactly what its exact curve says. A frontswap does
    about: its order is a second chance for pages that were loaded, which on recorded traces was worth 0 to 3 points,
    and 6 in one case.
    """
    clean, swapped = _PageBytes(Op.PUT_PAGE), _PageBytes(Op.STORE)
    both = distances(_watched(blocks, (clean, swapped)), fill=fill, rate=rate, most_pages=most_pages, seed=seed)
    return Curves(
        _curve(both.cleancache, clean.mean(), sizes_bytes), _curve(both.frontswap, swapped.mean(), sizes_bytes), seed
    )


class _PageBytes:
    """What the pages take that one operation brings in."""

    def __init__(self, op: Op) -> None:
        self._op = op
        self._pages = 0
        self._bytes = 0

    def add(self, events: Array) -> None:
        mine = events[["size", "flags"]][events["op"] == self._op]
        sizes = np.where(mine["size"] == 0, PAGE_SIZE, mine["size"])
        self._pages += len(mine)
        self._bytes += int(sizes[mine["flags"] & int(Flag.FILLED) == 0].sum())

    def mean(self) -> float:
        """A page's, at least one byte: sizes are divided by it."""
        return max(1.0, self._bytes / self._pages) if self._pages else float(PAGE_SIZE)


def _watched(blocks: Iterable[Array], watchers: Sequence[_PageBytes]) -> Iterator[Array]:
    for block in blocks:
        for watcher in watchers:
            watcher.add(block)
        yield block


def _curve(histogram: Histogram, page_bytes: float, sizes_bytes: Sequence[int] | None) -> Curve:
    curve = Curve(histogram, page_bytes, ())
    return curve.with_sizes(_sizes(curve) if sizes_bytes is None else sizes_bytes)


def _sizes(curve: Curve) -> list[int]:
    most = max(1.0, np.ceil(curve.histogram.full_pages))
    pages = np.unique(np.round(np.geomspace(min(_LEAST_PAGES, most), most, _POINTS)))
    return [int(np.ceil(count * curve.page_bytes)) for count in pages]
