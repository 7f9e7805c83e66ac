"""The options that say what store is opened and how a trace is run, for every subcommand that has them."""

from __future__ import annotations

from typing import Any

from tmemstore.cli.promises import confidence
from tmemstore.cli.usage import checked, one_of, size, whole


def add_region(add: Any) -> None:
    """Add ``--region``."""
    add("--region", type=size, default="256MiB", metavar="SIZE", help="the reserved area (default: 256MiB)")


def add_confidence(add: Any, of: str) -> None:
    """Add ``--confidence``; `of`: what."""
    add("--confidence", type=confidence, default="99.9", metavar="PERCENT", help=f"of {of} (default: 99.9)")


def add_escape(add: Any, default: str) -> None:
    """Add ``--escape``, so much by default."""
    text = f"memory outside the area to move pages to (default: {default})"
    add("--escape", type=size, default=default, metavar="SIZE", help=text)


def add_codec(add: Any) -> None:
    """Add ``--codec``."""
    add(
        "--codec",
        type=one_of("lz4", "zstd", "none"),
        default="lz4",
        metavar="CODEC",
        help="how frontswap pages are kept: lz4, zstd or none (default: lz4)",
    )


def add_writeback(add: Any) -> None:
    """Add ``--writeback``."""
    add(
        "--writeback",
        type=one_of("back", "behind", "through"),
        default="behind",
        metavar="POLICY",
        help="when frontswap pages are written: back (if asked to reclaim), behind (cold ones, in the background) or "
        "through (every store) (default: behind)",
    )


def add_load(add: Any) -> None:
    """Add how a trace is run: its allocations, its times, what is drawn."""
    add(
        "--allocate",
        metavar="SIZE@PERIOD[:HOLD]",
        help="take a range back every PERIOD, and keep it for HOLD (default: with a contract 1000 of its size at "
        "random times, each kept 100 ms or less, unless the trace has some; HOLD: 100ms)",
    )
    add("--time-scale", type=checked(factor), default="1", metavar="F", help="times of the trace times F (default: 1)")
    add("--rate", type=checked(factor), metavar="OPS", help="events a second, in place of the trace's times")
    add("--seed", type=whole(0), default="1", metavar="N", help="of sizes, allocations and the device (default: 1)")


def factor(text: str) -> float:
    """Return a number above 0, at most 1e9; raises ValueError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e9:  # noqa: PLR2004 - no trace is that long
        raise ValueError(f"{text!r} is no number above 0 and at most 1e9")
    return value
