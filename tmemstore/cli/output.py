"""Writing results: one document to standard output, remarks to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any


def json_text(document: Any) -> str:
    """Return a result document as JSON; a value that JSON has no word for is an error, not a surprise."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write(text: str) -> None:
    """Write a result to standard output; a reader that has gone away (``| head``) is not an error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer must not complain when Python exits.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def remark(text: str) -> None:
    """Write one line to standard error."""
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def remarks_of(document: Mapping[str, Any]) -> None:
    """Write what a result document says of its own noise."""
    for text in document["remarks"]:
        remark(text)


@contextlib.contextmanager
def progress(*, wanted: bool) -> Iterator[Callable[[str, float], None] | None]:
    """Give a function that shows what is being done and how much is behind, or None.

    It shows on a terminal only, and only where rich is installed (pip install 'tmemstore[progress]').
    """
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        yield None
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def show(text: str, fraction: float) -> None:
            bar.update(task, description=text, completed=fraction)

        yield show
