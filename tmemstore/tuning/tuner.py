"""The knob for a workload, a device and a deadline: sweeps settings, recommends one, says what lies beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any, Final

from tmemstore.controller import config
from tmemstore.controller.contract import Contract, ContractError
from tmemstore.controller.policy import WRITEBACKS
from tmemstore.rates import SURE
from tmemstore.trace.format import open_trace
from tmemstore.trace.settings import Settings
from tmemstore.tuning.curve import curves
from tmemstore.tuning.judge import Row, Verdict, deadline_of, judge, miss_limit, needed, next_steps, recommend
from tmemstore.tuning.sweep import TUNED, Show, Source, State, job_text, run_job, sweep
from tmemstore.units import format_size

SCHEMA: Final = "tmemstore.tune/1"
STEP: Final = 5
VERIFY_NS: Final = 60 * 10**9
"""A real run is not to take longer than this; a longer trace is compressed in time."""
CURVE_PAGES: Final = 20_000
"""That the miss-ratio curves look at, of each kind: their error is about a percent, their memory a few MiB."""
_WHOLE: Final = 100
_LONGEST_NS: Final = 60 * 10**9
_STRETCH: Final = 1.25
_TRIES: Final = 24


Run = Callable[[Sequence[Settings]], Sequence[Row]]
"""Gives the rows of settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What is swept: each of these with each other. Raises `ValueError` for a list without anything.

    `percents`: frontswap shares, 0 to 100.
    """

    percents: Sequence[int] = tuple(range(0, _WHOLE + 1, STEP))
    writebacks: Sequence[str] = WRITEBACKS
    codecs: Sequence[str] = ("lz4",)
    evictions: Sequence[str] = ("sieve",)
    admissions: Sequence[bool] = (True,)

    def __post_init__(self) -> None:
        """Refuses what leaves nothing to try."""
        for name, values in asdict(self).items():
            if not values:
                raise ValueError(f"{name} has nothing to sweep")
        if not all(0 <= percent <= _WHOLE for percent in self.percents):
            raise ValueError(f"shares are from 0 to 100 percent, not {list(self.percents)}")

    @classmethod
    def by_step(cls, step: int, **others: Any) -> Grid:
        """Shares from 0 to 100 in steps of so many percent, 100 among them."""
        if not 1 <= step <= _WHOLE:
            raise ValueError(f"a step is from 1 to 100 percent, not {step}")
        return cls(percents=sorted({*range(0, _WHOLE + 1, step), _WHOLE}), **others)

    def settings(self, base: Settings) -> list[Settings]:
        """`base` with each combination, the share changing fastest."""
        return [
            replace(
                base,
                frontswap_percent=percent,
                writeback=writeback,  # type: ignore[arg-type]
                codec=codec,
                eviction=eviction,
                admission_filter=admission,
            )
            for admission, eviction, codec, writeback, percent in product(
                self.admissions, self.evictions, self.codecs, self.writebacks, self.percents
            )
        ]


def tune(
    trace: str,
    base: Settings,
    grid: Grid,
    pool: Executor,
    *,
    state: State | None = None,
    verify: bool = False,
    show: Show | None = None,
) -> dict[str, Any]:
    """Sweeps the grid over a trace and recommends a setting: a `tmemstore.tune/1` document.

    `base`: region, storage, contract and load; it must have a contract. `verify`: the recommendation is run once more
    in real memory and real time. The document depends on nothing but the trace and the arguments, its part "verify"
    apart. Raises `ValueError` for a base without a contract or that no store can have, `TraceError` for a broken trace,
    `EnvironmentLacks` where workers fail.
    """
    contract = base.contract
    if contract is None:
        raise ValueError("there is nothing to tune without a contract: say what is wanted back, and how soon")
    source = Source.of(trace)
    _try(base)
    settings = grid.settings(base)
    rows = sweep(source, settings, pool, state=state, show=show)
    verdicts = [judge(row, contract) for row in rows]
    chosen = recommend(rows, verdicts)
    with open_trace(trace) as opened:
        origin = opened.header.origin
        about = {"origin": origin, "events": opened.events, "last_ns": opened.last_ns, "sha256": source.digest}
        curve = curves(opened.blocks(), fill=bool(origin.get("fill")), most_pages=CURVE_PAGES, seed=base.seed)
    run = partial(sweep, source, pool=pool, state=state)
    return {
        "schema": SCHEMA,
        "recommended": None if chosen is None else _recommended(rows, verdicts, chosen, settings[chosen]),
        "needed": _deadline_that_holds(base, grid, run) if chosen is None else None,
        "verify": _verify(settings[chosen], source, about, run) if verify and chosen is not None else None,
        "sample": _sample(rows, contract),
        "arguments": _arguments(base, grid),
        "seed": base.seed,
        "trace": about,
        "rows": [dict(row) | asdict(verdict) for row, verdict in zip(rows, verdicts, strict=True)],
        "curves": curve.to_document(),
    }


def _try(base: Settings) -> None:
    """What no setting could have is found before the sweep; a contract's own impossibility is a row's."""
    try:
        base.open().close()
    except ContractError:
        return


def _arguments(base: Settings, grid: Grid) -> dict[str, Any]:
    swept = {*TUNED, "real", "spill"}
    return {name: value for name, value in base.arguments().items() if name not in swept} | {
        "percents": list(grid.percents),
        "writebacks": list(grid.writebacks),
        "codecs": list(grid.codecs),
        "evictions": list(grid.evictions),
        "admissions": list(grid.admissions),
    }


def _sample(rows: Sequence[Row], contract: Contract) -> dict[str, Any]:
    """What so many allocations can show if none is missed, and how many it takes to show the confidence."""
    count = max((row["allocations"]["count"] for row in rows if row["impossible"] is None), default=0)
    return {
        "allocations": count,
        "sure": SURE,
        "shows_at_most": 1 - miss_limit(0, count),
        "needed": needed(contract.confidence) if contract.kind == "soft" else None,
    }


# ---- the recommendation ----------------------------------------------------------------------------------


def _recommended(rows: Sequence[Row], verdicts: Sequence[Verdict], chosen: int, settings: Settings) -> dict[str, Any]:
    told: dict[str, Any] = {name: rows[chosen][name] for name in TUNED}
    told |= {"row": chosen, "saved_ns": rows[chosen]["saved_ns"], "shown": verdicts[chosen].shown}
    told["next"] = {
        way: None if at is None else _step(rows, verdicts, chosen, at) for way, at in next_steps(rows, chosen).items()
    }
    told["open"] = open_arguments(settings)
    return told


def _step(rows: Sequence[Row], verdicts: Sequence[Verdict], chosen: int, at: int) -> dict[str, Any]:
    """What a step costs: changes against the chosen row, None where the step is impossible."""
    row, here = rows[at], rows[chosen]
    possible = row["impossible"] is None
    return {
        "row": at,
        "frontswap_percent": row["frontswap_percent"],
        "holds": verdicts[at].holds,
        "why": verdicts[at].why,
        "saved_change_ns": row["saved_ns"] - here["saved_ns"] if possible else None,
        "bytes_written_a_day_change": (row["bytes_written_a_day"] - here["bytes_written_a_day"] if possible else None),
        "longest_change_ns": (row["elapsed"]["max_ns"] or 0) - (here["elapsed"]["max_ns"] or 0) if possible else None,
    }


def open_arguments(settings: Settings) -> dict[str, Any]:
    """Arguments of `tmemstore.open` for these settings, as JSON can hold them."""
    contract = settings.contract
    return {
        "region": settings.region_bytes,
        "storage": settings.storage,
        "escape": settings.escape_bytes,
        "codec": settings.codec,
        "eviction": settings.eviction,
        "writeback": settings.writeback,
        "frontswap_max_percent": settings.frontswap_percent,
        "admission_filter": settings.admission_filter,
        "contract": None if contract is None else settings.arguments()["contract"],
    }


def toml(document: Mapping[str, Any]) -> str | None:
    """The recommended setting of a document as a file that `tmemstore.open(config=...)` takes; None without one.

    It names no spill file: that is for the machine to say where it is opened.
    """
    recommended = document["recommended"]
    if recommended is None:
        return None
    told = dict(recommended["open"])
    contract = told["contract"]
    size, deadline = format_size(contract["size_bytes"]), _time_text(contract["deadline_ns"])
    told |= {
        "region": format_size(told["region"]),
        "escape": format_size(told["escape"]),
        "contract": [Contract(size, deadline, kind=contract["kind"], confidence=contract["confidence"])],
    }
    return config.text(told, "Written by tmemstore tune. Use it with\ntmemstore.open(config=..., spill=...)")


def _time_text(time_ns: int) -> str:
    """The shortest exact form: "50ms"."""
    units = (("s", 10**9), ("ms", 10**6), ("us", 1000), ("ns", 1))
    return next(f"{time_ns // factor}{unit}" for unit, factor in units if time_ns % factor == 0)


# ---- what deadline would hold ----------------------------------------------------------------------------


def _deadline_that_holds(base: Settings, grid: Grid, run: Run) -> dict[str, Any] | None:
    """The shortest deadline that some setting of the sweep keeps, found by running it; None if none up to 60 s does.

    What it takes is asked of the settings with the smallest share, which have least to write: first with a deadline
    that leaves them all time, then with the one that their times suggest, and longer ones until it holds.
    """
    contract = base.contract
    assert contract is not None  # noqa: S101 - `tune` has refused it
    least = Grid(**(asdict(grid) | {"percents": [min(grid.percents)]})).settings(base)
    ample = [_within(settings, _LONGEST_NS) for settings in least]
    suggested = [
        (deadline_ns, at)
        for at, row in enumerate(run(ample))
        if judge(row, contract_of(ample[at])).holds
        and (deadline_ns := deadline_of(row, contract.confidence)) is not None
    ]
    for wanted_ns, at in sorted(suggested)[:1]:
        deadline_ns = max(_rounded_up(wanted_ns), contract.deadline_ns + 1)
        for _ in range(_TRIES):
            settings = _within(least[at], min(deadline_ns, _LONGEST_NS))
            (row,) = run([settings])
            if judge(row, contract_of(settings)).holds:
                return {"deadline_ns": contract_of(settings).deadline_ns} | {name: row[name] for name in TUNED}
            deadline_ns = _rounded_up(int(deadline_ns * _STRETCH))
    return None


def contract_of(settings: Settings) -> Contract:
    """The contract of settings that have one."""
    assert settings.contract is not None  # noqa: S101 - the caller's
    return settings.contract


def _within(settings: Settings, deadline_ns: int) -> Settings:
    return replace(settings, contract=replace(contract_of(settings), deadline=deadline_ns))


def _rounded_up(time_ns: int) -> int:
    """To two significant digits, as a person would write it."""
    unit: int = 10 ** max(0, len(str(time_ns)) - 2)
    return -(-time_ns // unit) * unit


# ---- in real time ----------------------------------------------------------------------------------------


def _verify(settings: Settings, source: Source, about: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """The recommended setting in real memory over the emulated device, beside the model at the same speed.

    A trace longer than `VERIFY_NS` is run faster, in both: the device has less time then between two allocations.
    """
    contract = contract_of(settings)
    if settings.rate is not None:
        speed = max(1.0, about["events"] * 1e9 / settings.rate / VERIFY_NS)
        paced = replace(settings, rate=settings.rate * speed)
    else:
        speed = max(1.0, about["last_ns"] * settings.time_scale / VERIFY_NS)
        paced = replace(settings, time_scale=settings.time_scale / speed)
    (modelled,) = run([paced])
    real: Row = json.loads(run_job(job_text(source, replace(paced, real=True))))
    return {
        "speed": round(speed, 3),
        "modelled": dict(modelled) | asdict(judge(modelled, contract)),
        "real": dict(real) | asdict(judge(real, contract)),
    }
