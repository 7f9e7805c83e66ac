"""Block traces as text: MSR-Cambridge CSV, and SPC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np

from tmemstore.trace.columns import Array
from tmemstore.trace.readers.base import INDEX_END, REQUEST, FieldError, TextInput
from tmemstore.trace.readers.fields import column, shown, split, times_ns, whole
from tmemstore.trace.readers.stream import Stream
from tmemstore.units import PAGE_SIZE

MSR_LINE: Final = re.compile(rb"[0-9]{15,20},[^,]*,[0-9]+,(?:Read|Write),[0-9]+,[0-9]+,[0-9]+\s*", re.IGNORECASE)
SPC_LINE: Final = re.compile(rb"[0-9]+,\s*[0-9]+,\s*[0-9]+,\s*[rw],\s*[0-9]+(?:\.[0-9]*)?\s*(?:,.*)?", re.IGNORECASE)

_FILETIME_NS: Final = 100
_SECTOR_BYTES: Final = 512
_MSR_FIELDS: Final = 7
_SPC_FIELDS: Final = 5
_DISK_END: Final = 1 << 32
_BYTES_END: Final = 1 << 63
_WRITES: Final = {b"read": False, b"r": False, b"write": True, b"w": True}


def _blocks(times: Array, objects: Array, offset: Array, size: Array, writes: Sequence[bytes]) -> Array:
    """Requests of the pages that the bytes `[offset, offset + size)` touch, the one at `offset` at least."""
    page = np.uint64(PAGE_SIZE)
    first = offset // page
    end = np.maximum((offset + size + (page - np.uint64(1))) // page, first + np.uint64(1))
    if len(end) and int(end.max()) > INDEX_END:
        at = int(end.argmax())
        raise FieldError(f"byte {offset[at]} with {size[at]} more lies beyond page 2^32 of a device")
    rows = np.zeros(len(times), REQUEST)
    rows["time_ns"], rows["object"], rows["index"], rows["pages"] = times, objects, first, end - first
    try:
        rows["write"] = [_WRITES[op.lower()] for op in writes]
    except KeyError:
        wrong = next(op for op in writes if op.lower() not in _WRITES)
        raise FieldError(f"{shown(wrong)} is neither a read nor a write") from None
    return rows


class MsrInput(TextInput):
    """Timestamp, Hostname, DiskNumber, Type, Offset, Size, ResponseTime; times in 100 ns, the rest in bytes."""

    kind: ClassVar[str] = "msr"
    note = "an object is a disk, numbered by host in the order they come: host * 2^32 + disk"

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._hosts: dict[bytes, int] = {}

    def parse(self, lines: Sequence[bytes]) -> tuple[Array, Sequence[int] | None]:
        """One request a line."""
        rows = split(lines, b",", _MSR_FIELDS, _MSR_FIELDS)
        times = whole(column(rows, 0), "timestamp", (1 << 64) // _FILETIME_NS) * np.uint64(_FILETIME_NS)
        disks = whole(column(rows, 2), "disk number", _DISK_END)
        offset, size = (whole(column(rows, at), name, _BYTES_END) for at, name in ((4, "offset"), (5, "size")))
        hosts = [self._hosts.setdefault(host, len(self._hosts)) for host in column(rows, 1)]
        objects = (np.array(hosts, np.uint64) << np.uint64(32)) | disks
        return _blocks(times, objects, offset, size, column(rows, 3)), None


class SpcInput(TextInput):
    """ASU, LBA in sectors of 512 bytes, size in bytes, opcode, timestamp in seconds; what follows is not looked at."""

    kind: ClassVar[str] = "spc"
    note = "an object is an ASU"

    def parse(self, lines: Sequence[bytes]) -> tuple[Array, Sequence[int] | None]:
        """One request a line."""
        rows = split(lines, b",", _SPC_FIELDS)
        units = whole(column(rows, 0), "ASU")
        offset = whole(column(rows, 1), "LBA", _BYTES_END // _SECTOR_BYTES) * np.uint64(_SECTOR_BYTES)
        size = whole(column(rows, 2), "size", _BYTES_END)
        return _blocks(times_ns(column(rows, 4), "s"), units, offset, size, column(rows, 3)), None
