"""Pages that somebody holds on to, so that the kernel can neither drop nor move them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PER_PAGES = 32768
"""A number of pins is given for so many pages (128 MiB)."""
GROUP_PAGES = 32
COUNTS = (0, 2, 8, 32, 128, 512)
HOLD_MEDIAN_NS = 10_000_000
HOLD_SIGMA = 1.5
"""Assumed, with no source: half of the pins end within 10 ms of the call, one in 45 holds longer than ten retries."""
_FOREVER_NS = 2**62

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PinSetting:
    """``count``: pins per 32768 pages.  ``grouped``: up to 32 of them in adjacent pages, else each anywhere.

    ``permanent``: never released, else after a lognormal time from the call on.  Raises ValueError for a count below 0.
    """

    count: int = 0
    grouped: bool = False
    permanent: bool = False
    hold_median_ns: int = HOLD_MEDIAN_NS
    hold_sigma: float = HOLD_SIGMA

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count is {self.count}; there cannot be fewer than no pins")

    def __str__(self) -> str:
        if not self.count:
            return "no pins"
        kind = "permanent" if self.permanent else "transient"
        return f"{self.count} {'grouped' if self.grouped else 'scattered'} {kind}"

    def to_document(self) -> dict[str, Any]:
        """Return it as it stands in the result."""
        lognormal = bool(self.count) and not self.permanent
        return {
            "count": self.count,
            "per_pages": PER_PAGES,
            "placed": "grouped" if self.grouped else "scattered",
            "group_pages": GROUP_PAGES if self.grouped else 1,
            "held": "permanent" if self.permanent else "transient",
            "hold_median_ns": self.hold_median_ns if lognormal else None,
            "hold_sigma": self.hold_sigma if lognormal else None,
        }


@dataclass(frozen=True, slots=True)
class Pins:
    """``pages``: numbers in the region, ascending; ``until_ns``: when each is released, from the call on."""

    pages: Numbers
    until_ns: Numbers

    def held_at(self, time_ns: int) -> Numbers:
        """Return the pages that are pinned at that time."""
        return self.pages[self.until_ns > time_ns]


def settings() -> tuple[PinSetting, ...]:
    """Return what a run goes through: no pins, then each number in each of four ways."""
    some = (
        PinSetting(count, grouped, permanent)
        for count in COUNTS[1:]
        for grouped in (False, True)
        for permanent in (False, True)
    )
    return (PinSetting(), *some)


def draw(setting: PinSetting, frames: int, random: np.random.Generator) -> Pins:
    """Return the pins of a region of so many frames at the moment of a call.

    Where the region has room for a part of a pin only it has that one with that probability.  A group has one owner,
    who releases it as a whole.
    """
    exact = setting.count * frames / PER_PAGES
    count = min(frames, int(exact) + int(random.random() < exact % 1))
    if not count:
        return Pins(np.empty(0, np.int64), np.empty(0, np.int64))
    size = min(GROUP_PAGES, frames) if setting.grouped else 1
    groups = -(-count // size)
    # Groups begin at multiples of their size, so that no two share a page and the number of pins is what was asked for.
    begins = np.sort(random.choice(frames // size, min(groups, frames // size), replace=False, shuffle=False)) * size
    pages = (begins[:, None] + np.arange(size)).ravel()[:count]
    if setting.permanent:
        return Pins(pages, np.full(len(pages), _FOREVER_NS))
    held_ns = random.lognormal(np.log(setting.hold_median_ns), setting.hold_sigma, len(begins))
    return Pins(pages, np.repeat(held_ns.astype(np.int64), size)[: len(pages)])
