"""Distinct pages, collected from several places.

Owns: one private mapping that grows into its address space as pages arrive (memory is taken page by page, and is
given back when the arena goes).  Law: no page is held twice, over all arenas that share a ``Seen``; a page whose
words are all equal is counted, not held, because the store keeps it as a value and it takes no frame.
"""

from __future__ import annotations

import contextlib
import mmap
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

import tmemstore

PAGE = 4096
_DIGEST_BYTES = 16

Pages = NDArray[np.uint8]
"""uint8[n, 4096]: n pages."""


@dataclass(slots=True)
class Seen:
    """Digests of every page met so far, and how many pages were passed over."""

    digests: set[bytes] = field(default_factory=set)
    same_filled: int = 0
    repeated: int = 0


class Arena:
    """A growing list of distinct pages.  ``capacity`` is the most it will ever hold, in pages.

    Raises EnvironmentLacks where not even the address space is to be had.
    """

    def __init__(self, capacity: int, seen: Seen) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
        try:
            mapping = mmap.mmap(-1, max(1, capacity) * PAGE, flags=flags)
        except OSError as error:
            raise tmemstore.EnvironmentLacks(
                f"no room for {capacity * PAGE >> 20} MiB of pages ({error.strerror}); take a smaller --region, or "
                "raise the limit (ulimit -v, vm.overcommit_memory)"
            ) from error
        with contextlib.suppress(OSError, AttributeError):
            mapping.madvise(mmap.MADV_HUGEPAGE)
        self._all: Pages = np.frombuffer(mapping, dtype=np.uint8).reshape(-1, PAGE)
        self._seen = seen
        self._count = 0

    @property
    def count(self) -> int:
        """Pages held."""
        return self._count

    @property
    def room(self) -> int:
        """Pages that may still be added."""
        return len(self._all) - self._count

    @property
    def pages(self) -> Pages:
        """The pages held, uint8[count, 4096], without a copy."""
        return self._all[: self._count]

    def add(self, block: Pages) -> int:
        """Add those of ``block`` (uint8[n, 4096], C-contiguous) that are new; return how many were added.

        Stops quietly when the arena is full.
        """
        words = block.view(np.uint64)
        filled = (words == words[:, :1]).all(axis=1)
        self._seen.same_filled += int(filled.sum())
        digests = self._seen.digests
        raw = block.reshape(-1).data
        fresh: list[int] = []
        for row in np.flatnonzero(~filled).tolist():
            digest = blake2b(raw[row * PAGE : (row + 1) * PAGE], digest_size=_DIGEST_BYTES).digest()
            if digest in digests:
                self._seen.repeated += 1
            elif len(fresh) < self.room:
                digests.add(digest)
                fresh.append(row)
        end = self._count + len(fresh)
        np.take(block, np.array(fresh, dtype=np.intp), axis=0, out=self._all[self._count : end], mode="clip")
        self._count = end
        return len(fresh)
