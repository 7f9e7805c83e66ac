"""The recorded traces, replayed: what each ratio saves, and what the adaptive knob makes of it.

Each trace of --data becomes one result, bench/results/traces/NAME.json: what it holds; at a region of 10, 30 and 100 %
of its working set what every fixed ratio saves in steps of 5 points, and "auto" and "adaptive" beside them; and a soft
contract for a quarter of the region within 50 ms. phases.json: loads that change (tmemstore.trace.phases), region
64 MiB. real.json: two traces in real memory and real time beside virtual time. Public reference streams go through a
page cache of 4 MiB; what they hold is recorded. A result whose command, commit and machine are the same is not made
again. At the end a table. Exit code: 0 if adaptive saves 0.97 of the best fixed ratio everywhere, 1 if not.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from tmemstore import Contract, ContractError
from tmemstore.bench import machine
from tmemstore.storage.cpu import measure_cpu
from tmemstore.storage.presets import PRESETS
from tmemstore.trace import phases
from tmemstore.trace.convert import convert
from tmemstore.trace.events import Op
from tmemstore.trace.format import open_trace
from tmemstore.trace.info import describe
from tmemstore.trace.outcome import device_time, replay
from tmemstore.trace.replay import Replay
from tmemstore.trace.schedule import Allocate, Records
from tmemstore.trace.settings import Settings
from tmemstore.units import PAGE_SIZE

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("bench", "results", "traces")
SCHEMA = "tmemstore.traces/1"
SEED = 1
STORAGE = "emmc5.1"
SHARES = (0.1, 0.3, 1.0)
LEAST_BYTES = 2 << 20
STEP = 5
KNOBS: tuple[int | str, ...] = (*range(0, 101, STEP), "auto", "adaptive")
COMPRESSED = 0.35
"""Of a page, what frontswap takes for it."""
GOAL, SHIFT_GOAL = 0.97, 0.95
CACHE_PAGES = 1024
PHASE_FRAMES = (64 << 20) // PAGE_SIZE
PHASE_EVENTS = 10 * PHASE_FRAMES
REAL = ("node", "mixed1")
REAL_S = 15
REAL_SHARE = 0.3
ALL = 100

Document = dict[str, Any]
Run = Callable[[Callable[[tuple[Any, ...]], Any], Sequence[tuple[Any, ...]]], list[Any]]
"""Calls a function with each of these arguments, some at a time; the results in order."""


# ---- one replay ------------------------------------------------------------------------------------------------


def replayed(path: Path, made: Settings) -> Document:
    """Run a trace file through a store."""
    with open_trace(path) as reader:
        return replay(reader.blocks, made, origin=reader.header.origin)


def settings(region_bytes: int, percent: int | str, **options: Any) -> Settings:
    """Return what all replays here share, and the rest."""
    return Settings(
        region_bytes=region_bytes, frontswap_percent=cast("Any", percent), storage=STORAGE, seed=SEED, **options
    )


def row(arguments: tuple[Any, ...]) -> Document:
    """Replay one setting of a sweep: (path, region_bytes, percent)."""
    path, region_bytes, percent = arguments
    document = replayed(path, settings(region_bytes, percent))
    told = {
        "frontswap_percent": percent,
        "saved_ns": document["device"]["saved_ns"],
        "cleancache_hits": document["cleancache"]["hits"],
        "frontswap_hits_region": document["frontswap"]["hits_region"],
        "frontswap_hits_spill": document["frontswap"]["hits_spill"],
        "refused": document["frontswap"]["refused"],
        "bytes_written": document["spill"]["bytes_written"],
    }
    return told | ({"knob": document["knob"]} if percent == "adaptive" else {})


def promise(arguments: tuple[Any, ...]) -> Document:
    """Replay with a soft contract: (path, region_bytes)."""
    path, region_bytes = arguments
    contract = Contract(region_bytes // 4 // PAGE_SIZE * PAGE_SIZE, "50ms", "soft")
    try:
        document = replayed(path, settings(region_bytes, "auto", contract=contract))
    except ContractError as error:
        return {"contract": str(contract), "refused": str(error)}
    frontswap = {name: document["frontswap"][name] for name in ("stores", "refused", "hits_region", "hits_spill")}
    return {
        "contract": document["arguments"]["contract"],
        "percent_in_force": document["percent_in_force"],
        "saved_ns": document["device"]["saved_ns"],
        "frontswap": frontswap,
        "allocations": document["allocations"],
    }


# ---- a trace ---------------------------------------------------------------------------------------------------


def recorded_trace(source: Path, path: Path, run: Run) -> Document:
    """Convert a trace and make its result."""
    document = converted(source, path, None)
    with open_trace(path) as reader:
        info = describe(reader)
    working_bytes = round(
        (info["cleancache"]["unique_pages"] + COMPRESSED * info["frontswap"]["unique_pages"]) * PAGE_SIZE
    )
    regions = [max(LEAST_BYTES, int(working_bytes * share) // PAGE_SIZE * PAGE_SIZE) for share in SHARES]
    rows = run(row, [(path, region, knob) for region in regions for knob in KNOBS])
    promises = run(promise, [(path, region) for region in regions])
    return {
        "convert": document,
        "info": {name: info[name] for name in ("events", "duration_ns", "cleancache", "frontswap", "footprint_bytes")},
        "working_set_bytes": working_bytes,
        "storage": STORAGE,
        "sweeps": [
            {"region_share": share, "region_bytes": region}
            | judged(rows[i * len(KNOBS) : (i + 1) * len(KNOBS)])
            | {"soft_contract": promises[i]}
            for i, (share, region) in enumerate(zip(SHARES, regions, strict=True))
        ],
    }


def judged(rows: Sequence[Document]) -> Document:
    """Return the rows of a sweep beside the best of the fixed ones."""
    best = max(rows[:-2], key=lambda each: int(each["saved_ns"]))
    auto, adaptive = (each["saved_ns"] / max(1, best["saved_ns"]) for each in rows[-2:])
    return {
        "best_percent": best["frontswap_percent"],
        "best_saved_ns": best["saved_ns"],
        "auto_of_best": round(auto, 4),
        "adaptive_of_best": round(adaptive, 4),
        "rows": rows,
    }


def stream(source: Path, path: Path, _run: Run) -> Document:
    """Put a reference stream through the page cache and say what comes of it."""
    document = converted(source, path, CACHE_PAGES)
    with open_trace(path) as reader:
        info = describe(reader)
    return {"convert": document, "info": {name: info[name] for name in ("events", "duration_ns", "cleancache")}}


def converted(source: Path, path: Path, cache_pages: int | None) -> Document:
    """Convert into a trace file that is not there yet, and return what `convert` says, without the places."""
    document = convert(source, path, page_cache_pages=cache_pages)
    return {name: value for name, value in document.items() if name not in {"input", "output"}}


# ---- loads that change -----------------------------------------------------------------------------------------


def shifted(arguments: tuple[Any, ...]) -> int:
    """Return the device time saved in the last phase once it has settled: (kinds, percent)."""
    kinds, percent = arguments
    load = phases.make(PHASE_FRAMES, PHASE_EVENTS, kinds, seed=SEED)
    accesses = np.cumsum(np.isin(load.events["op"], (Op.PUT_PAGE, Op.GET_PAGE, Op.STORE, Op.LOAD)))
    at = int(np.searchsorted(accesses, accesses[load.starts[-1] - 1] + 2 * PHASE_FRAMES))
    made = settings(PHASE_FRAMES * PAGE_SIZE, percent)
    with Replay(made) as running:
        running.run([load.events[:at]])
        before = device_time(running.tm.stats(), made)["saved_ns"]
        running.run([load.events[at:]])
        return device_time(running.tm.stats(), made)["saved_ns"] - before


def changing_loads(run: Run) -> Document:
    """After each shift: the saving from twice as many accesses as the region has frames to the end of the phase."""
    made = []
    for kinds in (
        ("frontswap", "cleancache"),
        ("cleancache", "frontswap"),
        ("frontswap", "cleancache", "frontswap"),
        ("cleancache", "frontswap", "cleancache"),
    ):
        saved = run(shifted, [(kinds, knob) for knob in KNOBS])
        best = max(saved[:-2])
        made.append(
            {
                "phases": kinds,
                "best_percent": KNOBS[saved.index(best)],
                "adaptive_of_best": round(saved[-1] / best, 4),
                "saved_ns": dict(zip(map(str, KNOBS), saved, strict=True)),
            }
        )
    return {"region_frames": PHASE_FRAMES, "events_a_phase": PHASE_EVENTS, "shifts": made}


# ---- real against virtual --------------------------------------------------------------------------------------


def beginning(path: Path) -> list[Records]:
    """Return the events of the first seconds of a trace."""
    kept = []
    with open_trace(path) as reader:
        for block in reader.blocks():
            kept.append(block[block["time_ns"] < REAL_S * 10**9])
            if len(kept[-1]) < len(block):
                break
    return kept


def real_cases(region_bytes: int) -> dict[str, Document]:
    """Return the settings that are run in both times."""
    quarter = region_bytes // 4 // PAGE_SIZE * PAGE_SIZE
    allocate = Allocate(quarter, 400_000_000, 50_000_000)
    cases: dict[str, Document] = {"no allocation": {}}
    for writeback in ("behind", "through"):
        cases[f"allocations, {writeback}"] = {"allocate": allocate, "writeback": writeback}
    cases["small share"] = {"allocate": allocate, "frontswap_percent": 20}
    return cases | {"soft contract": {"allocate": allocate, "contract": Contract(quarter, "50ms", "soft")}}


def real_against_virtual(paths: dict[str, Path], folder: Path) -> Document:
    """Run each case in real time, and in virtual time with the CPU as a real run with another seed learned it."""
    cpu = measure_cpu()
    told: list[Document] = []
    cpus: Document = {}
    for name, path in paths.items():
        with open_trace(path) as reader:
            info, origin = describe(reader), reader.header.origin
        pages = info["cleancache"]["unique_pages"] + COMPRESSED * info["frontswap"]["unique_pages"]
        region_bytes = int(pages * REAL_SHARE) * PAGE_SIZE
        blocks = beginning(path)
        shared: Document = {"region_bytes": region_bytes, "storage": str(folder / "here.json")}

        def run(document: Document, seed: int, *, real: bool) -> Document:
            made = Settings(**(shared | document), seed=seed, real=real)  # noqa: B023 - called at once
            return replay(lambda: blocks, made, origin=origin)  # noqa: B023

        cases = real_cases(region_bytes)
        sys.stderr.write(f"{name}: what the CPU takes\n")
        replace(PRESETS[STORAGE], cpu=cpu).save(folder / "here.json")
        learned = run(cases["soft contract"], SEED + 1, real=True)["model"]
        seen = {key: value for key, value in learned.items() if key in cpu.coefficients()}
        replace(PRESETS[STORAGE], cpu=replace(cpu, **seen)).save(folder / "here.json")
        for case, options in cases.items():
            sys.stderr.write(f"{name}, {case}: real and virtual\n")
            virtual, real = (figures(run(options, SEED, real=is_real)) for is_real in (False, True))
            told.append({"trace": name, "case": case, "virtual": virtual, "real": real})
        cpus[name] = {"measured": {key: getattr(cpu, key) for key in cpu.coefficients()}, "learned": seen}
    return {"seconds": REAL_S, "region_share": REAL_SHARE, "storage": STORAGE, "cpu": cpus, "cases": told}


def figures(document: Document) -> Document:
    """Return what is compared."""
    swap, allocations = document["frontswap"], document["allocations"]
    return {
        "late_ns": document["late_ns"],
        "cleancache_hits": document["cleancache"]["hits"],
        "frontswap_hits": swap["hits_region"] + swap["hits_spill"],
        "frontswap_hits_region": swap["hits_region"],
        "refused": swap["refused"],
        "spill_loads": swap["hits_spill"],
        "spill_load_p50_ns": swap["spill_load_p50_ns"],
        "met": allocations["met"],
        "allocations": allocations["count"],
        "elapsed_p50_ns": allocations["elapsed"]["p50_ns"],
        "elapsed_max_ns": allocations["elapsed"]["max_ns"],
    }


# ---- running ---------------------------------------------------------------------------------------------------


class Results:
    """Where results go, and whether one is there."""

    def __init__(self, folder: Path, *, again: bool) -> None:
        self._folder = folder
        self._again = again
        self._commit = machine.commit() or "unknown"
        self._same: Document = {
            "command": shlex.join(["bench/traces.py"]),
            "commit": self._commit,
            "machine": machine.describe(),
            "seed": SEED,
        }

    def get(self, name: str, make: Callable[[], Document]) -> Document:
        """Return the result of this name, made if it is not there; a file is whole or not there."""
        path = self._folder / f"{name}.json"
        if not self._again and not self._commit.endswith("+") and path.exists():
            kept: Document = json.loads(path.read_text(encoding="utf-8"))
            if all(kept.get(key) == value for key, value in self._same.items()):
                sys.stderr.write(f"{name}: already there\n")
                return kept
        sys.stderr.write(f"{name}\n")
        before = machine.condition()
        document = {"schema": SCHEMA, "name": name} | self._same | {"condition": before} | make()
        unfinished = path.with_suffix(".partial")
        unfinished.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        unfinished.replace(path)
        return document


def main(argv: Sequence[str] | None = None) -> int:
    """Make what is wanted and not there, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/traces.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", metavar="DIR", help="the traces")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help=f"seen from the checkout ({RESULTS})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all)")
    parser.add_argument("--only", metavar="LIST", help="names, separated by commas: of traces, phases, real")
    parser.add_argument("--again", action="store_true", help="make results that are there, too")
    options = parser.parse_args(argv)
    sources = {path.name.partition(".")[0]: path for path in sorted(options.data.glob("**/*.zst"))}
    sources = {name: path for name, path in sources.items() if not name.startswith("pages_")}
    if not sources:
        parser.error(f"no trace in {options.data}; name their folder with --data")
    names = [*sources, "phases", "real"] if options.only is None else options.only.split(",")
    unknown = [name for name in names if name not in {*sources, "phases", "real"}]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(sources)}, phases, real")
    (ROOT / options.out).mkdir(parents=True, exist_ok=True)
    results = Results(ROOT / options.out, again=options.again)
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(options.jobs) as pool:
        documents = [results.get(name, maker(name, sources, Path(folder), pool)) for name in names]
    sys.stdout.write(table(documents))
    return 0 if all(each >= goal for each, goal in verdicts(documents)) else 1


