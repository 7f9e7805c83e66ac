"""Reference streams: an array of page numbers as numpy saves it, without times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np

from tmemstore.trace.columns import Array
from tmemstore.trace.readers.base import REQUEST, Input
from tmemstore.trace.readers.npy import Head, NpyError, read_head

REFERENCE_NS: Final = 1000

_BLOCK: Final = 65536
_INDEX_BITS: Final = np.uint64(32)


class ReferencesInput(Input):
    """uint32[n] or uint64[n] page numbers: page n is page n % 2^32 of object n / 2^32."""

    kind: ClassVar[str] = "references"
    note = "page numbers without times: one request of a page a microsecond"

    def blocks(self) -> Iterator[Array]:
        """As `Input.blocks`."""
        head = self._head()
        (count,) = head.shape
        for at in range(0, count, _BLOCK):
            wanted = min(_BLOCK, count - at) * head.dtype.itemsize
            data = self.stream.read(wanted)
            if len(data) < wanted:
                raise self.fault(
                    f"the file is truncated: its head speaks of {count} page numbers",
                    record=at + len(data) // head.dtype.itemsize + 1,
                    offset=self.stream.offset,
                )
            numbers = np.frombuffer(data, head.dtype).astype(np.uint64)
            rows = np.zeros(len(numbers), REQUEST)
            rows["time_ns"] = np.arange(at, at + len(numbers), dtype=np.uint64) * np.uint64(REFERENCE_NS)
            rows["object"] = numbers >> _INDEX_BITS
            rows["index"] = numbers & np.uint64(0xFFFFFFFF)
            rows["pages"] = 1
            yield rows
        if self.stream.read(1):
            raise self.fault(f"something follows the {count} page numbers", offset=self.stream.offset - 1)

    def _head(self) -> Head:
        try:
            head = read_head(self.stream)
        except NpyError as error:
            raise self.fault(str(error), offset=0) from error
        if head.dtype.kind != "u" or head.dtype.itemsize not in {4, 8} or len(head.shape) != 1:
            raise self.fault(f"holds {head.dtype}{list(head.shape)}, not uint32[n] or uint64[n] page numbers", offset=0)
        return head
