"""Comparing two result documents: rows in pairs, figures in pairs, and what to make of each pair."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from tmemstore.report.figures import Figure, Result, ResultError, Row

SCHEMA = "tmemstore.compare/1"
REGRESSED = "regressed"
_MACHINE = (
    *("cpu", "cores", "architecture", "kernel", "memory_bytes", "transparent_hugepage", "python"),
    *("copy_variant", "spill"),
)
_OUTPUT = ("out", "format")
"""Arguments that say where a result goes and not what is measured."""
_SHOWN = 60


class UnknownMetricError(ValueError):
    """A figure was named that no row has; the message lists those that there are."""


def compare(baseline: Result, candidate: Result, limits: Mapping[str, Decimal] | None = None) -> dict[str, Any]:
    """Compare, and return the document (schema ``tmemstore.compare/1``).

    ``limits``: by how many percent the figures of a name may be worse; None or empty: nothing regresses. Times are
    integer ns, "change_percent" is of what was measured before it was rounded, and null where the baseline is 0.
    Raises ResultError if the two cannot be compared, UnknownMetricError for a limit on a figure that is not there.
    """
    if baseline.schema != candidate.schema:
        raise ResultError(
            f"{candidate.path} is of schema {candidate.schema!r} and {baseline.path} of {baseline.schema!r}; "
            "compare results of one benchmark"
        )
    paired = [(row, candidate.rows[name]) for name, row in baseline.rows.items() if name in candidate.rows]
    if not paired:
        raise ResultError(f"{candidate.path} and {baseline.path} have no row in common")
    _check_units(baseline, candidate, paired)
    allowed = dict(limits or {})
    _check_names(allowed, paired)
    rows = [_row(before, after, allowed) for before, after in paired]
    return {
        "schema": SCHEMA,
        "compared": baseline.schema,
        "baseline": _facts(baseline),
        "candidate": _facts(candidate),
        "differences": list(_differences(baseline, candidate)),
        "only_baseline": [name for name in baseline.rows if name not in candidate.rows],
        "only_candidate": [name for name in candidate.rows if name not in baseline.rows],
        "limits_percent": {name: float(limit) for name, limit in allowed.items()},
        "rows": rows,
        "regressed": sum(figure["verdict"] == REGRESSED for row in rows for figure in row["figures"]),
    }


def remarks(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what else the reader of a comparison must know, in sentences."""
    for side in ("baseline", "candidate"):
        names = document[f"only_{side}"]
        if names:
            rows = "1 row is" if len(names) == 1 else f"{len(names)} rows are"
            yield f"{rows} in the {side} only: {'; '.join(names)}"
    differences = document["differences"]
    if differences:
        told = ", ".join(
            f"{each['what']} ({_shown(each['baseline'])}; {_shown(each['candidate'])})" for each in differences
        )
        yield f"not only the program differs: {told}"
    for side in ("baseline", "candidate"):
        for text in document[side]["remarks"]:
            yield f"{side}: {text}"


def _shown(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _facts(result: Result) -> dict[str, Any]:
    return {"file": result.path, "commit": result.commit, "remarks": list(result.remarks)}


def _differences(baseline: Result, candidate: Result) -> Iterator[dict[str, Any]]:
    """Yield what both say and say differently; a field that an older document lacks says nothing."""
    for group, names in (("arguments", None), ("machine", _MACHINE), ("pages", ("source",))):
        before, after = baseline.facts[group], candidate.facts[group]
        for name in before if names is None else names:
            if name in _OUTPUT or name not in before or name not in after or before[name] == after[name]:
                continue
            yield {"what": f"{group} {name}", "baseline": before[name], "candidate": after[name]}


def _check_names(limits: Mapping[str, Decimal], paired: list[tuple[Row, Row]]) -> None:
    known = dict.fromkeys(metric for pair in paired for row in pair for metric in row.figures)
    for name in limits:
        if name not in known:
            raise UnknownMetricError(f"no row has a figure {name!r}; there are {', '.join(known)}")


def _check_units(baseline: Result, candidate: Result, paired: list[tuple[Row, Row]]) -> None:
    for before, after in paired:
        for metric, figure in before.figures.items():
            other = after.figures.get(metric, figure)
            if other.unit != figure.unit:
                raise ResultError(
                    f"{candidate.path} has {metric} of {after.name} in {other.unit!r} and {baseline.path} in "
                    f"{figure.unit!r}"
                )


def _row(before: Row, after: Row, limits: Mapping[str, Decimal]) -> dict[str, Any]:
    metrics = dict.fromkeys((*before.figures, *after.figures))
    return {
        "row": before.name,
        **before.identity,
        "figures": [
            {"metric": metric, **_pair(before.figures.get(metric), after.figures.get(metric), limits.get(metric))}
            for metric in metrics
        ],
    }


def _pair(before: Figure | None, after: Figure | None, limit: Decimal | None) -> dict[str, Any]:
    """Return both figures and what to make of them; one that the candidate has lost is worse by any measure."""
    one = before or after
    unit = one.unit if one else ""
    return {
        "unit": unit,
        "baseline": _value(before),
        "candidate": _value(after),
        "change_percent": _change(before, after),
        "noise_percent": {"baseline": _noise(before), "candidate": _noise(after)},
        "verdict": _verdict(before, after, limit),
    }


def _verdict(before: Figure | None, after: Figure | None, limit: Decimal | None) -> str:
    if before is None:
        return "new"
    if after is None:
        return "gone" if limit is None else REGRESSED
    worse = _decimal(after) - _decimal(before)
    if before.less_is_worse:
        worse = -worse
    if worse == 0:
        return "same"
    if _within(after, before) and _within(before, after):
        return "within noise"
    if worse < 0:
        return "better"
    return REGRESSED if limit is not None and 100 * worse > limit * abs(_decimal(before)) else "worse"


def _within(figure: Figure, other: Figure) -> bool:
    """Return whether a figure lies where another run of the other might."""
    return other.noise is not None and other.noise[0] <= figure.value <= other.noise[1]


def _decimal(figure: Figure) -> Decimal:
    """Return it as it is written, so that 1.1 is worse than 1.0 by ten percent and not by a hair more."""
    return Decimal(str(figure.value))


def _value(figure: Figure | None) -> float | int | None:
    if figure is None:
        return None
    return round(figure.value) if figure.unit in {"ns", "count"} else figure.value


def _change(before: Figure | None, after: Figure | None) -> float | None:
    if before is None or after is None:
        return None
    if before.value == 0:
        return 0.0 if after.value == 0 else None
    return _percent(float(100 * (_decimal(after) - _decimal(before)) / abs(_decimal(before))))


def _noise(figure: Figure | None) -> float | None:
    """Return how far the noise spreads, from end to end, in percent of the figure."""
    if figure is None or figure.noise is None or figure.value == 0:
        return None
    return _percent(100 * (figure.noise[1] - figure.noise[0]) / abs(figure.value))


def _percent(value: float) -> float | None:
    """Return it rounded; None for what is too large for a float, since JSON has no word for it."""
    return round(value, 3) if math.isfinite(value) else None
