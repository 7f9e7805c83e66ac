"""The table of `bench copy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LINE = "{:<12} {:>8} {:>7} {:>11} {:>9} {:>6} {:>8} {:>8} {:<3}"
_RULES = (
    "off       no store       idle      a store that takes nothing",
    "full      one that takes every page    filtered  with the admission filter",
    "vs off    throughput against off, median of pairs, and its 95 % interval",
    "p99       of a request   hits      of what the page cache did not have",
    "copy      ns a page read that went into puts and gets; saved: device time",
)


def copy_table(document: Mapping[str, Any]) -> str:
    """Return the table of a ``tmemstore.bench.copy/1`` document, at most 80 columns; KeyError for another."""
    machine = document["machine"]
    lines = [
        "What a cleancache costs and gives a job that reads files",
        f"{machine['cpu']}, {machine['cores']} cores",
        "",
        _LINE.format("", "MB/s", "vs off", "", "p99, us", "hits", "copy", "saved", "").rstrip(),
    ]
    job = None
    for row in document["rows"]:
        if row["job"] != job:
            job = row["job"]
            lines.append(f"{job}, {row['pages']} pages, {row['device_ns_per_page'] / 1000:.3g} us a page at the device")
        lines.append(_row(row))
    met = [row["met"] for row in document["rows"] if row["met"] is not None]
    lines += ["", *_RULES, f"Goals reached: {sum(met)} of {len(met)}."]
    return "\n".join(lines) + "\n"


def _row(row: Mapping[str, Any]) -> str:
    against = row["against_off"]
    off = row["mode"] == "off"
    return _LINE.format(
        f"  {row['mode']}",
        f"{row['mb_per_s']:.0f}",
        "" if off else f"{against['p50']:.3f}",
        "" if off else f"{against['low']:.3f}-{against['high']:.3f}",
        f"{row['request_p99_ns'] / 1000:.0f}",
        "" if off else f"{100 * row['hit_rate_cleancache']:.0f} %",
        "" if off else f"{row['copy_ns_per_page']:.0f}",
        "" if off else f"{row['saved_ns_per_page']:.0f}",
        {None: "", True: "met", False: "NOT"}[row["met"]],
    ).rstrip()
