"""The rows of the promise, at their full sizes, one after the other: `make soak`.

Each row is one `tmemstore bench deadline`; its result goes to bench/results/deadline/ROW.json, with the command that
made it and the commit it ran at. A row whose result is there, by the same command at the same commit, is not run
again. At the end one table holds every figure against its goal. Exit code: 0 if all goals are met, 1 if not, 2 for
wrong usage.
"""

import argparse
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tmemstore.bench import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("bench", "results", "deadline")

MET, NOT_MET, REPORTED = "met", "NOT MET", ""

_SOFT = ("--contract", "64MiB:50ms:soft")
_PAUSES = ("--storage", "emulate:emmc5.1,sigma=0.1,pause_every=64MiB,pause=10ms")
_TIGHT, _USED, _SWAP, _FILLED = 1.5, 90, 60, 90
_MS = 1_000_000
_LEAST = 20
"""No row is scaled to less than this: some scenarios need a few of everything."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what was measured, beside its goal."""

    what: str
    value: str
    goal: str
    verdict: str


Goals = Callable[[dict[str, Any]], Iterator[Figure]]


@dataclass(frozen=True, slots=True)
class Row:
    """A run: how many allocations at full size, what else the command says, and what it must show."""

    name: str
    allocations: int
    arguments: tuple[str, ...]
    goals: Goals

    def command_line(self, scale: float, folder: Path) -> list[str]:
        """Return the arguments of `tmemstore`, the number of allocations scaled."""
        count = self.allocations if scale >= 1 else max(min(_LEAST, self.allocations), int(self.allocations * scale))
        return [
            *("bench", "deadline", *self.arguments, "--allocations", str(count)),
            *("--name", self.name, "--out", str(folder)),
        ]


# ---- goals -----------------------------------------------------------------------------------------------------


def _judged(what: str, value: str, goal: str, *, good: bool) -> Figure:
    return Figure(what, value, goal, MET if good else NOT_MET)


def _count(what: str, count: int, of: int) -> Figure:
    """A count that must be 0; how sure that is of the rate: 3/n."""
    sure = "" if count or not of else f", 3/n {_percent(3 / of)}"
    return _judged(what, f"{count} of {of}{sure}", "0", good=count == 0)


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.3f} %"


def _endings(outcome: dict[str, Any], *names: str) -> Iterator[Figure]:
    total = outcome["allocations"]
    for name in names:
        if name == "aborted":
            yield from _aborted("aborted", outcome["endings"][name], outcome["starved_aborted"], total)
        else:
            yield _count(name, outcome["endings"][name], total)
    yield _count("late", outcome["late"], total)


def _aborted(what: str, count: int, starved: int, total: int) -> Iterator[Figure]:
    """DESIGN.md: a thread that was kept off the CPU may end so whatever the contract; counted apart."""
    if starved:
        yield Figure(f"{what}, starved", f"{starved} of {total}", "apart", REPORTED)
    yield _count(what, count - starved, total)


def _filled(document: dict[str, Any]) -> Figure:
    """A store that refuses everything proves nothing: the load stays within 10 % of the ceilings."""
    filled = document["outcome"]["ceilings_filled_percent"]
    shown = "-" if filled is None else f"{filled:.1f} %"
    return _judged("ceilings filled", shown, f">= {_FILLED} %", good=filled is not None and filled >= _FILLED)


def hard(document: dict[str, Any]) -> Iterator[Figure]:
    """A hard contract: 0 refused, 0 aborted, 0 late, every page there."""
    outcome = document["outcome"]
    yield from _endings(outcome, "refused", "aborted")
    yield _judged("pages verified", str(document["pages_verified"]), "all", good=document["pages_verified"] > 0)
    yield _filled(document)
    yield Figure("tightness", _ratio(outcome["tightness"]), "reported", REPORTED)


def returned(document: dict[str, Any]) -> Iterator[Figure]:
    """The same, and the return: the core within 1 ms at p99.9; the interpreter apart."""
    yield from hard(document)
    core, python = document["outcome"]["commit_lag_ns"], document["outcome"]["interpreter_lag_ns"]
    if core is None or python is None:
        yield Figure("return lag", "nothing ran", "<= 1 ms", NOT_MET)
        return
    yield _judged("return, core p99.9", _ms(core["p999"]), "<= 1 ms", good=core["p999"] <= _MS)
    yield Figure("return, core max", _ms(core["max"]), "reported", REPORTED)
    yield Figure("return, Python p99.9", _ms(python["p999"]), "reported", REPORTED)
    yield Figure("return, Python max", _ms(python["max"]), "reported", REPORTED)


