"""Plain text tables of result documents; they fit a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN_PERCENT = 29
"""Of all ratios the one nearest to this is shown: 71:29, which the question was asked about."""

_MS = 1_000_000
_MIB = 1 << 20
_COLUMNS = (
    ("ratio", 6),
    ("dropped", 7),
    ("paged out", 9),
    ("MiB", 6),
    ("p50", 7),
    ("p99", 7),
    ("max", 6),
    ("ns/page", 7),
    ("cheapest", 8),
    ("ending", 8),
)
_RULES = (
    "ratio      cleancache:frontswap, percent of frames",
    "dropped    pages that left without a write; paged out: written to the spill file",
    "MiB        written for one allocation, in whole blocks",
    "p50 to max ms until the dearest window was handed over",
    "ns/page    p50 divided by the 4 KiB pages asked for",
    "cheapest   p50 of the cheapest window, in ms",
    "ending     of all repeats: met, or how many met (m), refused (r), aborted (a)",
)
_FEW_RULE = "*          a p99 of fewer than 100 samples is their largest"


def eviction_table(document: Mapping[str, Any]) -> str:
    """Return the table of a ``tmemstore.bench.eviction/1`` document, one block for each size.

    Raises KeyError for a document that lacks a key of the schema.
    """
    lines = [_headline(document)]
    rows: list[Mapping[str, Any]] = list(document["rows"])
    for size_bytes in dict.fromkeys(row["size_bytes"] for row in rows):
        of_size = [row for row in rows if row["size_bytes"] == size_bytes]
        lines += ["", f"{size_text(size_bytes)}, {_repeats(of_size[0]['repeats'])}"]
        lines.append(_line([name for name, _ in _COLUMNS]))
        lines += [_line(_cells(row)) for row in of_size]
    lines += ["", *_RULES]
    if any(row["p99_of_fewer_than_100"] for row in rows):
        lines.append(_FEW_RULE)
    worst = max((row["worst_chunk_deviation_points"] for row in rows), default=0.0)
    lines.append(f"Every 2 MiB chunk held the ratio within {worst:.1f} points.")
    ratio = document.get("predicted_over_elapsed_p50")
    if ratio is not None:
        lines.append(f"Predicted is {ratio:.2f} of measured, at the median of the rows.")
    return "\n".join(lines) + "\n"


def size_text(size_bytes: int) -> str:
    """Return a size in the largest unit that gives a whole number: "64 MiB", "1 GiB", "513 B"."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= factor and size_bytes % factor == 0:
            return f"{size_bytes // factor} {unit}"
    return f"{size_bytes} B"


def nearest_percent(document: Mapping[str, Any]) -> int:
    """Return the ratio that is shown, as the share of frontswap."""
    ratios = {int(row["frontswap_percent"]) for row in document["rows"]}
    return min(ratios, key=lambda ratio: (abs(ratio - SHOWN_PERCENT), ratio))


def plain(text: object) -> str:
    """Return a text from a file without what a terminal would act upon."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def milliseconds(time_ns: int | None) -> str:
    """Return a time in ms with four significant digits, at most three of them behind the point; "-" for None."""
    if time_ns is None:
        return "-"
    value = time_ns / _MS
    for bound, digits in ((9.9995, 3), (99.995, 2), (999.95, 1)):
        if value < bound:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def _headline(document: Mapping[str, Any]) -> str:
    arguments = document["arguments"]
    deadline = arguments["deadline_ns"]
    return "\n".join(
        (
            "Time to get a contiguous range back from cleancache and frontswap pages",
            f"region {size_text(arguments['region_bytes'])}, codec {arguments['codec']}, {device_text(document)}, "
            + ("no deadline" if deadline is None else f"deadline {milliseconds(deadline)} ms"),
        )
    )


def device_text(document: Mapping[str, Any]) -> str:
    """Return what an eviction document's pages were written to: "spill file on ext4 with O_DIRECT"."""
    spill = document["machine"]["spill"]
    if spill["filesystem"] is None:
        return f"device {document['arguments']['storage']}"
    return f"spill file on {spill['filesystem']} {'with' if spill['direct'] else 'without'} O_DIRECT"


def _repeats(repeats: int) -> str:
    return "one repeat" if repeats == 1 else f"{repeats} repeats"


def _cells(row: Mapping[str, Any]) -> list[str]:
    percent = row["frontswap_percent"]
    elapsed = row["elapsed_ns"]
    mark = "*" if row["p99_of_fewer_than_100"] and elapsed["p99"] is not None else " "
    written = row["bytes_written"]
    return [
        f"{100 - percent}:{percent}",
        _count(row["pages_dropped"]),
        _count(row["pages_paged_out"]),
        "-" if written is None else f"{written / _MIB:.1f}",
        milliseconds(elapsed["p50"]),
        milliseconds(elapsed["p99"]) + mark,
        milliseconds(elapsed["max"]),
        _count(row["ns_per_page"]),
        milliseconds(row["cheapest_ns"]["p50"]),
        endings_text(row["endings"]),
    ]


def endings_text(endings: Mapping[str, int]) -> str:
    """Return "met" if all were, the other ending if all ended so, else the counts: "3m 1r 1a"."""
    ended = {name: count for name, count in endings.items() if count}
    if len(ended) == 1:
        return next(iter(ended))
    return " ".join(f"{count}{name[0]}" for name, count in ended.items()) or "-"


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _line(cells: Sequence[str]) -> str:
    return " ".join(cell.rjust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True)).rstrip()
