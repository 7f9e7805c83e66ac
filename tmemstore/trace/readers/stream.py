"""The bytes of an input, unpacked where it is compressed, in one pass and in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import zstandard

from tmemstore.errors import TraceError
from tmemstore.trace.faults import fault, unreadable
from tmemstore.trace.format import GZIP_MAGIC, ZSTD_MAGIC

LINE_MOST_BYTES: Final = 1 << 16

# A few bytes of zstd may stand for 128 KiB each: what one step reads bounds what it may unpack to, some 32 MiB.
_STEP_BYTES: Final = 1 << 10
_PLAIN_BYTES: Final = 1 << 18
_LINES_BYTES: Final = 1 << 20
_SKIPPABLE: Final = tuple(bytes((0x50 + number,)) + b"\x2a\x4d\x18" for number in range(16))


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Gzip:
    """zlib's, with the errors and the whole output of a step that zstandard's has."""

    def __init__(self) -> None:
        self._zlib: Any = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return bool(self._zlib.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._zlib.unused_data)

    def decompress(self, data: bytes, /) -> bytes:
        return bytes(self._zlib.decompress(data))


def _unpacker(compression: str) -> _Unpacker:
    if compression == "gzip":
        return _Gzip()
    unpacker: _Unpacker = zstandard.ZstdDecompressor().decompressobj()
    return unpacker


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a text without their ends. `number`: of the first, from 1; `text` begins at byte `offset`."""

    number: int
    offset: int
    text: bytes
    lines: list[bytes]

    def place(self, at: int) -> dict[str, int]:
        """Line and byte of `lines[at]`, as `fault` takes them."""
        begin = 0
        for _ in range(at):
            begin = self.text.index(b"\n", begin) + 1
        return {"line": self.number + at, "offset": self.offset + begin}


class Stream:
    """An input that is read once. `offset`: how many bytes of its content were taken; `compression`: how it was packed.

    Raises `TraceError` for a file that cannot be read, is damaged, truncated, or compressed twice.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.offset = 0
        try:
            self._file = self.path.open("rb")
            self._file_bytes = self.path.stat().st_size
        except OSError as error:
            raise unreadable(path, error) from error
        except ValueError as error:  # a NUL in the name
            raise fault(path, "is no name of a file") from error
        self._read_bytes = 0
        self._ahead = b""
        self._content: Iterator[bytes] = iter(())
        try:
            self.compression = self._start()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    @property
    def fraction(self) -> float:
        """How much of the file was read, 0 to 1."""
        return min(1.0, self._read_bytes / self._file_bytes) if self._file_bytes else 0.0

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end only; they stay where they are."""
        if len(self._ahead) < count:
            parts, held = [self._ahead], len(self._ahead)
            while held < count and (more := next(self._content, b"")):
                parts.append(more)
                held += len(more)
            self._ahead = b"".join(parts)
        return self._ahead[:count]

    def read(self, count: int) -> bytes:
        """Takes the next `count` bytes, fewer at the end only."""
        data = self.peek(count)
        self._ahead = self._ahead[len(data) :]
        self.offset += len(data)
        return data

    def lines(self) -> Iterator[Lines]:
        """The lines that are left, about a MiB of them at a time; a missing last line end is no fault."""
        number = 1
        while text := self.peek(_LINES_BYTES):
            end = text.rfind(b"\n") + 1
            if len(text) < _LINES_BYTES and end < len(text):
                end = len(text)
            lines = text[:end].split(b"\n")
            if end and text[end - 1 : end] == b"\n":
                lines.pop()
            batch = Lines(number, self.offset, text[:end], [line.rstrip(b"\r") for line in lines])
            if not end or max(map(len, lines)) > LINE_MOST_BYTES:
                at = next((at for at, line in enumerate(lines) if len(line) > LINE_MOST_BYTES), 0)
                raise fault(self.path, f"the line is longer than {LINE_MOST_BYTES} bytes", **batch.place(at))
            self.read(end)
            number += len(lines)
            yield batch

    def _start(self) -> str | None:
        head = self._take(_STEP_BYTES)
        compression = _compression(head)
        if compression is None:
            self._content = self._plain(head)
            return None
        self._content = self._unpacked(head, compression)
        if inner := _compression(self.peek(len(ZSTD_MAGIC))):
            raise fault(
                self.path,
                f"is compressed twice, {inner} within {compression}: unpack it once ({_unpack_command(compression)})",
                offset=0,
            )
        return compression

    def _plain(self, head: bytes) -> Iterator[bytes]:
        while head:
            yield head
            head = self._take(_PLAIN_BYTES)

    def _unpacked(self, data: bytes, compression: str) -> Iterator[bytes]:
        """The content of the frames, one behind the other; ends only where one of them ends with the file."""
        at = 0
        while data:
            unpacker = _unpacker(compression)
            while True:
                try:
                    content = unpacker.decompress(data)
                except (zstandard.ZstdError, zlib.error) as error:
                    raise self._damaged(f"the {compression} data is damaged ({error})", at) from error
                if content:
                    yield content
                if unpacker.eof:
                    break
                at = self._read_bytes
                data = self._take(_STEP_BYTES)
                if not data:
                    raise self._damaged(f"the {compression} data is truncated", self._read_bytes)
            data = unpacker.unused_data or self._take(_STEP_BYTES)
            if data and _compression(data + self._rest(data)) != compression:
                raise self._damaged(f"something else follows the {compression} data", self._read_bytes - len(data))

    def _rest(self, data: bytes) -> bytes:
        """What a magic number that the end of a step cut in two lacks; only looked at."""
        if len(data) >= len(ZSTD_MAGIC):
            return b""
        try:
            return self._file.peek(len(ZSTD_MAGIC))[: len(ZSTD_MAGIC)]
        except OSError as error:
            raise unreadable(self.path, error) from error

    def _take(self, count: int) -> bytes:
        try:
            data = self._file.read(count)
        except OSError as error:
            raise unreadable(self.path, error) from error
        self._read_bytes += len(data)
        return data

    def _damaged(self, what: str, at: int) -> TraceError:
        return fault(self.path, f"{what}, near byte {at} of the file", offset=self.offset + len(self._ahead))


def _compression(head: bytes) -> str | None:
    if head.startswith((ZSTD_MAGIC, *_SKIPPABLE)):
        return "zstd"
    return "gzip" if head.startswith(GZIP_MAGIC) else None


def _unpack_command(compression: str) -> str:
    return {"zstd": "zstd -d", "gzip": "gzip -d"}[compression]
