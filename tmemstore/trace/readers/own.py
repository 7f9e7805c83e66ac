"""Our own format as an input: a copy of it, checked, with the origin it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from tmemstore.trace.columns import Array
from tmemstore.trace.format import open_trace
from tmemstore.trace.readers.base import Input
from tmemstore.trace.readers.stream import Stream


class OwnInput(Input):
    """A trace of tmemstore."""

    kind: ClassVar[str] = "own"
    requests = False

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        with open_trace(stream.path) as trace:
            self._header, self._events = trace.header, trace.events
        self._done = 0

    def blocks(self) -> Iterator[Array]:
        """As `Input.blocks`."""
        with open_trace(self.stream.path) as trace:
            for records in trace.blocks():
                self._done += len(records)
                yield records

    def origin(self) -> dict[str, Any]:
        """That of the trace."""
        return self._header.origin

    @property
    def fraction(self) -> float:
        """How much of it was read."""
        return self._done / self._events
