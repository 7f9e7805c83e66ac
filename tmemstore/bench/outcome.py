"""What a run of allocations showed: endings, coverage, tightness."""

from __future__ import annotations

from collections import Counter
from typing import Any

import tmemstore
from tmemstore.bench.quantiles import interval, interval_ranks
from tmemstore.quantiles import SHARES, carried, nearest_rank
from tmemstore.rates import upper_bound

_ROUTES = ("clean_dropped", "copied_dropped", "migrated_inside", "migrated_reserve", "compressed", "paged_out")
_CLOSE = 0.2
"""By how much the time that a refusal names may be off what it really takes."""
_KEPT = 200
"""Recoveries that a document holds one by one, of those that were not close, and allocations that were aborted."""
_SPENT = ("elapsed_ns", "cpu_ns", "waited_ns", "write_ns", "drop_ns", "predicted_ns", "bound_ns")
"""Where the time of an aborted allocation went, beside what it was to take."""
_SETTLING_PART = 10
"""One in so many seconds of a capacity run is left to the store to settle in."""


class Outcome:
    """Takes down one allocation after the other."""

    def __init__(self, confidence: float) -> None:
        self.confidence = confidence
        self.endings: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.late = 0
        self.starved = 0
        self.starved_aborted = 0
        self.frames = self.frames_free = 0
        self.elapsed_ns: list[int] = []
        self.bounds_ns: list[int] = []
        self.predicted_ns: list[int] = []
        self.commit_lag_ns: list[int] = []
        self.return_lag_ns: list[int] = []
        self.routes: Counter[str] = Counter()
        self.recoveries: list[tuple[int, int]] = []
        self.seconds: Counter[str] = Counter()
        self.aborts: list[dict[str, Any]] = []
        self.capacity: list[dict[str, Any]] = []
        self.ceilings_filled: list[float] = []

    def take(self, report: tmemstore.ReclaimReport, call_ns: int | None) -> None:
        """Take down an allocation; ``call_ns``: how long the call took as Python sees it."""
        self.endings[report.ending.value] += 1
        self.reasons[report.reason] += 1
        self.starved += report.starved
        self.starved_aborted += report.starved and report.ending is tmemstore.Ending.ABORTED
        if report.ending is tmemstore.Ending.MET and report.commit_ns > report.deadline_ns:
            self.late += 1
        if report.ending is tmemstore.Ending.REFUSED:
            return
        self.frames += report.window.frames
        self.frames_free += report.window.frames_free
        self.elapsed_ns.append(report.elapsed_ns)
        self.bounds_ns.append(report.bound_ns)
        self.predicted_ns.append(report.predicted_ns)
        met = report.ending is tmemstore.Ending.MET
        due_ns = report.commit_ns if met else report.deadline_ns
        self.commit_lag_ns.append(max(0, report.returned_ns - due_ns))
        if call_ns is not None:
            self.return_lag_ns.append(max(0, call_ns - report.returned_ns))
        for name in _ROUTES:
            self.routes[name] += getattr(report, name)
        if report.ending is tmemstore.Ending.ABORTED:
            spent = {name: getattr(report, name) for name in _SPENT}
            self.aborts.append({"reason": report.reason, "starved": report.starved} | spent)

    def take_second(self, report: tmemstore.ReclaimReport) -> None:
        """Take down, besides, how the second allocation of a pair ended."""
        aborted = report.ending is tmemstore.Ending.ABORTED
        self.seconds[report.ending.value] += 1
        self.seconds["recovering"] += report.reason == "recovering"
        self.seconds["starved_aborted"] += aborted and report.starved

    def to_document(self) -> dict[str, Any]:
        """Return it all, times in ns."""
        covered = sum(self.endings.values())
        missed = self.endings["refused"] + self.endings["aborted"]
        over = sum(e > b for e, b in zip(self.elapsed_ns, self.bounds_ns, strict=True))
        return {
            "allocations": covered,
            "endings": {ending.value: self.endings[ending.value] for ending in tmemstore.Ending},
            "reasons": dict(self.reasons),
            "late": self.late,
            "starved": self.starved,
            "starved_aborted": self.starved_aborted,
            "miss_rate": missed / covered if covered else None,
            "miss_rate_upper_95": upper_bound(missed, covered),
            "late_rate_upper_95": upper_bound(self.late, covered),
            "bound_missed": over,
            "bound_missed_rate": over / len(self.elapsed_ns) if self.elapsed_ns else None,
            "tightness": self._tightness(),
            "tightness_interval_95": self._tightness_interval(),
            "predicted_over_actual_p50": self._predicted(),
            "elapsed_ns": _quantiles(self.elapsed_ns),
            "commit_lag_ns": _quantiles(self.commit_lag_ns),
            "interpreter_lag_ns": _quantiles(self.return_lag_ns),
            "quantiles_carried": carried(len(self.elapsed_ns)),
            "intervals_95_ns": {
                "elapsed": _intervals(self.elapsed_ns),
                "commit_lag": _intervals(self.commit_lag_ns),
                "interpreter_lag": _intervals(self.return_lag_ns),
            },
            "windows_in_use_percent": round(100 * (1 - self.frames_free / self.frames), 2) if self.frames else None,
            "ceilings_filled_percent": self._filled(),
            "routes": dict(self.routes),
            "recoveries": self._recoveries(),
            "seconds": self._seconds(),
            "aborts": self.aborts[:_KEPT],
            "capacity": self.capacity,
            "capacity_worst": self._capacity_worst(),
        }

    def _tightness(self) -> float | None:
        """Return the bound over the measured quantile at its confidence, of what is comparable: elapsed / bound.

        Each allocation has a bound of its own, so the quantile is taken of elapsed / bound; its inverse is by how much
        the bounds exceed what would have been enough.
        """
        ratios = self._elapsed_over_bound()
        return _inverse(nearest_rank(ratios, self.confidence)) if ratios else None

    def _tightness_interval(self) -> list[float | None]:
        """Return where the tightness of many more such allocations lies, with 95 %; None: no such end is to be had."""
        ratios = self._elapsed_over_bound()
        low, high = interval_ranks(len(ratios), self.confidence) if ratios else (None, None)
        return [None if rank is None else _inverse(ratios[rank - 1]) for rank in (high, low)]

    def _elapsed_over_bound(self) -> list[float]:
        return sorted(e / b for e, b in zip(self.elapsed_ns, self.bounds_ns, strict=True) if b)

    def _predicted(self) -> float | None:
        ratios = sorted(p / e for p, e in zip(self.predicted_ns, self.elapsed_ns, strict=True) if e)
        return ratios[len(ratios) // 2] if ratios else None

    def _filled(self) -> float | None:
        filled = sorted(self.ceilings_filled)
        return round(100 * filled[len(filled) // 2], 2) if filled else None

    def _seconds(self) -> dict[str, int] | None:
        if not self.seconds:
            return None
        endings = [ending.value for ending in tmemstore.Ending]
        names = (*endings, "recovering", "starved_aborted")
        return {"count": sum(self.seconds[name] for name in endings)} | {name: self.seconds[name] for name in names}

    def _recoveries(self) -> dict[str, Any]:
        off = [abs(real - said) / max(1, said) for said, real in self.recoveries]
        return {
            "count": len(off),
            "within_20_percent": sum(value <= _CLOSE for value in off),
            "said_and_took_ns": self.recoveries[:_KEPT],
            "not_close_ns": [pair for pair, value in zip(self.recoveries, off, strict=True) if value > _CLOSE][:_KEPT],
        }

    def _capacity_worst(self) -> dict[str, Any] | None:
        """Return the worst of each figure over the seconds after the first tenth, in which the store settles."""
        settled = self.capacity[len(self.capacity) // _SETTLING_PART :]
        if not settled:
            return None
        return {
            "frames_in_use_percent": min(second["frames_in_use_percent"] for second in settled),
            "frontswap_percent": min(second["frontswap_percent"] for second in settled),
            "refused": sum(second["refused"] for second in settled),
            "holding": all(state["state"] == "holding" for second in settled for state in second["contracts"]),
        }


def ceilings_filled(tm: tmemstore.Controller) -> list[float]:
    """Return what is held without a copy of what the ceilings are laid out for, by the tightest contract; none: [].

    A store that refuses everything, or a load that asks for little, proves nothing.
    """
    stats = tm.stats()
    filled = [stats.uncopied_bytes / state.region_bytes for state in stats.contracts if state.region_bytes]
    return [max(filled)] if filled else []


def store_facts(tm: tmemstore.Controller) -> dict[str, Any]:
    """Return what the store holds, wrote and refused, how its bounds held so far, and its contracts as they stand."""
    stats = tm.stats()
    return {
        "frames_in_use_percent": round(100 * (1 - stats.frames_free / stats.frames), 2),
        "frontswap_percent": round(100 * stats.frames_frontswap / stats.frames, 2),
        "uncopied_bytes": stats.uncopied_bytes,
        "written_by_cause": stats.written_by_cause,
        "stores_refused": stats.swap_rejects,
        "allocs_run": stats.allocs_run,
        "within_p50": stats.allocs_within_p50,
        "within_p99": stats.allocs_within_p99,
        "within_bound": stats.allocs_within_bound,
        "ratio": str(tm.ratio),
        "contracts": [
            {"contract": str(state.contract), "state": state.state, "recovery_ns": state.recovery_ns}
            for state in stats.contracts
        ],
    }


def _inverse(ratio: float) -> float | None:
    return 1 / ratio if ratio else None


def _quantiles(samples: list[int]) -> dict[str, int] | None:
    if not samples:
        return None
    ordered = sorted(samples)
    return {name: nearest_rank(ordered, share) for name, share in SHARES.items()}


def _intervals(samples: list[int]) -> dict[str, list[int | None]]:
    """Return where each quantile of many more such samples lies, with 95 %, were they independent; {} for none."""
    ordered = sorted(samples)
    return {name: interval(ordered, SHARES[name]) for name in carried(len(ordered)) if name != "max"}
