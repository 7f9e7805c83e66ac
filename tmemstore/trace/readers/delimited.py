"""CSV and other delimited text with a column map: requests, or events where there is a column of operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import numpy as np

from tmemstore.errors import TraceError
from tmemstore.trace.columns import SIZE_MAX_BYTES, Array, empty
from tmemstore.trace.events import NAMES
from tmemstore.trace.readers.base import REQUEST, FieldError, TextInput, pages_of
from tmemstore.trace.readers.column_map import DELIMITERS, ColumnMap
from tmemstore.trace.readers.fields import column, shown, split, times_ns, whole
from tmemstore.trace.readers.stream import Stream

SAMPLE_BYTES: Final = 1 << 16
REFERENCE_NS: Final = 1000
"""Of an input without times: one event a microsecond."""

_TRANSFERS: Final = {b"r": False, b"read": False, b"w": True, b"write": True}
_EVENTS: Final = {name.encode(): number for number, name in enumerate(NAMES)}
_TEXT_COLUMNS: Final = frozenset({"op"})
_EVENT_ENDS: Final = {"index": 1 << 32, "pool": 1 << 16, "size": SIZE_MAX_BYTES + 1}
_REQUEST_ENDS: Final = {"index": 1 << 32, "pool": 1 << 16, "size": 1 << 44}


class DelimitedInput(TextInput):
    """Lines of fields. A first line whose numbers begin with letters is a header. Raises `TraceError`."""

    kind: ClassVar[str] = "csv"

    def __init__(self, stream: Stream, columns: ColumnMap, delimiter: str | None = None) -> None:
        super().__init__(stream)
        self._columns = columns
        sample = _sample(stream)
        if not sample:
            raise self.fault("the trace is empty: it holds no line")
        self._delimiter = delimiter or _delimiter(self, sample, columns.widest)
        # bytes.split(None) takes any run of blanks for one.
        self._split = None if self._delimiter == " " else self._delimiter.encode()
        self.header = self._is_header(sample[0])
        self._rows = 0
        first = sample[1] if self.header and len(sample) > 1 else sample[0]
        self.requests = not self._holds_events(first)
        self.note = "events by name" if not self.requests else "requests, a size in bytes, at least one page each"
        if "time" not in columns.numbers:
            self.note += "; no times: one event a microsecond"

    def origin(self) -> dict[str, Any]:
        """With the columns and the delimiter."""
        return super().origin() | {"columns": self._columns.text(), "delimiter": self._delimiter}

    def parse(self, lines: Sequence[bytes]) -> tuple[Array, Sequence[int] | None]:
        """One row a line."""
        fields = split(lines, self._split, self._columns.widest)
        named = {name: column(fields, number - 1) for name, number in self._columns.numbers.items()}
        return (self._requests(named) if self.requests else self._events(named)), None

    def finish(self, rows: Array) -> Iterator[Array]:
        """Gives times to rows that have none."""
        if "time" not in self._columns.numbers:
            rows["time_ns"] = np.arange(self._rows, self._rows + len(rows), dtype=np.uint64) * np.uint64(REFERENCE_NS)
        self._rows += len(rows)
        yield rows

    def _requests(self, named: dict[str, list[bytes]]) -> Array:
        numbers = self._numbers(named, _REQUEST_ENDS)
        rows = np.zeros(len(next(iter(named.values()))), REQUEST)
        for name in ("time", "object", "index", "pool"):
            if name in numbers:
                rows["time_ns" if name == "time" else name] = numbers[name]
        rows["pages"] = pages_of(numbers["size"]) if "size" in numbers else 1
        if "op" in named:
            rows["write"] = _looked_up(named["op"], _TRANSFERS, "read, write, r or w, as in the first line")
        return rows

    def _events(self, named: dict[str, list[bytes]]) -> Array:
        numbers = self._numbers(named, _EVENT_ENDS)
        rows = empty(len(named["op"]))
        for name, values in numbers.items():
            rows["time_ns" if name == "time" else name] = values
        rows["op"] = _looked_up(named["op"], _EVENTS, f"an operation: {', '.join(NAMES)}")
        return rows

    def _numbers(self, named: dict[str, list[bytes]], ends: dict[str, int]) -> dict[str, Array]:
        numbers = {
            name: whole(fields, "object id" if name == "object" else name, ends.get(name, 1 << 64))
            for name, fields in named.items()
            if name not in {"time", *_TEXT_COLUMNS}
        }
        if "time" in named:
            numbers["time"] = times_ns(named["time"], self._columns.time_unit)
        return numbers

    def _is_header(self, line: bytes) -> bool:
        fields = line.split(self._split)
        numbers = (number for name, number in self._columns.numbers.items() if name not in _TEXT_COLUMNS)
        named = [fields[number - 1].strip().strip(b"\"'")[:1] for number in numbers if number <= len(fields)]
        return bool(named) and all(first.isalpha() or first == b"_" for first in named)

    def _holds_events(self, line: bytes) -> bool:
        at = self._columns.numbers.get("op")
        fields = line.split(self._split)
        if at is None or at > len(fields):
            return False
        return fields[at - 1].strip().lower() in _EVENTS


def _looked_up(fields: Sequence[bytes], table: dict[bytes, Any], wanted: str) -> list[Any]:
    try:
        return [table[field.lower()] for field in fields]
    except KeyError:
        wrong = next(field for field in fields if field.lower() not in table)
        raise FieldError(f"op {shown(wrong)} is not {wanted}") from None


def _sample(stream: Stream) -> list[bytes]:
    """The first lines that are not passed over, whole ones if there are any."""
    text = stream.peek(SAMPLE_BYTES)
    lines = text.split(b"\n")
    if len(text) == SAMPLE_BYTES and len(lines) > 1:
        lines.pop()
    return [line for line in (line.rstrip(b"\r") for line in lines) if line and not line.startswith(b"#")]


def _delimiter(source: DelimitedInput, sample: list[bytes], widest: int) -> str:
    """The one delimiter that gives each of the first lines the same number of fields, and enough of them."""
    if widest == 1 and not any(mark.encode() in line for line in sample for mark in DELIMITERS.values()):
        return ","
    fitting = []
    for delimiter in DELIMITERS.values():
        counts = {len(line.split(None if delimiter == " " else delimiter.encode())) for line in sample}
        if len(counts) == 1 and max(1, widest - 1) < min(counts):
            fitting.append(delimiter)
    # Blanks may stand beside any other delimiter.
    fitting = [mark for mark in fitting if mark != " "] or fitting
    if len(fitting) == 1:
        return fitting[0]
    raise _undecided(source, fitting, widest)


def _undecided(source: DelimitedInput, fitting: list[str], widest: int) -> TraceError:
    if fitting:
        names = " or ".join(name for name, mark in DELIMITERS.items() if mark in fitting)
        return source.fault(f"the delimiter may be {names}; say which with --delimiter")
    return source.fault(f"no delimiter gives every line the same number of fields, {widest} at least; see --delimiter")
