r"""The trace file of tmemstore: events in blocks of zstd, a header that tells where they come from, an end mark.

    magic "tmtrace\n"   version u32   bytes of the header u32   header, JSON   CRC-32 of all before u32
    block: "BLCK"   events u32, 1 to 65536   bytes of the frame u32   CRC-32 of the frame u32   frame (columns.py)
    ...
    end: "TEND"   blocks u32   events u64   time of the last event, ns u64   CRC-32 of the end mark before u32

Numbers are little-endian. Nothing stands behind the end mark, so a file that was cut anywhere is found when it is
opened. Reading and writing take the memory of a few blocks.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np

from tmemstore.errors import TraceError
from tmemstore.trace.columns import BLOCK_EVENTS, Array, BlockError, Packer, Unpacker, first_wrong
from tmemstore.trace.events import RECORD
from tmemstore.trace.faults import fault, unreadable

SCHEMA: Final = "tmemstore.trace/1"
MAGIC: Final = b"tmtrace\n"
VERSION: Final = 1
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
GZIP_MAGIC: Final = b"\x1f\x8b\x08"
HEADER_MOST_BYTES: Final = 1 << 20
FRAME_MOST_BYTES: Final = 4 << 20

_START: Final = struct.Struct("<8sII")
_BLOCK: Final = struct.Struct("<4sIII")
_END: Final = struct.Struct("<4sIQQI")
_CRC: Final = struct.Struct("<I")
_BLOCK_TAG: Final = b"BLCK"
_END_TAG: Final = b"TEND"


@dataclass(frozen=True, slots=True)
class Header:
    """What a trace says of itself. `origin`: kind, name, note of the input and how it was converted."""

    origin: dict[str, Any]
    creator: str
    schema: str = SCHEMA
    version: int = VERSION

    def to_document(self) -> dict[str, Any]:
        """The JSON of the file."""
        return {"schema": self.schema, "origin": self.origin, "creator": self.creator}


class TraceReader:
    """A trace file that is open; `with open_trace(path) as trace: for records in trace.blocks(): ...`.

    `header`; `events`, their number; `last_ns`, the time of the last one, in ns; `path`.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = _opened(self.path)
        try:
            self._size = self._size_of_file()
            self.header, self._first = self._header()
            self._blocks, self.events, self.last_ns = self._end()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; iterators of `blocks` end with ValueError."""
        self._file.close()

    def blocks(self) -> Iterator[Array]:
        """The events in order, as arrays of `RECORD`, 1 to 65536 each; from the start whenever it is called.

        Raises `TraceError` that names the record and the byte where the file is damaged.
        """
        unpacker = Unpacker()
        offset, events, last_ns = self._first, 0, 0
        for _ in range(self._blocks):
            frame, count = self._frame(offset, events + 1)
            try:
                records = unpacker.unpack(frame, count)
            except BlockError as error:
                raise fault(self.path, str(error), record=events + 1, offset=offset) from error
            self._check(records, events, offset, last_ns)
            offset += _BLOCK.size + len(frame)
            events += count
            last_ns = int(records["time_ns"][-1])
            yield records
        if (offset, events, last_ns) != (self._size - _END.size, self.events, self.last_ns):
            raise self._fault(
                f"the end mark speaks of {self.events} events, the blocks hold {events}: convert the input again",
                offset,
                events,
            )

    def _check(self, records: Array, before: int, offset: int, last_ns: int) -> None:
        wrong = first_wrong(records)
        if wrong is None and records["time_ns"][0] < last_ns:
            wrong = 0, "the time runs backwards"
        if wrong is not None:
            at, what = wrong
            raise fault(self.path, what, record=before + at + 1, offset=offset)

    def _frame(self, offset: int, record: int) -> tuple[bytes, int]:
        tag, events, frame_bytes, checksum = _BLOCK.unpack(self._read(offset, _BLOCK.size, record))
        if tag != _BLOCK_TAG or not 1 <= events <= BLOCK_EVENTS or not 1 <= frame_bytes <= FRAME_MOST_BYTES:
            raise self._fault("the file is damaged: no block begins here", offset, record)
        frame = self._read(offset + _BLOCK.size, frame_bytes, record)
        if zlib.crc32(frame) != checksum:
            raise self._fault("the file is damaged: the block does not have its checksum", offset, record)
        return frame, events

    def _header(self) -> tuple[Header, int]:
        start = os.pread(self._file.fileno(), _START.size, 0)
        if start[:8] != MAGIC[: len(start)]:
            raise fault(self.path, _foreign(start), offset=0)
        magic, version, header_bytes = _START.unpack(self._read(0, _START.size))
        if version != VERSION:
            raise fault(
                self.path, f"version {version} of the format is unknown; this is tmemstore for {VERSION}", offset=8
            )
        if header_bytes > HEADER_MOST_BYTES:
            raise self._fault(f"the header is damaged: {header_bytes} bytes are too many", 12)
        text = self._read(_START.size, header_bytes)
        (checksum,) = _CRC.unpack(self._read(_START.size + header_bytes, _CRC.size))
        if zlib.crc32(text, zlib.crc32(_START.pack(magic, version, header_bytes))) != checksum:
            raise self._fault("the header is damaged: it does not have its checksum", _START.size)
        return self._parsed(text), _START.size + header_bytes + _CRC.size

    def _parsed(self, text: bytes) -> Header:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._fault(f"the header is no JSON ({error})", _START.size) from error
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise self._fault(f"the header does not name the schema {SCHEMA}", _START.size)
        origin, creator = document.get("origin"), document.get("creator")
        if not isinstance(origin, dict) or not isinstance(creator, str):
            raise self._fault("the header lacks origin or creator", _START.size)
        return Header(origin, creator)

    def _end(self) -> tuple[int, int, int]:
        offset = self._size - _END.size
        mark = self._read(offset, _END.size) if offset >= self._first else b""
        if mark[:4] != _END_TAG or zlib.crc32(mark[: -_CRC.size]) != _CRC.unpack(mark[-_CRC.size :])[0]:
            raise self._fault("the file is truncated or damaged: it does not end with an end mark", self._size)
        _, blocks, events, last_ns, _ = _END.unpack(mark)
        if not events:
            raise fault(self.path, "the trace is empty: it holds no event", offset=offset)
        return blocks, events, last_ns

    def _size_of_file(self) -> int:
        size = os.fstat(self._file.fileno()).st_size
        if not size:
            raise fault(self.path, "the file is empty", offset=0)
        return size

    def _read(self, offset: int, count: int, record: int | None = None) -> bytes:
        try:
            data = os.pread(self._file.fileno(), count, offset)
        except OSError as error:
            raise unreadable(self.path, error) from error
        if len(data) < count:
            raise self._fault("the file is truncated", offset + len(data), record)
        return data

    def _fault(self, what: str, offset: int, record: int | None = None) -> TraceError:
        return fault(self.path, what, record=record, offset=offset)


def _opened(path: Path) -> BinaryIO:
    try:
        if not path.is_file() and path.exists():
            raise fault(path, "is no regular file")
        return path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:  # a NUL in the name
        if isinstance(error, TraceError):
            raise
        raise fault(path, "is no name of a file") from error


def _foreign(start: bytes) -> str:
    if start.startswith((ZSTD_MAGIC, GZIP_MAGIC)):
        return (
            "is compressed, and a trace of tmemstore is not: unpack it (zstd -d, gzip -d) if it is one, "
            "else make one of it with tmemstore convert"
        )
    return "is no trace of tmemstore; make one of it with tmemstore convert"


def open_trace(path: Path | str) -> TraceReader:
    """Opens a trace file. Raises `TraceError` if it is truncated, damaged, foreign, empty or of an unknown version."""
    return TraceReader(path)


@dataclass(slots=True)
class _Written:
    blocks: int = 0
    events: int = 0
    last_ns: int = 0
    waiting: list[Array] = field(default_factory=list)
    waiting_events: int = 0


class TraceWriter:
    """A trace file that is being written; it stands at `path` once the context ends without an error.

    `origin`: what JSON can hold. Raises `TraceError` for records that no trace may hold and for a trace without any;
    `OSError` where the file cannot be written.
    """

    def __init__(self, path: Path | str, origin: Mapping[str, Any]) -> None:
        self.path = Path(path)
        creator = f"tmemstore {importlib.metadata.version('tmemstore')}"
        document = Header(dict(origin), creator).to_document()
        text = json.dumps(document, allow_nan=False).encode()
        if len(text) > HEADER_MOST_BYTES:
            raise ValueError(f"origin is too long: {len(text)} bytes of JSON, {HEADER_MOST_BYTES} at most")
        self._unfinished = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self._packer = Packer()
        self._done = _Written()
        self._file = self._unfinished.open("wb")
        start = _START.pack(MAGIC, VERSION, len(text)) + text
        self._file.write(start + _CRC.pack(zlib.crc32(start)))

    @property
    def events(self) -> int:
        """How many were written so far."""
        return self._done.events

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            try:
                self._file.close()
            finally:
                self._unfinished.unlink(missing_ok=True)

    def write(self, records: Array) -> None:
        """Appends records of dtype `RECORD`; times must not be before those that were written.

        After an error nothing more is to be written: the file will not be there.
        """
        if records.dtype != RECORD or records.ndim != 1:
            raise TypeError("records must be a one-dimensional array of tmemstore.trace.events.RECORD")
        if not len(records):
            return
        wrong = first_wrong(records)
        if wrong is None and records["time_ns"][0] < self._done.last_ns:
            wrong = 0, "the time runs backwards"
        if wrong is not None:
            raise fault(self.path, wrong[1], record=self._done.events + wrong[0] + 1)
        done = self._done
        done.events += len(records)
        done.last_ns = int(records["time_ns"][-1])
        done.waiting.append(records.copy())
        done.waiting_events += len(records)
        if done.waiting_events >= BLOCK_EVENTS:
            self._flush(whole=True)

    def _flush(self, *, whole: bool) -> None:
        done = self._done
        records = np.concatenate(done.waiting)
        until = len(records) // BLOCK_EVENTS * BLOCK_EVENTS if whole else len(records)
        for at in range(0, until, BLOCK_EVENTS):
            block = records[at : min(at + BLOCK_EVENTS, until)]
            frame = self._packer.pack(block)
            self._file.write(_BLOCK.pack(_BLOCK_TAG, len(block), len(frame), zlib.crc32(frame)) + frame)
            done.blocks += 1
        done.waiting = [records[until:].copy()] if until < len(records) else []
        done.waiting_events = len(records) - until

    def _finish(self) -> None:
        done = self._done
        if not done.events:
            raise fault(self.path, "is not written: there is no event to write")
        if done.waiting:
            self._flush(whole=False)
        end = _END.pack(_END_TAG, done.blocks, done.events, done.last_ns, 0)[: -_CRC.size]
        self._file.write(end + _CRC.pack(zlib.crc32(end)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._unfinished.replace(self.path)
