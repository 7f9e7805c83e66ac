"""What the benchmarks that measure by turns, in rounds, have in common: bench ops and bench copy."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tmemstore.cli import output, results
from tmemstore.cli.usage import UsageError, several, size, whole

A = TypeVar("A")

_LEAST = 7


def add_region(add: Callable[..., Any], default: str, what: str) -> None:
    """Add by `add` how large the store is."""
    add("--region", type=size, default=default, metavar="SIZE", help=f"{what} (default: {default})")


def add_rounds(add: Callable[..., Any], default: int) -> None:
    """Add by `add` how often each is measured."""
    add(
        "--rounds",
        type=whole(_LEAST),
        default=str(default),
        metavar="N",
        help=f"of each, at least {_LEAST} (default: {default})",
    )


def add_names(add: Callable[..., Any], option: str, kind: str, names: Sequence[str], what: str) -> None:
    """Add by `add` an option that takes some of these names; ``kind``: what one of them is called."""

    def parse(text: str) -> str:
        name = text.strip()
        if name not in names:
            raise ValueError(f"{name!r} is no {kind}; choose of {', '.join(names)}")
        return name

    add(
        option,
        type=several(parse),
        default=",".join(names),
        metavar="LIST",
        help=f"{what}, separated by commas, see below (default: all)",
    )


def measure(
    name: str,
    options: argparse.Namespace,
    arguments: Callable[[], A],
    run: Callable[[A, Callable[[str, float], None] | None], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
) -> int:
    """Measure, write DIR/NAME.json, print; returns 0. Raises UsageError for arguments that raise ValueError."""
    try:
        made = arguments()
    except ValueError as error:
        raise UsageError(str(error)) from error
    path = options.out / f"{name}.json"
    results.prepare(options.out, path.name)
    with output.progress(wanted=not options.quiet) as show:
        document = run(made, show)
    results.deliver(document, options, path, table)
    return 0
