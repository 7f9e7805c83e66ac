"""What a trace holds, in one pass: operations, pools, pages, working sets; memory grows with the pages only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tmemstore.trace.columns import Array
from tmemstore.trace.events import NAMES, Op
from tmemstore.trace.format import TraceReader
from tmemstore.trace.unique import LiveSlots, Pages
from tmemstore.units import PAGE_SIZE

SCHEMA: Final = "tmemstore.trace.info/1"

_KINDS: Final = (
    ("cleancache", range(Op.PUT_PAGE, Op.INVALIDATE_FS + 1)),
    ("frontswap", range(Op.STORE, Op.INVALIDATE_AREA + 1)),
)
_PAGES_OF: Final = {"cleancache": (Op.PUT_PAGE, Op.GET_PAGE), "frontswap": (Op.STORE, Op.LOAD)}


class _Kind:
    """The pages of cleancache, or of frontswap, and the operations on them by pool."""

    def __init__(self, name: str, ops: range) -> None:
        self.name = name
        self._ops = ops
        self._pages = Pages()
        self._live = LiveSlots()
        self._by_pool: dict[int, Array] = {}

    def add(self, records: Array) -> None:
        op = records["op"]
        mine = records[(op >= self._ops.start) & (op < self._ops.stop)]
        if not len(mine):
            return
        counts = np.bincount(mine["pool"].astype(np.int64) * len(NAMES) + mine["op"], minlength=0)
        for place in np.flatnonzero(counts).tolist():
            pool, of_op = divmod(place, len(NAMES))
            self._by_pool.setdefault(pool, np.zeros(len(NAMES), np.int64))[of_op] += counts[place]
        one, other = _PAGES_OF[self.name]
        self._pages.add(mine[(mine["op"] == one) | (mine["op"] == other)])
        if self.name == "frontswap":
            self._live.add(mine)

    def pools(self) -> list[dict[str, Any]]:
        return [
            {"kind": self.name, "pool": pool, "operations": _named(counts)}
            for pool, counts in sorted(self._by_pool.items())
        ]

    def document(self) -> dict[str, int]:
        unique = self._pages.count()
        working_set = unique if self.name == "cleancache" else self._live.most
        return {
            "unique_pages": unique,
            "unique_objects": self._pages.objects,
            "working_set_pages": working_set,
            "working_set_bytes": working_set * PAGE_SIZE,
        }


def describe(
    trace: TraceReader,
    watch: Sequence[Callable[[Array], None]] = (),
    progress: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """A `tmemstore.trace.info/1` document of an open trace, from one pass over it.

    `watch`: functions that get each block of the same pass, for what else is to be found out of it. The working set of
    cleancache is its different pages that were put or got; of frontswap the most slots that were live at once: those
    that were stored, or loaded, and not invalidated since. Footprint: the different pages of both. Raises `TraceError`.
    """
    kinds = [_Kind(name, ops) for name, ops in _KINDS]
    by_op = np.zeros(len(NAMES), np.int64)
    done, largest, first_ns = 0, 0, None
    for records in trace.blocks():
        done += len(records)
        first_ns = int(records["time_ns"][0]) if first_ns is None else first_ns
        by_op += np.bincount(records["op"], minlength=len(NAMES))
        allocations = records["object"][records["op"] == Op.ALLOC]
        largest = max(largest, int(allocations.max(initial=0)))
        for kind in kinds:
            kind.add(records)
        for see in watch:
            see(records)
        if progress is not None:
            progress(f"{done} events", done / trace.events)
    of_kinds = {kind.name: kind.document() for kind in kinds}
    footprint = sum(kind["unique_pages"] for kind in of_kinds.values())
    return {
        "schema": SCHEMA,
        "trace": trace.path.name,
        "origin": trace.header.origin,
        "creator": trace.header.creator,
        "events": trace.events,
        "first_ns": first_ns,
        "duration_ns": trace.last_ns - (first_ns or 0),
        "operations": _named(by_op),
        "pools": [pool for kind in kinds for pool in kind.pools()],
        **of_kinds,
        "largest_allocation_bytes": largest,
        "footprint_pages": footprint,
        "footprint_bytes": footprint * PAGE_SIZE,
    }


def _named(counts: Array) -> dict[str, int]:
    return {name: int(count) for name, count in zip(NAMES, counts, strict=True) if count}
