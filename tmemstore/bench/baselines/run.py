"""All baselines of a run, and ours beside them in the same figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tmemstore.bench.arena import Pages
from tmemstore.bench.baselines import NAMES, cma, gcma, zram
from tmemstore.bench.baselines.copies import Copies
from tmemstore.bench.baselines.device import Device
from tmemstore.bench.baselines.figures import Calls, Card
from tmemstore.bench.baselines.pins import settings

OURS = "tmemstore"
_COPIED_PAGES = 1 << 23
"""Pages that all calls together copy for real: some seconds."""
_FEWEST_PAGES = 64

_CARD = Card(
    models=(
        "The rows of this run for the dearest window: nothing is modelled but an emulated device.",
        "Pages dropped and bytes written are medians over the repeats.",
        "The refault figure assumes that each page that was dropped or paged out is asked for again, by one read.",
        "Pages are kept compressed, several in a frame: more of them leave a window than it has frames.",
    ),
    leaves_out=(
        "Pages that a call which failed had dropped, and bytes copied: the rows do not hold them.",
        "Refused calls take no time and stand among those that failed with 0 ns.",
    ),
)


def measure(
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    region_bytes: int,
    pages: Pages,
    device: Device,
    *,
    seed: int,
    calls: int = cma.CALLS,
    say: Callable[[str], None] = lambda _text: None,
) -> list[dict[str, Any]]:
    """Return an element for ours and for each baseline and setting.  Raises ValueError for a name that is none.

    ``rows``: of this run; the baselines have the same ratios and sizes.  ``pages``: uint8[n, 4096], what is copied.
    ``calls``: of CMA's model, for each row and pins.  GCMA's takes the same each time, and zram's is real: 5 of them.
    """
    check(names)
    ratios = tuple(dict.fromkeys(row["frontswap_percent"] for row in rows))
    sizes = tuple(dict.fromkeys(row["size_bytes"] for row in rows))
    elements = [_ours(rows, device)]
    if gcma.SYSTEM in names:
        say("baseline gcma")
        elements += gcma.elements(ratios, sizes, device)
    if cma.SYSTEM in names:
        say("baseline cma")
        all_calls = len(settings()) * len(ratios) * len(sizes) * calls
        copies = Copies(pages, max(_FEWEST_PAGES, _COPIED_PAGES // all_calls), seed)
        elements += cma.Model(region_bytes, copies, device, calls).elements(ratios, sizes, seed)
    if zram.SYSTEM in names:
        say("baseline zram")
        elements += zram.elements(ratios, sizes, pages, device)
    return elements


def check(names: Sequence[str]) -> None:
    """Raise ValueError, with the choices, for a name that is no baseline."""
    for name in names:
        if name not in NAMES:
            raise ValueError(f"{name!r} is no baseline; choose from {', '.join(NAMES)}")


def _ours(rows: Sequence[Mapping[str, Any]], device: Device) -> dict[str, Any]:
    return {
        "system": OURS,
        "setting": "dearest window",
        "card": _CARD.to_document(),
        "settings": {"device": device.to_document()},
        "rows": [_calls_of(row).row(device) for row in rows],
    }


def _calls_of(row: Mapping[str, Any]) -> Calls:
    # An allocation is aborted at its deadline, so none that was met took longer.
    ran = sorted(row["elapsed_samples_ns"])
    met = len(ran) - row["endings"]["aborted"]
    dropped, out = row["pages_dropped"] or 0, row["pages_paged_out"] or 0
    return Calls(
        row["frontswap_percent"],
        row["size_bytes"],
        latency_ns=ran[:met],
        failed_ns=[0] * row["endings"]["refused"] + ran[met:],
        pages_dropped=dropped * met,
        pages_destroyed=None,
        bytes_copied=None,
        bytes_written=(row["bytes_written"] or 0) * met,
        bytes_copied_really=None,
        refaults=(dropped + out) * met,
    )
