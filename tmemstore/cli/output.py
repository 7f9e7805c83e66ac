"""Writing results: one document to standard output, remarks to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO


class OutputError(Exception):
    """Standard output takes no more; the message is a sentence for the user."""


def json_text(document: Any) -> str:
    """Return a result document as JSON; a value that JSON has no word for is an error, not a surprise."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write(text: str) -> None:
    """Write a result to standard output; a reader that has gone away (``| head``) is not an error.

    Raises OutputError where nothing can be written there: a full disk, an output that was closed.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed; nothing was printed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up(sys.stdout)
    except OSError as error:
        _give_up(sys.stdout)
        raise OutputError(
            f"standard output cannot be written to ({error.strerror or error}); make room, or send it elsewhere"
        ) from error


def remark(text: str) -> None:
    """Write one line to standard error; where that cannot be, nobody is left to be told."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _give_up(sys.stderr)


def _give_up(stream: TextIO) -> None:
    """Send what is left in the buffer to nowhere, so that Python does not complain when it exits."""
    with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


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