def soft(document: dict[str, Any]) -> Iterator[Figure]:
    """A soft contract: the rate of misses, in virtual time at its upper bound; 0 late."""
    outcome, arguments = document["outcome"], document["arguments"]
    allowed = 1 - arguments["confidence"]
    name, what = ("miss_rate_upper_95", "missed, at most") if arguments["virtual"] else ("miss_rate", "missed")
    rate = outcome[name]
    yield _judged(what, _percent(rate), f"<= {100 * allowed:.3g} %", good=rate is not None and _within(rate, allowed))
    yield _count("late", outcome["late"], outcome["allocations"])
    yield _filled(document)


def pairs(document: dict[str, Any]) -> Iterator[Figure]:
    """The second of a pair is met, or refused as recovering with a time that proves true within 20 %.

    The first one is any covered allocation: aborted with what probability the contract leaves, or
    refused as recovering.
    """
    outcome, allowed = document["outcome"], 1 - document["arguments"]["confidence"]
    seconds, named = outcome["seconds"], outcome["recoveries"]
    total, aborted = seconds["count"], seconds["aborted"]
    recovering = outcome["reasons"].get("recovering", 0)
    yield from _aborted("second aborted", aborted, seconds["starved_aborted"], total)
    yield _count("refused otherwise", outcome["endings"]["refused"] - recovering, outcome["allocations"])
    yield _count("late", outcome["late"], outcome["allocations"])
    close, count = named["within_20_percent"], named["count"]
    yield _judged("recovery within 20 %", f"{close} of {count}", "all", good=close == count)
    starved = outcome["starved_aborted"] - seconds["starved_aborted"]
    first = outcome["endings"]["aborted"] - aborted - starved
    rate = first / total
    yield _judged("first aborted", f"{first} of {total}", f"<= {100 * allowed:.3g} %", good=_within(rate, allowed))
    yield Figure("first one refused", str(recovering - seconds["recovering"]), "reported", REPORTED)


def tight(document: dict[str, Any]) -> Iterator[Figure]:
    """The bound over the measured quantile, and how often it was missed."""
    outcome = document["outcome"]
    allowed = 1 - document["arguments"]["confidence"]
    tightness, missed = outcome["tightness"], outcome["bound_missed_rate"]
    yield _judged("bound / quantile", _ratio(tightness), "<= 1.5", good=tightness is not None and tightness <= _TIGHT)
    good = missed is not None and _within(missed, allowed)
    yield _judged("bound missed", _percent(missed), f"<= {100 * allowed:.3g} %", good=good)


def capacity(document: dict[str, Any]) -> Iterator[Figure]:
    """What the area carries under a steady load, in the worst second after the first tenth of the run."""
    worst = document["outcome"]["capacity_worst"]
    used, swap = worst["frames_in_use_percent"], worst["frontswap_percent"]
    yield _judged("frames in use", f"{used:.1f} %", f">= {_USED} %", good=used >= _USED)
    yield _judged("frames of frontswap", f"{swap:.1f} %", f">= {_SWAP} %", good=swap >= _SWAP)
    yield _judged("stores refused", str(worst["refused"]), "0", good=worst["refused"] == 0)
    yield _judged("contract", "held" if worst["holding"] else "not held", "held", good=worst["holding"])


def _within(rate: float, allowed: float) -> bool:
    """1 - 0.999 is a hair more than 0.001."""
    return rate <= allowed or math.isclose(rate, allowed, rel_tol=1e-9)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ms(time_ns: int) -> str:
    return f"{time_ns / _MS:.3f} ms"


# ---- rows ------------------------------------------------------------------------------------------------------

_VIRTUAL, _REAL, _SLOWER, _STALLS = 100_000, ("--real",), ("--scenario", "slower"), ("--scenario", "stalls")
_UNBOUND = ("--scenario", "unbound", *_SOFT)

