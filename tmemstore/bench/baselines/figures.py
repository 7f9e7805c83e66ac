"""What the calls of one system at one ratio and size become in the result document."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from tmemstore.bench.arena import PAGE
from tmemstore.bench.baselines.device import Device
from tmemstore.quantiles import CARRIED_FROM, SHARES, carried, nearest_rank

KEPT_SAMPLES = 200
"""Of each row; there are some hundreds of rows, and a result may not be larger than 16 MiB."""
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Card:
    """What a model holds and what it does not, in sentences."""

    models: tuple[str, ...]
    leaves_out: tuple[str, ...]

    def to_document(self) -> dict[str, list[str]]:
        """Return it as it stands in the result."""
        return {"models": list(self.models), "leaves_out": list(self.leaves_out)}


@dataclass(slots=True)
class Calls:
    """All calls at one ratio and size.  Times in ns, counts summed over the calls, those that failed included.

    ``pages_destroyed``: clean pages that failed calls had dropped.  ``None``: the system does not count it.
    ``constant``: every call takes the same, so that one stands for any number and carries every quantile.
    """

    frontswap_percent: int
    size_bytes: int
    latency_ns: list[int] = field(default_factory=list)
    failed_ns: list[int] = field(default_factory=list)
    pages_dropped: int = 0
    pages_destroyed: int | None = 0
    bytes_copied: int | None = 0
    bytes_written: int = 0
    bytes_copied_really: int | None = 0
    refaults: int | None = None
    constant: bool = False

    def add(self, dropped: int, copied_bytes: int, really_bytes: int, *, destroyed: int) -> None:
        """Add the pages that one call dropped, those among them that it destroyed, and the bytes it copied."""
        self.pages_dropped += dropped
        self.pages_destroyed = (self.pages_destroyed or 0) + destroyed
        self.bytes_copied = (self.bytes_copied or 0) + copied_bytes
        self.bytes_copied_really = (self.bytes_copied_really or 0) + really_bytes

    def row(self, device: Device) -> dict[str, Any]:
        """Return the row; what is said per MiB is None if nothing was handed over.

        ``refaults``: pages that are read back later if each is asked for again; by default those that were dropped.
        """
        mib = len(self.latency_ns) * self.size_bytes / _MIB
        refaults = self.pages_dropped if self.refaults is None else self.refaults
        refault_ns = device.refault_ns(refaults)
        names = carried(len(self.latency_ns))
        if self.constant:
            names = list(CARRIED_FROM)
        return {
            "frontswap_percent": self.frontswap_percent,
            "size_bytes": self.size_bytes,
            "calls": len(self.latency_ns) + len(self.failed_ns),
            "failed": len(self.failed_ns),
            "latency_ns": quantiles(self.latency_ns, names),
            "quantiles_carried": names,
            "latency_samples_ns": thinned(self.latency_ns),
            "latency_count": len(self.latency_ns),
            "failed_ns": quantiles(self.failed_ns, carried(len(self.failed_ns))),
            "pages_dropped_per_mib": _per(self.pages_dropped, mib),
            "bytes_copied_per_mib": _per(self.bytes_copied, mib),
            "bytes_written_per_mib": _per(self.bytes_written, mib),
            "pages_destroyed_by_failed": self.pages_destroyed,
            "copied_really_permille": _share(self.bytes_copied_really, self.bytes_copied),
            "refaults_per_mib": _per(refaults, mib),
            "refault_ns_per_mib": None if refault_ns is None or not mib else round(refault_ns / mib),
        }


def quantiles(samples: Sequence[int], names: Collection[str]) -> dict[str, int | None]:
    """Return nearest-rank p50, p99, p999 and max; None for those that are not among ``names``: those to be had."""
    ordered = sorted(samples)
    return {name: nearest_rank(ordered, share) if name in names else None for name, share in SHARES.items()}


def thinned(samples: Sequence[int], most: int = KEPT_SAMPLES) -> list[int]:
    """Return the samples sorted; of more than ``most``, so many at even ranks, the smallest and the largest kept.

    Number i of those that are kept has rank 1 + i * (samples - 1) // (most - 1).
    """
    ranked = sorted(samples)
    if len(ranked) <= most:
        return ranked
    return [ranked[number * (len(ranked) - 1) // (most - 1)] for number in range(most)]


def pages_of(size_bytes: int) -> int:
    """Return the pages of a size."""
    return size_bytes // PAGE


def _per(count: int | None, mib: float) -> float | None:
    return None if count is None or not mib else round(count / mib, 3)


def _share(part: int | None, whole: int | None) -> int | None:
    return None if part is None or not whole else round(1000 * part / whole)