def maker(name: str, sources: dict[str, Path], folder: Path, pool: ProcessPoolExecutor) -> Callable[[], Document]:
    """Return what makes the result of that name."""

    def run(call: Callable[[tuple[Any, ...]], Any], many: Sequence[tuple[Any, ...]]) -> list[Any]:
        return list(pool.map(call, many))

    def make_real() -> Document:
        paths = {each: folder / f"real-{each}.tmt" for each in REAL if each in sources}
        for each, path in paths.items():
            convert(sources[each], path)
        return real_against_virtual(paths, folder)

    if name == "phases":
        return lambda: changing_loads(run)
    if name == "real":
        return make_real
    make = recorded_trace if sources[name].name.endswith(".tr.zst") else stream
    return lambda: make(sources[name], folder / f"{name}.tmt", run)


# ---- the table -------------------------------------------------------------------------------------------------


def verdicts(documents: Sequence[Document]) -> list[tuple[float, float]]:
    """Return what the adaptive knob saves of the best fixed ratio, and the goal."""
    sweeps = [(each["adaptive_of_best"], GOAL) for document in documents for each in document.get("sweeps", ())]
    return sweeps + [(each["adaptive_of_best"], SHIFT_GOAL) for doc in documents for each in doc.get("shifts", ())]


def sweep_line(name: str, sweep: Document) -> str:
    """Return the line of one region."""
    return (
        f"{name:<14}{sweep['region_bytes'] >> 20:>8} MiB{sweep['best_percent']:>5} %"
        f"{sweep['best_saved_ns'] / 1e9:>8.2f} s{sweep['auto_of_best']:>8.3f}{sweep['adaptive_of_best']:>10.3f}"
    )


def table(documents: Sequence[Document]) -> str:
    """Return the table of all sweeps and shifts, and the worst case."""
    lines = [f"{'trace':<14}{'region':>12}{'best':>7}{'saved':>10}{'auto':>8}{'adaptive':>10}"]
    for document in documents:
        lines += [sweep_line(document["name"], each) for each in document.get("sweeps", ())]
        lines += [f"{' > '.join(s['phases']):<51}{s['adaptive_of_best']:>10.3f}" for s in document.get("shifts", ())]
    worst = min(
        (
            (each["adaptive_of_best"], doc["name"], each["region_share"])
            for doc in documents
            for each in doc.get("sweeps", ())
        ),
        default=None,
    )
    if worst is not None:
        lines.append(f"worst: {worst[1]} at {worst[2] * ALL:.0f} % of its working set, {worst[0]:.3f} (goal {GOAL})")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
