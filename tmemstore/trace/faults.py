"""What is wrong with a trace, as one sentence that names the file, the record and the byte."""

from __future__ import annotations

from pathlib import Path

from tmemstore.errors import TraceError


class EventError(TraceError):
    """An event that a trace may hold and this store cannot take; says which one and does not know the file."""

    def __init__(self, place: int, what: str) -> None:
        super().__init__(f"event {place}: {what}")


def fault(
    path: Path | str, what: str, *, record: int | None = None, line: int | None = None, offset: int | None = None
) -> TraceError:
    """The error to raise. Records and lines are counted from 1, bytes from 0; a compressed input's in what it holds."""
    places = (("record", record), ("line", line), ("byte", offset))
    where = ", ".join(f"{name} {number}" for name, number in places if number is not None)
    # A name may hold any bytes but two; a message is one line of text.
    name = str(path) if str(path).isprintable() else ascii(str(path))
    return TraceError(f"{name}: {where}: {what}" if where else f"{name}: {what}")


def unreadable(path: Path | str, error: OSError) -> TraceError:
    """The error of a file that the system does not give."""
    return fault(path, f"cannot be read ({error.strerror or error}); name a file that can")
