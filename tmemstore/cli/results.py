"""Result files: tried before the measuring, whole or not there after it."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tmemstore.cli import output
from tmemstore.cli.usage import UsageError


def prepare(folder: Path, name: str) -> None:
    """Make the output folder now: after two minutes of measuring is no time to find that it cannot be made.

    Raises UsageError, with what to do, if the file ``name`` cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / name
        with probe.open("a", encoding="utf-8"):
            pass
        if probe.stat().st_size == 0:
            probe.unlink()
    except OSError as error:
        raise not_writable(folder, error) from error


def save(document: dict[str, Any], path: Path) -> None:
    """Write a result document, under another name until it is complete, so that there never is half of it.

    Raises OSError.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(output.json_text(document), encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def deliver(
    document: dict[str, Any], options: argparse.Namespace, path: Path, table: Callable[[dict[str, Any]], str]
) -> None:
    """Write a result document, with its command in it, to its file and to standard output. Raises UsageError."""
    document["command"] = shlex.join(["tmemstore", *options.command_line])
    try:
        save(document, path)
    except OSError as error:
        raise not_writable(options.out, error) from error
    output.write(output.json_text(document) if options.format == "json" else table(document))
    if not options.quiet:
        output.remark(f"wrote {path}")
        output.remarks_of(document)


def not_writable(folder: Path, error: OSError) -> UsageError:
    """Return the error that says so."""
    return UsageError(f"--out {folder} cannot be written to ({error.strerror or error}); name another folder")
