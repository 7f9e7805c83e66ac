"""What the tests of replays share: small traces from a seed, in memory and as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.format import TraceWriter
from tmemstore.trace.outcome import replay
from tmemstore.trace.settings import Settings
from tmemstore.units import PAGE_SIZE

STEP_NS = 100_000
BOTH = {Op.PUT_PAGE: 30, Op.GET_PAGE: 30, Op.INVALIDATE_PAGE: 2, Op.STORE: 18, Op.LOAD: 18, Op.INVALIDATE_SWAP: 2}
SWAP = {Op.STORE: 50, Op.LOAD: 50}


def events_of(rows: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """RECORD[n] of rows such as {"op": Op.STORE, "index": 3}; where no time is named, one every 100 us."""
    rows = list(rows)
    events = np.zeros(len(rows), RECORD)
    for at, row in enumerate(rows):
        for name, value in ({"time_ns": at * STEP_NS} | dict(row)).items():
            events[name][at] = value
    return events


def mixed(seed: int, count: int = 4000, weights: Mapping[Op, float] = BOTH, pages: int = 900) -> np.ndarray:
    """Skewed events of those ops, one every 100 us; two pools of each kind, three objects, sizes not known."""
    rng = np.random.default_rng(seed)
    shares = np.array(list(weights.values()))
    events = np.zeros(count, RECORD)
    events["op"] = rng.choice(list(weights), count, p=shares / shares.sum())
    events["index"] = rng.zipf(1.2, count) % pages
    events["pool"] = rng.integers(0, 2, count)
    events["object"] = np.where(events["op"] < Op.STORE, rng.integers(0, 3, count), 0)
    events["time_ns"] = np.arange(count) * STEP_NS
    return events


def settings(frames: int = 512, **options: Any) -> Settings:
    """Of a region of so many frames; every clean page is let in unless the options say otherwise."""
    return Settings(**{"region_bytes": frames * PAGE_SIZE, "admission_filter": False} | options)


def outcome(events: np.ndarray, *, fill: bool = False, frames: int = 512, blocks: int = 1, **options: Any) -> Any:
    """The document of a replay of these events, handed over in so many blocks."""
    parts = np.array_split(events, blocks)
    return replay(lambda: iter(parts), settings(frames, **options), origin={"fill": fill})


def apart(document: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The document without wall_ns, machine and the names."""
    return {name: value for name, value in document.items() if name not in {"wall_ns", "machine", *names}}


def write(path: Path, events: np.ndarray, **origin: Any) -> Path:
    """A trace file of them."""
    with TraceWriter(path, {"kind": "test"} | origin) as writer:
        writer.write(events)
    return path
