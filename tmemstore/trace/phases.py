"""A load of two phases, made from a seed: one that swaps, then one that reads files, or the other way round."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.schedule import Records

Kind = Literal["cleancache", "frontswap"]

PERIOD_NS: Final = 200_000
"""Between two events; a device of 5000 random reads a second keeps up with it."""
_BUSY_SHARE: Final = 0.75
"""Of a phase's events that are of its own kind."""
_PAGES_A_FRAME: Final = 2.9
"""Compressed pages of the sizes that a replay draws, in a frame."""
_FILES_SHARE: Final = {"cleancache": 1.3, "frontswap": 0.1}
"""Of the region, that the pages of files make up, by the kind that is busy."""
_ANONYMOUS_SHARE: Final = {"cleancache": 0.6, "frontswap": 0.9}
"""The same of the anonymous pages, compressed."""
_FREED_SHARE: Final = {"cleancache": 0.9, "frontswap": 0.1}
"""Of the accesses to a page that is swapped out, those that free it unread, to make a new one."""
_MEMORY_SHARE: Final = 0.1
"""Of the pages of a kind, that the machine has memory for beside the region."""
_SKEW: Final = 0.7
_WRITTEN_SHARE: Final = 0.5
"""Of the accesses to other anonymous pages, that change them."""
_DRAWN: Final = 1 << 14

Found = tuple[int, int]
"""An operation and the number of a page."""


@dataclass(frozen=True, slots=True)
class Phases:
    """`events`: RECORD[n], in order of time. `starts`: the place of the first one of each phase."""

    events: Records
    starts: tuple[int, ...]


def make(frames: int, events: int, kinds: Sequence[Kind], *, seed: int) -> Phases:
    """Phases of so many events each, for a region of `frames`; `kinds`: which kind is busy in each.

    A phase is a process, in a swap area of its own that is gone with it, and the files that it reads. One that is busy
    with files swaps as well, but what it finds worth little: pages that are freed before they are read again.
    """
    random = np.random.default_rng([seed, 0x9A5E])
    phases = []
    for number, busy in enumerate(kinds):
        of_swap = random.random(events) < (_BUSY_SHARE if busy == "frontswap" else 1 - _BUSY_SHARE)
        swap = _anonymous(random, round(frames * _PAGES_A_FRAME * _ANONYMOUS_SHARE[busy]), _FREED_SHARE[busy])
        phase = _mixed(of_swap, swap, _files(random, round(frames * _FILES_SHARE[busy])))
        phase["pool"][of_swap] = number
        phase["object"][~of_swap] = number
        phase[-1]["object"] = phase[-1]["index"] = 0
        phase[-1]["op"], phase[-1]["pool"] = Op.INVALIDATE_AREA, number
        phases.append(phase)
    joined = np.zeros(len(phases) * events, RECORD)
    for at, phase in zip(range(0, len(joined), events), phases, strict=True):
        joined[at : at + events] = phase
    joined["time_ns"] = np.arange(len(joined), dtype=np.uint64) * np.uint64(PERIOD_NS)
    return Phases(joined, tuple(range(0, len(joined), events)))


def _mixed(of_swap: npt.NDArray[np.bool_], swap: Iterator[Found], files: Iterator[Found]) -> Records:
    events = np.zeros(len(of_swap), RECORD)
    found = np.array([next(swap if each else files) for each in of_swap.tolist()], np.int64)
    events["op"], events["index"] = found[:, 0], found[:, 1]
    return events


def _accesses(random: np.random.Generator, pages: int) -> Iterator[tuple[int, bool]]:
    """Pages by a Zipf law, the frequent ones anywhere among them, and whether they are changed."""
    weights = np.arange(1, pages + 1, dtype=np.float64) ** -_SKEW
    ends, numbers = np.cumsum(weights / weights.sum()), random.permutation(pages)
    while True:
        ranks = np.minimum(np.searchsorted(ends, random.random(_DRAWN)), pages - 1)
        written = random.random(_DRAWN) < _WRITTEN_SHARE
        yield from zip(numbers[ranks].tolist(), written.tolist(), strict=True)


def _files(random: np.random.Generator, pages: int) -> Iterator[Found]:
    """A get where a page is not in memory, after a put of the one that makes room."""
    room = max(1, round(pages * _MEMORY_SHARE))
    cached: OrderedDict[int, None] = OrderedDict()
    for page, _ in _accesses(random, pages):
        if page in cached:
            cached.move_to_end(page)
            continue
        if len(cached) == room:
            yield int(Op.PUT_PAGE), cached.popitem(last=False)[0]
        yield int(Op.GET_PAGE), page
        cached[page] = None


def _anonymous(random: np.random.Generator, pages: int, freed_share: float) -> Iterator[Found]:
    """A load where a page is swapped out; its slot is free once it is changed, and it is stored anew when it leaves."""
    room = max(1, round(pages * _MEMORY_SHARE))
    cached: OrderedDict[int, None] = OrderedDict()
    swapped: set[int] = set()
    for page, is_written in _accesses(random, pages):
        is_freed = False
        if page in cached:
            cached.move_to_end(page)
        else:
            is_freed = page in swapped and random.random() < freed_share
            if len(cached) == room:
                victim = cached.popitem(last=False)[0]
                if victim not in swapped:
                    yield int(Op.STORE), victim
                    swapped.add(victim)
            if page in swapped and not is_freed:
                yield int(Op.LOAD), page
            cached[page] = None
        if (is_written or is_freed) and page in swapped:
            swapped.remove(page)
            yield int(Op.INVALIDATE_SWAP), page
