"""Plain text tables of storage profiles; they fit a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tmemstore.report.tables import milliseconds, size_text

_GRID = (("pattern", -12), ("block", 8), ("depth", 5), ("requests", 8), ("MB/s", 7), ("IOPS", 7))
_TIMES = (("p50", 7), ("p99", 7), ("p99.9", 7))
_LANES = (("lane", -12), ("request us", 10), ("ps/byte", 8), ("MB/s", 7), ("IOPS", 7))
_QUANTILES = ("p50_ns", "p99_ns", "p999_ns")
_MB = 10**6
_US = 1000
_WIDTH = 80

_GRID_RULES = (
    "depth      requests under way at once; p50 to p99.9 ms of a single request",
    "MB/s       10^6 bytes a second",
)
_LANE_RULES = (
    "request    a request of b bytes adds request us + b * ps/byte to the time of all",
    "MB/s, IOPS of requests of 512 KiB, of 4 KiB",
)


def profile_table(document: Mapping[str, Any]) -> str:
    """Return the tables of a ``tmemstore.profile/1`` document: what was measured, if it is there, and the fit.

    Raises KeyError for a document that lacks a key of the schema.
    """
    lines = [f"Storage profile of {document['name']}, {document['source']}"]
    if "measurements" in document:
        lines += ["", *_grid(document["measurements"])]
    lines += ["", *_lanes(document["lanes"])]
    for size_number, size_bytes in enumerate(request["bytes"] for request in document["lanes"]["write"]["requests"]):
        lines += ["", f"{size_text(size_bytes)} requests, ms each", *_times(document["lanes"], size_number)]
    lines += ["", *_sync_and_cpu(document)]
    if document["notes"]:
        lines += ["", *(line for note in document["notes"] for line in _wrapped(note))]
    return "\n".join(lines) + "\n"


def _grid(measurements: Mapping[str, Any]) -> Iterator[str]:
    direct = "with" if measurements["direct"] else "without"
    yield (
        f"{measurements['written_bytes'] >> 20} MiB written in {measurements['elapsed_ns'] / 1e9:.1f} s, "
        f"{direct} O_DIRECT"
    )
    yield _line(_GRID + _TIMES)
    for cell in measurements["cells"]:
        cells = (
            _spoken(cell["pattern"]),
            size_text(cell["block_bytes"]),
            str(cell["depth"]),
            str(cell["requests"]),
            _rate(cell["bytes_per_s"]),
            str(cell["iops"]),
            *(milliseconds(cell[name]) for name in _QUANTILES),
        )
        yield _line(_GRID + _TIMES, cells)
    yield from _GRID_RULES


def _lanes(lanes: Mapping[str, Any]) -> Iterator[str]:
    yield _line(_LANES)
    for name, lane in lanes.items():
        cells = (
            _spoken(name),
            f"{lane['request_ns'] / _US:.1f}",
            str(lane["byte_ps"]),
            _rate(lane["bytes_per_s"]),
            str(lane["iops"]),
        )
        yield _line(_LANES, cells)
    yield from _LANE_RULES


def _times(lanes: Mapping[str, Any], size_number: int) -> Iterator[str]:
    columns = (_LANES[0], *_TIMES)
    yield _line(columns)
    for name, lane in lanes.items():
        request = lane["requests"][size_number]
        yield _line(columns, (_spoken(name), *(milliseconds(request[quantile]) for quantile in _QUANTILES)))


def _sync_and_cpu(document: Mapping[str, Any]) -> Iterator[str]:
    sync, cpu = document["sync"], document["cpu"]
    if sync is None:
        yield "fdatasync: not measured"
    else:
        yield f"fdatasync: p50 {milliseconds(sync['p50_ns'])} ms, p99 {milliseconds(sync['p99_ns'])} ms"
    if cpu is None:
        yield "CPU: not measured"
        return
    yield (
        f"CPU, ns: allocation {cpu['t0_ns']}, frame {cpu['frame_ns']}, clean {cpu['clean_ns']}, drop {cpu['drop_ns']}, "
        f"zero {cpu['zero_ns']}, gather {cpu['object_ns']},"
    )
    yield (
        f"         move {cpu['move_ns']} + {cpu['move_ps']} ps/byte, compress again {cpu['compress_ns']} "
        f"(leaves {cpu['compress_permille'] / 10:.1f} %)"
    )


def _rate(bytes_per_s: int) -> str:
    return f"{bytes_per_s / _MB:.1f}" if bytes_per_s < 1000 * _MB else f"{bytes_per_s / _MB:.0f}"


def _spoken(lane: str) -> str:
    return str(lane).replace("_", " ")


def _wrapped(note: str) -> list[str]:
    import textwrap

    return textwrap.wrap(note, _WIDTH, initial_indent="- ", subsequent_indent="  ")


def _line(columns: Sequence[tuple[str, int]], cells: Sequence[str] | None = None) -> str:
    """Return a line of a table, its heads without cells; a negative width aligns to the left."""
    shown = [name for name, _ in columns] if cells is None else cells
    padded = (
        cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, (_, width) in zip(shown, columns, strict=True)
    )
    return " ".join(padded).rstrip()
