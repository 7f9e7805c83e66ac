"""Drawings of `bench ops`, `bench copy` and `bench deadline`, and which drawings a result has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmemstore.quantiles import carries
from tmemstore.report.drawing import COLOURS, HATCHES, MARKERS, Drawing, log_scale
from tmemstore.report.plots import eviction_drawings
from tmemstore.report.tune_drawing import tune_drawings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Document = Mapping[str, Any]

_MS = 1_000_000
_NINES = {"p50": "half of them", "p99": "99 %", "p999": "99.9 %", "max": "all"}


def drawings_of(document: Document) -> list[Drawing]:
    """Return the drawings of a result document; KeyError for an unknown schema or one that lacks a key of it."""
    makers: Mapping[str, Callable[[Document], Iterator[Drawing]]] = {
        "tmemstore.bench.eviction/1": eviction_drawings,
        "tmemstore.bench.ops/1": _ops,
        "tmemstore.bench.copy/1": _copy,
        "tmemstore.bench.deadline/1": _deadline,
        "tmemstore.tune/1": tune_drawings,
    }
    return list(makers[document["schema"]](document))


# ---- bench ops -----------------------------------------------------------------------------------------------


def _ops(document: Document) -> Iterator[Drawing]:
    rows = [row for row in document["rows"] if row["judged"] == "ratio" and row["goal"] is not None]
    names = [f"{row['group']}: {row['name']}" for row in rows]
    ratios = [row["figure"]["p50"] for row in rows]
    goals = [row["goal"] for row in rows]
    yield Drawing(
        "ops",
        "Operations against what this machine does at best",
        "Time over the floor that was measured in the same run; the line is the goal. For two threads more is better.",
        lambda figure: _draw_ops(figure, names, ratios, goals),
        ["operation", "over the floor", "goal"],
        [list(line) for line in zip(names, ratios, goals, strict=True)],
        kind="bars",
    )


def _draw_ops(figure: Figure, names: Sequence[str], ratios: Sequence[float], goals: Sequence[float]) -> None:
    figure.set_size_inches(8, 1 + 0.3 * len(names))
    axes = figure.add_subplot()
    places = list(range(len(names)))
    axes.barh(places, ratios, color=COLOURS[0], height=0.6, label="measured")
    axes.plot(goals, places, marker="|", markersize=14, markeredgewidth=2, color=COLOURS[4], ls="none", label="goal")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel("time over the floor")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="lower right")


# ---- bench copy ----------------------------------------------------------------------------------------------


def _copy(document: Document) -> Iterator[Drawing]:
    jobs = list(dict.fromkeys(row["job"] for row in document["rows"]))
    modes = [mode for mode in dict.fromkeys(row["mode"] for row in document["rows"]) if mode != "off"]
    by_key = {(row["job"], row["mode"]): row["against_off"] for row in document["rows"]}
    yield Drawing(
        "copy",
        "Throughput of a reading job against none",
        "Throughput over that without a store, the median of pairs and its 95 % interval: with a store that takes "
        "nothing, one that takes every page, and one with the admission filter.",
        lambda figure: _draw_copy(figure, jobs, modes, by_key),
        ["job", *modes],
        [[job, *(by_key[job, mode]["p50"] for mode in modes)] for job in jobs],
        kind="bars",
    )


def _draw_copy(
    figure: Figure, jobs: Sequence[str], modes: Sequence[str], by_key: Mapping[tuple[str, str], Mapping[str, float]]
) -> None:
    axes = figure.add_subplot()
    width = 0.8 / len(modes)
    for number, mode in enumerate(modes):
        ratios = [by_key[job, mode] for job in jobs]
        middle = [ratio["p50"] for ratio in ratios]
        below = [ratio["p50"] - ratio["low"] for ratio in ratios]
        above = [ratio["high"] - ratio["p50"] for ratio in ratios]
        places = [place + (number - (len(modes) - 1) / 2) * width for place in range(len(jobs))]
        style: dict[str, Any] = {"color": COLOURS[number], "hatch": HATCHES[number], "edgecolor": "white"}
        axes.bar(places, middle, width, yerr=[below, above], capsize=3, label=mode, **style)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xticks(range(len(jobs)), jobs)
    axes.set_ylabel("throughput over that without a store")
    axes.legend(frameon=False, loc="upper left")


# ---- bench deadline ------------------------------------------------------------------------------------------


def _deadline(document: Document) -> Iterator[Drawing]:
    elapsed, deadline_ns = document["outcome"]["elapsed_ns"], document["arguments"]["deadline_ns"]
    if elapsed is None:
        return
    ran = sum(document["outcome"]["endings"][ending] for ending in ("met", "aborted"))
    shown = {name: told for name, told in _NINES.items() if carries(name, ran)}
    times = [elapsed[name] / _MS for name in shown]
    yield Drawing(
        f"deadline-{document['arguments']['scenario']}",
        f"Allocations under a contract, scenario {document['arguments']['scenario']}",
        "The time by which so many of the allocations had ended; the dotted line is their deadline.",
        lambda figure: _draw_deadline(figure, list(shown.values()), times, deadline_ns / _MS),
        ["share of the allocations", "ms"],
        [list(line) for line in zip(shown.values(), times, strict=True)],
        kind="bars",
    )


def _draw_deadline(figure: Figure, names: Sequence[str], times: Sequence[float], deadline_ms: float) -> None:
    axes = figure.add_subplot()
    axes.plot(names, times, color=COLOURS[0], marker=MARKERS[0], linewidth=2, label="measured")
    axes.axhline(deadline_ms, color="black", linewidth=1.2, linestyle=":", label="deadline")
    log_scale(axes, "y")
    axes.set_xlabel("share of the allocations")
    axes.set_ylabel("time until they had ended (ms)")
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="lower right")
