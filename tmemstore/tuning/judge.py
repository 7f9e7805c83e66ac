"""Which settings keep a deadline, as far as a sample can tell, and which of them to recommend: pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tmemstore.controller.contract import Contract
from tmemstore.rates import SURE, upper_bound
from tmemstore.units import format_time_ns

Row = Mapping[str, Any]

ENOUGH: Final = 10
"""Misses that the confidence allows in a sample, from which on the sample must show that it is kept; in a smaller one a
share that is well below what is allowed would mostly fail to be shown, and no more than is allowed may be missed."""


def miss_limit(missed: int, count: int) -> float:
    """The largest share of misses that `missed` of `count` are compatible with, at `SURE`; 1 without a sample."""
    limit = upper_bound(missed, count)
    return 1.0 if limit is None else limit


def needed(confidence: float) -> int:
    """Allocations without a miss that it takes to show a confidence (a fraction)."""
    return math.ceil(math.log(1 - SURE) / math.log(confidence))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a row keeps the contract. `why`: why not, "" if it does.

    `missed`: allocations that were refused, aborted or late. `shown`: the share of allocations in time that the sample
    shows at `SURE`.
    """

    holds: bool
    why: str
    missed: int
    shown: float


def judge(row: Row, contract: Contract) -> Verdict:
    """Whether the allocations of a row of `sweep` kept the contract's deadline at its confidence.

    They did if none had a bound beyond the deadline, and no more were missed than the confidence allows; of a hard
    contract none. Where the sample would allow `ENOUGH` misses, it must show that the confidence is kept.
    """
    if row["impossible"] is not None:
        return Verdict(holds=False, why=row["impossible"], missed=0, shown=0.0)
    allocations = row["allocations"]
    count = allocations["count"]
    missed = allocations["refused"] + allocations["aborted"] + allocations["late"]
    limit = miss_limit(missed, count)
    share = 0.0 if contract.kind == "hard" else 1 - contract.confidence
    why = ""
    if not count:
        why = "nothing was allocated"
    elif missed > share * count * (1 + 1e-9):
        why = f"{missed} of {count} allocations were not met ({_endings(allocations)})"
    elif share * count >= ENOUGH and limit > share:
        why = f"{missed} of {count} allocations were not met, which leaves {100 * limit:.2g} % of misses possible"
    elif (row["bound"]["max_ns"] or 0) > contract.deadline_ns:
        why = f"a bound of {format_time_ns(row['bound']['max_ns'])} is beyond the deadline"
    return Verdict(holds=not why, why=why, missed=missed, shown=1 - limit)


def _endings(allocations: Mapping[str, Any]) -> str:
    counted = [f"{allocations[ending]} {ending}" for ending in ("refused", "aborted", "late") if allocations[ending]]
    reasons = [reason for reason in allocations["reasons"] if reason != "none"]
    return ", ".join(counted) + (": " + ", ".join(reasons) if reasons else "")


def recommend(rows: Sequence[Row], verdicts: Sequence[Verdict]) -> int | None:
    """The index of the row to recommend, None if none keeps its deadline.

    The one that saves most device time; of equals the one that writes least, then the one with the smaller frontswap
    share, then the first.
    """
    kept = [at for at, verdict in enumerate(verdicts) if verdict.holds]
    return min(
        kept,
        key=lambda at: (-rows[at]["saved_ns"], rows[at]["bytes_written"], rows[at]["frontswap_percent"], at),
        default=None,
    )


OTHERS: Final = ("writeback", "codec", "eviction", "admission_filter")
"""What stays as it is from one step of the ratio to the next."""


def next_steps(rows: Sequence[Row], chosen: int) -> dict[str, int | None]:
    """The rows one step of the ratio "down" and "up" from the chosen one, None where the sweep has none."""
    here = rows[chosen]
    like = [at for at, row in enumerate(rows) if all(row[name] == here[name] for name in OTHERS)]
    percent = here["frontswap_percent"]
    below = [at for at in like if rows[at]["frontswap_percent"] < percent]
    above = [at for at in like if rows[at]["frontswap_percent"] > percent]
    return {
        "down": max(below, key=lambda at: rows[at]["frontswap_percent"], default=None),
        "up": min(above, key=lambda at: rows[at]["frontswap_percent"], default=None),
    }


def deadline_of(row: Row, confidence: float) -> int | None:
    """The deadline, in ns, that the times of a row suggest; None if they suggest none.

    The quantile of bound and elapsed time that the confidence asks for, or the next one that the sample has.
    """
    if row["impossible"] is not None:
        return None
    names = [name for share, name in ((0.99, "p99_ns"), (0.999, "p999_ns")) if confidence <= share]
    times = []
    for what in ("bound", "elapsed"):
        known = [row[what][name] for name in (*names, "max_ns") if row[what][name] is not None]
        times += known[:1]
    return max(times, default=None)
