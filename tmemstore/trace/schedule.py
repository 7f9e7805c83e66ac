"""When a replayed trace allocates: from a text such as "64MiB@1s:100ms", or spread at random over the trace."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from tmemstore.trace.events import RECORD, Op
from tmemstore.units import PAGE_SIZE, format_time_ns, parse_size, parse_time_ns

Records = npt.NDArray[Any]
"""Events: RECORD[n]."""

LEAST: Final = 1000
"""Allocations of a trace that names none itself, so that a quantile of 99.9 % is seen at least once."""
HOLD_NS: Final = 100_000_000
OWN: Final = 0xFFFF
"""The pool of these events, so that their numbers are not those of the trace's own allocations."""
_HOLD_SHARE: Final = 4
_MOST: Final = 10**7
_SPEC: Final = re.compile(r"(?P<size>[^@:]+)@(?P<period>[^@:]+)(?::(?P<hold>[^@:]+))?")


@dataclass(frozen=True, slots=True)
class Allocate:
    """Allocations of `size_bytes`, one every `period_ns`, each held for `hold_ns` (all in time of the trace)."""

    size_bytes: int
    period_ns: int
    hold_ns: int = HOLD_NS

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "SIZE@PERIOD[:HOLD]", for example "64MiB@1s:100ms". `ValueError` with what is wrong."""
        match = _SPEC.fullmatch(text.strip())
        if match is None:
            raise ValueError(f'{text!r}: write it as SIZE@PERIOD or SIZE@PERIOD:HOLD, for example "64MiB@1s:100ms"')
        size, period = parse_size(match["size"]), parse_time_ns(match["period"])
        hold = parse_time_ns(match["hold"]) if match["hold"] else HOLD_NS
        if size <= 0 or size % PAGE_SIZE:
            raise ValueError(f"{text!r}: the size is a multiple of {PAGE_SIZE} bytes")
        if not 0 < hold < 2**63 or not 0 < period < 2**63:
            raise ValueError(f"{text!r}: period and hold are positive times")
        return cls(size, period, hold)

    def __str__(self) -> str:
        return f"{self.size_bytes}@{self.period_ns}ns:{self.hold_ns}ns"


def regular(allocate: Allocate, duration_ns: int) -> Records:
    """ALLOC and RELEASE events in order of time, over [0, duration_ns), at least one of each.

    Ranges may be out at the same time. Raises `ValueError` where they would be more than 10 million, or too late.
    """
    count = max(1, (duration_ns - 1) // allocate.period_ns)
    if count > _MOST:
        raise ValueError(
            f"one allocation every {format_time_ns(allocate.period_ns)} of {format_time_ns(duration_ns)} are {count}, "
            f"more than {_MOST}; take a longer period"
        )
    if max(duration_ns, allocate.period_ns) + allocate.hold_ns >= 2**64:
        raise ValueError("the last allocation would be held beyond the end of time, 2**64 ns; take a shorter hold")
    times = np.arange(allocate.period_ns, max(duration_ns, allocate.period_ns + 1), allocate.period_ns, dtype=np.uint64)
    return _events(times, np.full(len(times), allocate.hold_ns, np.uint64), allocate.size_bytes)


def random(size_bytes: int, duration_ns: int, seed: int) -> Records:
    """`LEAST` of them at exponential distances, each held 100 ms, or a quarter of the mean distance if that is less.

    One is out at a time: the next one comes after the release.
    """
    mean_ns = max(1, duration_ns // LEAST)
    hold_ns = min(HOLD_NS, max(1, mean_ns // _HOLD_SHARE))
    gaps = np.random.default_rng([seed, 0xA110C]).exponential(1.0, LEAST)
    room_ns = max(0, duration_ns - LEAST * hold_ns)
    times = np.minimum(np.cumsum(gaps * (room_ns / gaps.sum())).astype(np.uint64), np.uint64(room_ns))
    times += np.arange(LEAST, dtype=np.uint64) * np.uint64(hold_ns)
    return _events(times, np.full(LEAST, hold_ns, np.uint64), size_bytes)


def _events(times: npt.NDArray[np.uint64], holds: npt.NDArray[np.uint64], size_bytes: int) -> Records:
    events = np.zeros(2 * len(times), RECORD)
    events["op"][0::2], events["op"][1::2] = Op.ALLOC, Op.RELEASE
    events["time_ns"][0::2], events["time_ns"][1::2] = times, times + holds
    events["index"][0::2] = events["index"][1::2] = np.arange(len(times)) & 0xFFFFFFFF
    events["object"][0::2] = size_bytes
    events["pool"] = OWN
    return events[np.argsort(events["time_ns"], kind="stable")]


def merge(blocks: Iterable[Records], extra: Records) -> Iterator[Records]:
    """The events of both in order of time; where they are equal those of the blocks come first."""
    at = 0
    for block in blocks:
        if not len(block):
            continue
        end = at + int(np.searchsorted(extra["time_ns"][at:], block["time_ns"][-1], side="left"))
        if end == at:
            yield block
            continue
        places = np.searchsorted(block["time_ns"], extra["time_ns"][at:end], side="right")
        yield np.insert(block, places, extra[at:end])
        at = end
    if at < len(extra):
        yield extra[at:]
