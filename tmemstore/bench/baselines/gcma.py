"""GCMA as it was published in 2015: frontswap is written through, so that the window is dropped whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tmemstore.bench.arena import PAGE
from tmemstore.bench.baselines.device import Device
from tmemstore.bench.baselines.figures import Calls, Card, pages_of

SYSTEM = "gcma"
DROP_NS = {"low": 1000, "middle": 2000, "high": 4000}
"""Dropping one page, in ns: a declared range, no measurement of this machine."""

CARD = Card(
    models=(
        "Park, Kim and Yeom, GCMA, EWiLi 2015: clean file pages, and swap pages written to the device when stored.",
        "A call drops every page of its window; there is no ratio to keep and nothing to write then.",
        "A page takes a declared time to drop, 1000, 2000 or 4000 ns, whatever its kind.",
        "The call is that time and nothing else, so one call stands for all, and none fails.",
        "The bytes written at store are counted for each swap page of the window and are not in the latency.",
        "The refault figure assumes that each dropped page is asked for again, by one read of the device.",
    ),
    leaves_out=(
        "The published tables (--published prints them); nothing of GCMA's code was measured here.",
        "Waiting for locks, and for pages that are being used just then.",
        "Eviction by one LRU a kind when the area is full: it decides what is in the window, not what a call takes.",
        "Swap pages that were overwritten or invalidated before the call: their writes come on top.",
    ),
)


def elements(ratios: Sequence[int], sizes_bytes: Sequence[int], device: Device) -> Iterator[dict[str, Any]]:
    """Yield an element for each cost; sizes in bytes, ratios in percent of pages that are swap pages."""
    for cost, drop_ns in DROP_NS.items():
        yield {
            "system": SYSTEM,
            "setting": f"{cost} cost",
            "card": CARD.to_document(),
            "settings": {"cost": cost, "drop_page_ns": drop_ns, "device": device.to_document()},
            "rows": [_row(percent, size, drop_ns, device) for percent in ratios for size in sizes_bytes],
        }


def _row(percent: int, size_bytes: int, drop_ns: int, device: Device) -> dict[str, Any]:
    pages = pages_of(size_bytes)
    swap = round(pages * percent / 100)
    calls = Calls(percent, size_bytes, pages_dropped=pages, bytes_written=swap * PAGE, constant=True)
    calls.latency_ns.append(pages * drop_ns)
    refaults_ns = device.refault_ns(swap)
    return calls.row(device) | {"refaults_of_frontswap": swap, "refaults_of_frontswap_ns": refaults_ns}