ROWS = (
    Row("hard", _VIRTUAL, (), hard),
    Row("hard-real", 2000, _REAL, returned),
    Row("hard-slower", _VIRTUAL, _SLOWER, hard),
    Row("hard-slower-real", 2000, (*_SLOWER, *_REAL), hard),
    Row("hard-stalls", 3000, _STALLS, hard),
    # The device stalls for 120 ms each time, and works in between.
    Row("hard-stalls-real", 2000, (*_STALLS, *_REAL, "--gap", "180ms"), hard),
    Row("soft-gc", _VIRTUAL, (*_SOFT, *_PAUSES), soft),
    Row("soft-gc-real", 2000, (*_SOFT, *_PAUSES, *_REAL), soft),
    *(
        Row(f"pairs-{gap}{name}", 1000, ("--scenario", "pairs", *_SOFT, "--gap", f"{gap}ms", *real), pairs)
        for gap in (0, 10, 100)
        for name, real in (("", ()), ("-real", _REAL))
    ),
    Row("tight-99-real", 5000, (*_UNBOUND, "--confidence", "99", *_REAL), tight),
    Row("tight-999", _VIRTUAL, (*_UNBOUND, *_PAUSES), tight),
    Row("capacity", 120, ("--scenario", "capacity", *_SOFT), capacity),
    Row("capacity-real", 120, ("--scenario", "capacity", *_SOFT, *_REAL), capacity),
)


# ---- running ---------------------------------------------------------------------------------------------------


def recorded(path: Path, command: str, at: str) -> dict[str, Any] | None:
    """Return the result in a file if it is of this command and this commit, and nothing was changed since; or None."""
    if at.endswith("+"):
        return None
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if (document.get("command"), document.get("commit")) == (command, at) else None


def run(row: Row, command_line: Sequence[str], path: Path, at: str) -> dict[str, Any] | None:
    """Run a row, put its result where it belongs, and return it; None if there is none."""
    written = ROOT / path.parent / f"deadline-{row.name}.json"
    command = [sys.executable, "-m", "tmemstore.cli.main", *command_line]
    # An allocation that was aborted or late (exit code 1) is a result as well.
    written.unlink(missing_ok=True)
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - what is written here
    if not written.exists():
        return None
    document: dict[str, Any] = json.loads(written.read_text(encoding="utf-8")) | {"commit": at}
    unfinished = written.with_suffix(".partial")
    unfinished.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    unfinished.replace(ROOT / path)
    written.unlink()
    return document


def table(figures: Sequence[tuple[str, Figure]]) -> str:
    """Return the table of all rows, at most 80 columns wide."""
    cells = [("row", "figure", "measured", "goal", "")]
    cells += [(name, each.what, each.value, each.goal, each.verdict) for name, each in figures]
    shown = []
    before = ""
    for name, *others in cells:
        line = "{:<16} {:<20} {:<25} {:<8} {}".format("" if name == before else name, *others)
        shown.append(line.rstrip())
        before = name
    return "\n".join(shown) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is to be run, and print the table."""
    parser = argparse.ArgumentParser(prog="make soak, SOAK_ARGS", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", metavar="LIST", help="names of rows, separated by commas (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="of the sizes, 0 to 1 (default: 1)")
    parser.add_argument("--again", action="store_true", help="run rows that have a result, too")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="DIR", help=f"where results go, seen from the checkout ({RESULTS})"
    )
    options = parser.parse_args(argv)
    by_name = {row.name: row for row in ROWS}
    names = by_name if options.rows is None else options.rows.split(",")
    unknown = [name for name in names if name not in by_name]
    if unknown:
        parser.error(f"{unknown[0]!r} is no row; choose of {', '.join(by_name)}")
    if not 0 < options.scale <= 1:
        parser.error("--scale is more than 0 and at most 1")
    (ROOT / options.out).mkdir(parents=True, exist_ok=True)
    figures: list[tuple[str, Figure]] = []
    for name in names:
        figures += [(name, figure) for figure in _row(by_name[name], options)]
    sys.stdout.write(table(figures))
    return 1 if any(figure.verdict == NOT_MET for _, figure in figures) else 0


def _row(row: Row, options: argparse.Namespace) -> list[Figure]:
    at = machine.commit() or "unknown"
    command_line = row.command_line(options.scale, options.out)
    command = shlex.join(["tmemstore", *command_line])
    path = options.out / f"{row.name}.json"
    document = None if options.again else recorded(ROOT / path, command, at)
    if document is None:
        sys.stderr.write(f"{row.name}: {command}\n")
        document = run(row, command_line, path, at)
    else:
        sys.stderr.write(f"{row.name}: already there, at {at}\n")
    if document is None:
        return [Figure("the run", "ended without a result", "a result", NOT_MET)]
    return list(row.goals(document))


if __name__ == "__main__":
    sys.exit(main())
