"""One input becomes a trace file: read, put through a page-cache model where it needs one, written, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tmemstore.errors import TraceError
from tmemstore.trace.columns import Array
from tmemstore.trace.events import NAMES
from tmemstore.trace.faults import fault
from tmemstore.trace.format import TraceWriter
from tmemstore.trace.pagecache import PageCache, bypassed
from tmemstore.trace.readers.base import Input
from tmemstore.trace.readers.opening import Wanted, open_input
from tmemstore.units import PAGE_SIZE, format_size

SCHEMA: Final = "tmemstore.convert/1"

Progress = Callable[[str, float], None]


@dataclass(slots=True)
class Counts:
    """What went through: `requests` and pages asked for by them, 0 for an input of events; events by operation."""

    requests: int = 0
    pages_requested: int = 0
    events: int = 0
    by_op: Array = field(default_factory=lambda: np.zeros(len(NAMES), np.int64))
    last_ns: int = 0

    def add(self, records: Array) -> None:
        """Counts events."""
        self.events += len(records)
        self.by_op += np.bincount(records["op"], minlength=len(NAMES))
        self.last_ns = int(records["time_ns"][-1])


def convert(
    path: Path | str,
    output: Path | str,
    *,
    wanted: Wanted | None = None,
    page_cache_pages: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Makes a trace file of an input and returns a `tmemstore.convert/1` document.

    `page_cache_pages`: of the model that requests go through; 0 for none; None where the input holds events. Raises
    `TraceError`, `OSError` where the output cannot be written. The output is whole or not there.
    """
    with open_input(path, wanted) as source:
        cache = _cache(source, page_cache_pages)
        origin = source.origin() | (_origin_of_model(page_cache_pages) if source.requests else {})
        counts = Counts()
        with TraceWriter(output, origin) as trace:
            for records in _events(source, cache, counts):
                counts.add(records)
                trace.write(records)
                if progress is not None:
                    progress(f"{counts.events} events", source.fraction)
            if not counts.events:
                raise fault(path, "the trace is empty: it holds no event")
        return _document(source, origin, counts, cache) | {"output": str(output), "input": str(path)}


def _cache(source: Input, pages: int | None) -> PageCache | None:
    if source.requests and pages is None:
        raise _refused(
            source,
            "holds requests, and a tmem store sees only what a page cache evicts; give the size of one with "
            "--page-cache SIZE, or none: then each request is a get and, on a miss, a put",
        )
    if not source.requests and pages is not None:
        raise _refused(source, "holds events of a page cache already; leave --page-cache out")
    return PageCache(pages) if pages else None


def _refused(source: Input, what: str) -> TraceError:
    return source.fault(f"({source.kind}) {what}")


def _origin_of_model(pages: int | None) -> dict[str, Any]:
    if not pages:
        return {"page_cache": "none", "page_cache_bytes": 0, "order": None, "fill": True}
    return {
        "page_cache": format_size(pages * PAGE_SIZE),
        "page_cache_bytes": pages * PAGE_SIZE,
        "order": "lru",
        "fill": False,
    }


def _events(source: Input, cache: PageCache | None, counts: Counts) -> Iterator[Array]:
    for block in source.blocks():
        if not source.requests:
            yield block
            continue
        counts.requests += len(block)
        counts.pages_requested += int(block["pages"].sum(dtype=np.uint64))
        yield from cache.run(block) if cache is not None else bypassed(block)


def _document(source: Input, origin: dict[str, Any], counts: Counts, cache: PageCache | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "kind": source.kind,
        "origin": origin,
        "requests": counts.requests,
        "pages_requested": counts.pages_requested,
        "pages_written_back": cache.written_back if cache is not None else 0,
        "events": counts.events,
        "operations": {name: int(count) for name, count in zip(NAMES, counts.by_op, strict=True) if count},
        "duration_ns": counts.last_ns,
        "skipped": dict(sorted(source.skipped.items())),
    }
