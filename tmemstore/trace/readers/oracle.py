"""oracleGeneral of libCacheSim: records of 24 bytes, time in s u32, object u64, size u32, next access i64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np

from tmemstore.trace.columns import Array
from tmemstore.trace.readers.base import REQUEST, Clock, Input, pages_of

RECORD: Final = np.dtype([("time_s", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")])

_BLOCK: Final = 65536
_SECOND_NS: Final = np.uint64(10**9)


class OracleInput(Input):
    """Requests of whole objects: an object of so many bytes is its pages from 0 on, one at least."""

    kind: ClassVar[str] = "oracleGeneral"
    note = "requests, each of a whole object: as many pages as its size takes, one at least; times in whole seconds"

    def blocks(self) -> Iterator[Array]:
        """As `Input.blocks`."""
        clock = Clock()
        done = 0
        while data := self.stream.read(_BLOCK * RECORD.itemsize):
            rest = len(data) % RECORD.itemsize
            begin = self.stream.offset - len(data)
            if rest:
                whole = len(data) // RECORD.itemsize
                raise self.fault(
                    f"the file is truncated: {rest} bytes of a record of {RECORD.itemsize}",
                    record=done + whole + 1,
                    offset=begin + whole * RECORD.itemsize,
                )
            records = np.frombuffer(data, RECORD)
            rows = np.zeros(len(records), REQUEST)
            times, back = clock.start(records["time_s"] * _SECOND_NS)
            if back is not None:
                raise self.fault(
                    "the time runs backwards", record=done + back + 1, offset=begin + back * RECORD.itemsize
                )
            rows["time_ns"], rows["object"], rows["pages"] = times, records["object"], pages_of(records["size"])
            done += len(records)
            yield rows


def looks_like(head: bytes) -> bool:
    """Whether the first records of a file make sense: times in order, the next access of each behind it or never."""
    records = np.frombuffer(head[: len(head) // RECORD.itemsize * RECORD.itemsize], RECORD)
    if not len(records):
        return False
    times, following = records["time_s"], records["next"]
    places = np.arange(len(records))
    return bool((times[1:] >= times[:-1]).all() and ((following == -1) | (following > places)).all())
