"""The table of the baselines of `bench eviction`: one ratio, all systems below each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tmemstore.report.tables import milliseconds, nearest_percent, size_text

_MIB = 1 << 20
_LINE = "{:<25} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>6}"
_HEAD = ("", "p50", "p99.9", "max", "fails", "took", "lost", "MiB", "MiB", "again")
_UNITS = ("", "ms", "ms", "ms", "%", "ms", "pages", "cop.", "wr.", "ms/MiB")
_RULES = (
    "p50 to max of the calls that got a range; a p99.9 takes 1000 of them",
    "           (--baseline-calls), but where each call takes the same",
    "fails      of all calls; how long one took until it gave up (p50), and how many",
    "           clean pages it had dropped by then (mean)",
    "MiB        copied and written, for each MiB handed over; gcma wrote when the",
    "           pages were stored",
    "again      the device's time to read back what left, if all is asked for again",
    "zram       the same pages out to it and back: no contiguous range comes of it",
    "cma        pins per 32768 pages, middle cost; the JSON holds the cards, what",
    "           is modelled and what is not, all ratios and all costs",
)


def baselines_table(document: Mapping[str, Any]) -> str:
    """Return the table of a document with baselines, at most 80 columns, one block for each size.

    Raises KeyError for a document without them.
    """
    elements: Sequence[Mapping[str, Any]] = document["baselines"]
    percent = nearest_percent(document)
    lines = [f"Other systems, same sizes, cleancache:frontswap {100 - percent}:{percent} (cards in the JSON)"]
    for size_bytes in dict.fromkeys(row["size_bytes"] for row in elements[0]["rows"]):
        lines += ["", size_text(size_bytes), _LINE.format(*_HEAD).rstrip(), _LINE.format(*_UNITS).rstrip()]
        lines += list(_lines(elements, percent, size_bytes))
    lines += [
        f"{element['system']} was left out: {element['settings']['left_out']}"
        for element in elements
        if "left_out" in element["settings"]
    ]
    return "\n".join([*lines, "", *_RULES]) + "\n"


COSTS = (
    "p50, ms",
    "p99.9, ms",
    "longest, ms",
    "failed, %",
    "a failed call, ms",
    "clean pages it cost",
    "copied",
    "written",
    "to read again, ms",
)
"""What `costs` returns; copied, written and to read again for each MiB handed over."""


def costs(row: Mapping[str, Any]) -> list[str]:
    """Return what the calls of a row took, and what they cost others, as texts; "-" where nothing is known."""
    return [
        *(milliseconds(row["latency_ns"][name]) for name in ("p50", "p999", "max")),
        f"{100 * row['failed'] / row['calls']:.0f}" if row["calls"] else "-",
        milliseconds(row["failed_ns"]["p50"]),
        _mean(row["pages_destroyed_by_failed"], row["failed"]),
        _mib(row["bytes_copied_per_mib"]),
        _mib(row["bytes_written_per_mib"]),
        milliseconds(row["refault_ns_per_mib"]),
    ]


def _lines(elements: Sequence[Mapping[str, Any]], percent: int, size_bytes: int) -> Iterator[str]:
    for element in elements:
        name = _name(element)
        row = next(
            (r for r in element["rows"] if r["frontswap_percent"] == percent and r["size_bytes"] == size_bytes), None
        )
        if name is None or row is None:
            continue
        yield _LINE.format(name, *costs(row)).rstrip()


def _name(element: Mapping[str, Any]) -> str | None:
    """Return what a line is called; None for a cost that the table leaves out."""
    system, setting = element["system"], element["setting"]
    if system != "cma":
        return f"{system}, {setting}"
    pins, _, cost = setting.rpartition(", ")
    if pins == "no pins":
        return f"{system}, {setting}"
    return f"  {pins}" if cost == "middle cost" else None


def _mean(total: int | None, count: int) -> str:
    return "-" if total is None or not count else f"{total / count:.0f}"


def _mib(count: float | None) -> str:
    """Return bytes in MiB, in at most five characters below 100 GiB."""
    if count is None:
        return "-"
    value = count / _MIB
    digits = next((digits for bound, digits in ((99.995, 2), (999.95, 1)) if value < bound), 0)
    return f"{value:.{digits}f}"
