"""What every reader of a foreign trace gives, and how one that reads lines names the one that is wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import numpy as np

from tmemstore.errors import TraceError
from tmemstore.trace.columns import Array, first_wrong
from tmemstore.trace.events import RECORD
from tmemstore.trace.faults import fault
from tmemstore.trace.readers.stream import Lines, Stream
from tmemstore.units import PAGE_SIZE

REQUEST: Final = np.dtype(
    [("time_ns", "<u8"), ("object", "<u8"), ("index", "<u4"), ("pages", "<u4"), ("pool", "<u2"), ("write", "?")]
)
"""A request for `pages` pages, 1 and more, from `index` of `object` on, for a page-cache model; ends by 2^32."""

INDEX_END: Final = 1 << 32


class FieldError(Exception):
    """A field that cannot be what it stands for; the message ends the sentence of a TraceError."""


class Input(ABC):
    """A foreign trace: events of `RECORD`, or, where `requests` is true, requests of `REQUEST`.

    `note`: how this kind is understood, for the header. `skipped`: what was passed over, by name.
    """

    kind: ClassVar[str]
    requests: bool = True
    note: str = ""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.skipped: Counter[str] = Counter()

    @abstractmethod
    def blocks(self) -> Iterator[Array]:
        """The content in order, in arrays of bounded length; once. Times begin at 0. Raises `TraceError`."""

    def origin(self) -> dict[str, Any]:
        """What the header of a trace made of it says of it, page cache excepted."""
        return {
            "kind": self.kind,
            "name": self.stream.path.name,
            "note": self.note,
            "compression": self.stream.compression,
        }

    @property
    def fraction(self) -> float:
        """How much of the input was read, 0 to 1."""
        return self.stream.fraction

    def fault(self, what: str, **place: int) -> TraceError:
        """The error that names this input."""
        return fault(self.stream.path, what, **place)


class Clock:
    """Makes times count from the first one, and finds the one that runs backwards."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._last = 0

    def start(self, times: Array) -> tuple[Array, int | None]:
        """Times in ns from the first one ever given on, and where the first lies that is before the one before it."""
        if not len(times):
            return times, None
        if self._first is None:
            self._first = self._last = int(times[0])
        back = np.flatnonzero(times[1:] < times[:-1])
        if int(times[0]) < self._last:
            return times, 0
        if len(back):
            return times, int(back[0]) + 1
        self._last = int(times[-1])
        return times - np.uint64(self._first), None


def pages_of(size_bytes: Array) -> Array:
    """How many pages so many bytes take, at least one."""
    sizes = size_bytes.astype("<u8")
    return np.maximum(sizes // np.uint64(PAGE_SIZE) + (sizes % np.uint64(PAGE_SIZE) > 0), 1)


class TextInput(Input):
    """One row a line. Blank lines and lines that begin with # are passed over, with `header` the first other too."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._clock = Clock()
        self.header = False

    @abstractmethod
    def parse(self, lines: Sequence[bytes]) -> tuple[Array, Sequence[int] | None]:
        """One row for each line, or for the lines whose places are given too. Raises `FieldError`.

        What it remembers of lines must stay the same when they are parsed again.
        """

    def finish(self, rows: Array) -> Iterator[Array]:
        """What the rows of a batch become, once their times are known to be in order."""
        yield rows

    def blocks(self) -> Iterator[Array]:
        """As `Input.blocks`; an error names the line."""
        for batch in self.stream.lines():
            kept = [at for at, line in enumerate(batch.lines) if line and not line.startswith(b"#")]
            if len(kept) < len(batch.lines):
                self.skipped["comments"] += len(batch.lines) - len(kept)
            if kept and self.header:
                del kept[0]
                self.header = False
            if kept:
                yield from self._block(batch, kept)

    def _block(self, batch: Lines, kept: list[int]) -> Iterator[Array]:
        rows, chosen = self._parsed(batch, kept)
        places = kept if chosen is None else [kept[at] for at in chosen]
        rows["time_ns"], back = self._clock.start(rows["time_ns"])
        if back is not None:
            raise self.fault("the time runs backwards; sort the input by time", **batch.place(places[back]))
        wrong = first_wrong(rows) if rows.dtype == RECORD else _first_too_long(rows)
        if wrong is not None:
            raise self.fault(wrong[1], **batch.place(places[wrong[0]]))
        if len(rows):
            yield from self.finish(rows)

    def _parsed(self, batch: Lines, kept: list[int]) -> tuple[Array, Sequence[int] | None]:
        skipped = self.skipped.copy()
        try:
            return self.parse([batch.lines[at] for at in kept])
        except FieldError as error:
            self.skipped = skipped
            for at in kept:
                try:
                    self.parse([batch.lines[at]])
                except FieldError as exact:
                    raise self.fault(str(exact), **batch.place(at)) from exact
            raise self.fault(str(error), **batch.place(kept[0])) from error


def _first_too_long(requests: Array) -> tuple[int, str] | None:
    ends = requests["index"].astype("<u8") + requests["pages"]
    beyond = np.flatnonzero(ends > INDEX_END)
    return (int(beyond[0]), "the request ends beyond page 2^32 of its object") if len(beyond) else None
