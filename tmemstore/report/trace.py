"""Plain text tables of traces: what was converted, what a trace holds; they fit a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tmemstore.report.tables import plain
from tmemstore.units import format_time_ns

_NAME_WIDTH = 20
_COUNT_WIDTH = 14
_MIB = 1 << 20
_TEXT_WIDTH = 78
_RULES = (
    "working set  of cleancache: the different pages that were put or got; of",
    "             frontswap: the most slots that were live at once",
    "footprint    the different pages of both",
)


def convert_table(document: Mapping[str, Any]) -> str:
    """Return the table of a ``tmemstore.convert/1`` document. Raises KeyError for one that lacks a key."""
    lines = [f"{plain(document['input'])}: {document['kind']}", *_origin(document["origin"]), ""]
    if document["requests"]:
        lines += [_row("requests", document["requests"]), _row("  pages of them", document["pages_requested"])]
        lines.append(_row("  written back", document["pages_written_back"]))
    lines.append(_row("events", document["events"]))
    lines += [_row(f"  {name}", count) for name, count in document["operations"].items()]
    lines.append(_text_row("duration", format_time_ns(document["duration_ns"])))
    return "\n".join(lines) + "\n"


def info_table(document: Mapping[str, Any]) -> str:
    """Return the table of a ``tmemstore.trace.info/1`` document. Raises KeyError for one that lacks a key."""
    origin = document["origin"]
    lines = [f"{plain(document['trace'])}: from {plain(origin.get('kind', 'an unknown kind'))}"]
    lines += [*_origin(origin), "", _row("events", document["events"])]
    lines += [_row(f"  {name}", count) for name, count in document["operations"].items()]
    lines += [_text_row("duration", format_time_ns(document["duration_ns"])), ""]
    lines.append(f"{'':<{_NAME_WIDTH}}{'cleancache':>{_COUNT_WIDTH}}{'frontswap':>{_COUNT_WIDTH}}")
    both = document["cleancache"], document["frontswap"]
    lines.append(_pair("pools", *(_grouped(_pools(document, kind)) for kind in ("cleancache", "frontswap"))))
    lines.append(_pair("different objects", _grouped(both[0]["unique_objects"]), "-"))
    lines.append(_pair("different pages", *(_grouped(kind["unique_pages"]) for kind in both)))
    lines.append(_pair("working set, pages", *(_grouped(kind["working_set_pages"]) for kind in both)))
    lines.append(_pair("working set, MiB", *(f"{kind['working_set_bytes'] / _MIB:.1f}" for kind in both)))
    lines += ["", _text_row("footprint", f"{document['footprint_bytes'] / _MIB:.1f} MiB")]
    if document["largest_allocation_bytes"]:
        lines.append(_text_row("largest allocation", f"{document['largest_allocation_bytes'] / _MIB:.1f} MiB"))
    return "\n".join([*lines, "", *_RULES]) + "\n"


def _pools(document: Mapping[str, Any], kind: str) -> int:
    return sum(pool["kind"] == kind for pool in document["pools"])


def _pair(name: str, cleancache: str, frontswap: str) -> str:
    return f"{_text_row(name, cleancache)}{frontswap:>{_COUNT_WIDTH}}"


def _origin(origin: Mapping[str, Any]) -> Iterator[str]:
    """Lines of an origin: any JSON, since a trace may come from anywhere."""
    if "page_cache" in origin:
        yield f"through a page cache of {plain(origin['page_cache'])}"
    if note := origin.get("note"):
        yield from _wrapped(plain(note))


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, _TEXT_WIDTH, break_long_words=True)


def _row(name: str, count: int) -> str:
    return _text_row(name, _grouped(count))


def _grouped(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def _text_row(name: str, text: str) -> str:
    return f"{name:<{_NAME_WIDTH}}{text:>{_COUNT_WIDTH}}"
