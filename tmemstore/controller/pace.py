"""How fast the escape reserve is emptied, learned from the writes that emptied it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from tmemstore.stores.background import WriteServed

_RECENT: Final = 128
"""Writes whose pace is that of the next ones: a few times the reserve's content."""
_ENOUGH: Final = 32
"""Before there are so many, what recent writes of any kind took must do: it knows of others at the device as well."""
_OTHERS_PERCENT: Final = 110
"""Until then, of what those took: halfway between a device of one's own and one with four threads that load from it,
since a cleaner that gives pages a copy yields to loads and has not seen them, and one that drains does not yield."""
_PAUSE_NS: Final = 20_000_000
"""A longer pause between two of them is one in which nothing was to be drained."""


class DrainPace:
    """The mean pace at which background writes follow each other while there is something to drain.

    What a single write takes is less: between two ends lies also what others had written or read meanwhile, and what
    kept the cleaner from the device.  And the mean of many is what a sum is made of, where a coefficient is a median.

    `byte_ps`: time a byte of payload; 0 until there is anything to tell.
    """

    def __init__(self) -> None:
        self._last: WriteServed | None = None
        self._recent: deque[tuple[int, int]] = deque(maxlen=_RECENT)
        self._served: deque[tuple[int, int]] = deque(maxlen=_RECENT)
        self.byte_ps = 0

    def learn(self, samples: Sequence[WriteServed]) -> None:
        """Takes in all completed writes, at least one, in their order."""
        for each in samples:
            before, self._last = self._last, each
            self._served.append((each.payload_bytes, each.service_ns))
            if before is None or not (before.drains and each.drains) or before.number + 1 != each.number:
                continue
            took_ns = each.ended_ns - before.ended_ns
            if took_ns - each.service_ns < _PAUSE_NS:
                self._recent.append((each.payload_bytes, took_ns))
        known, percent = (self._recent, 100) if len(self._recent) >= _ENOUGH else (self._served, _OTHERS_PERCENT)
        size, ns = (sum(column) for column in zip(*known, strict=True))
        self.byte_ps = max(1, ns * 10 * percent // max(1, size))

    def forget(self) -> None:
        """The device has changed."""
        self._recent.clear()
        self._served.clear()
        self.byte_ps = 0
