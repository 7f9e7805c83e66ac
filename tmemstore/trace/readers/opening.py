"""Which kind of trace an input is, found out from its content or named, and the reader of that kind."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tmemstore.errors import TraceError
from tmemstore.trace.faults import fault
from tmemstore.trace.format import MAGIC
from tmemstore.trace.readers import blockio, npy, oracle, tracefs
from tmemstore.trace.readers.base import Input
from tmemstore.trace.readers.blockio import MsrInput, SpcInput
from tmemstore.trace.readers.column_map import KINDS, ColumnMap
from tmemstore.trace.readers.delimited import DelimitedInput
from tmemstore.trace.readers.oracle import OracleInput
from tmemstore.trace.readers.own import OwnInput
from tmemstore.trace.readers.recorded import RecordedInput
from tmemstore.trace.readers.references import ReferencesInput
from tmemstore.trace.readers.stream import Stream
from tmemstore.trace.readers.tracefs import TracefsInput

SAMPLE_BYTES: Final = 1 << 16
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\v")) + b"\x7f"
_READERS: Final = {
    kind.kind: kind
    for kind in (OwnInput, OracleInput, MsrInput, SpcInput, TracefsInput, RecordedInput, ReferencesInput)
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an input is to be read. `kind`: one of `KINDS`, None to find it out; the others are for csv and text."""

    kind: str | None = None
    columns: ColumnMap | None = None
    delimiter: str | None = None


@contextmanager
def open_input(path: Path | str, wanted: Wanted | None = None) -> Iterator[Input]:
    """The reader of an input while the context lasts. Raises `TraceError` for one that cannot be read.

    Raises `ValueError` for a kind that is none of `KINDS`.
    """
    wanted = wanted or Wanted()
    with Stream(path) as stream:
        kind = wanted.kind or ("csv" if wanted.columns is not None else sniff(stream))
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of input; known are {', '.join(KINDS)}")
        if not stream.peek(1):
            raise fault(path, "the trace is empty: it holds no byte", offset=0)
        if kind in {"csv", "text"}:
            if wanted.columns is None:
                raise fault(
                    path,
                    "is text of no kind that is known by itself; if it has columns, say what they hold, for example "
                    "--columns time=2,object=5",
                )
            yield DelimitedInput(stream, wanted.columns, wanted.delimiter)
        else:
            yield _READERS[kind](stream)


def sniff(stream: Stream) -> str:
    """The kind of a stream, by its content alone; nothing is taken from it. Raises `TraceError` where it is none."""
    head = stream.peek(SAMPLE_BYTES)
    if not head:
        raise fault(stream.path, "the trace is empty: it holds no byte", offset=0)
    if head.startswith(MAGIC):
        return OwnInput.kind
    if head.startswith(npy.MAGIC):
        return _array(stream.path, head)
    if head.translate(None, delete=_CONTROLS) == head:
        return _text(stream, head)
    if oracle.looks_like(head):
        return OracleInput.kind
    raise _unknown(stream.path)


def _array(path: Path, head: bytes) -> str:
    try:
        array = npy.read_head(io.BytesIO(head))
    except npy.NpyError as error:
        raise fault(path, str(error), offset=0) from error
    if array.dtype.kind == "u" and len(array.shape) == 1 and array.dtype.itemsize > 1:
        return ReferencesInput.kind
    if array.dtype.itemsize == 1 and len(array.shape) == 2 and array.shape[0] <= 8:  # noqa: PLR2004 - planes, elements
        return RecordedInput.kind
    raise fault(path, f"holds {array.dtype}{list(array.shape)}, which is no trace of a known kind", offset=0)


def _text(stream: Stream, head: bytes) -> str:
    if head.lstrip().startswith((b"# tracer:", b"# entries-in-buffer")):
        return TracefsInput.kind
    lines = [line.rstrip(b"\r") for line in head.split(b"\n")]
    line = next((line for line in lines if line.strip() and not line.startswith(b"#")), b"")
    for pattern, kind in (
        (tracefs.LINE, TracefsInput.kind),
        (tracefs.LOST, TracefsInput.kind),
        (tracefs.PREAMBLE, TracefsInput.kind),
        (blockio.MSR_LINE, MsrInput.kind),
        (blockio.SPC_LINE, SpcInput.kind),
    ):
        if pattern.fullmatch(line):
            return kind
    if any(character in b"0123456789" for character in line):
        return DelimitedInput.kind
    raise _unknown(stream.path)


def _unknown(path: Path) -> TraceError:
    return fault(path, f"is no trace of a known kind; if it is one, name it with --from: {', '.join(KINDS)}", offset=0)
