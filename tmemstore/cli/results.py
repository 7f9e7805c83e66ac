"""Result files: tried before the measuring, whole or not there after it; what was measured outlasts a full disk."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tmemstore.cli import output
from tmemstore.cli.usage import UsageError
from tmemstore.errors import EnvironmentLacks

_OF_THE_DEVICE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What goes wrong whatever name the user gives."""


def prepare(folder: Path, name: str) -> None:
    """Make the output folder now: after two minutes of measuring is no time to find that it cannot be made.

    Raises UsageError or EnvironmentLacks, with what to do, if the file ``name`` cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try_file(folder / name)
    except OSError as error:
        raise not_writable(f"--out {folder}", error, "folder") from error


def try_file(path: Path) -> None:
    """Open a file for writing, and leave it as it was. Raises OSError."""
    with path.open("a", encoding="utf-8"):
        pass
    if path.stat().st_size == 0:
        path.unlink()


def save(document: dict[str, Any], path: Path) -> None:
    """Write a result document, under another name until it is complete, so that there never is half of it.

    Raises OSError.
    """
    write_whole(path, output.json_text(document))


def write_whole(path: Path, text: str) -> None:
    """Write a file, under another name until it is complete. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def deliver(
    document: dict[str, Any],
    options: argparse.Namespace,
    path: Path | None,
    table: Callable[[dict[str, Any]], str],
    *,
    place: str | None = None,
    beside: Callable[[list[Path]], None] | None = None,
) -> None:
    """Write a result document, with its command in it, to its file, then what comes ``beside`` it, and print it.

    It is printed whatever cannot be written: it took minutes to measure. ``path``: None where no file is wanted.
    ``place``: the option that named it (--out DIR). ``beside``: writes more files, and adds the path of each to the
    list. Raises EnvironmentLacks at the end where there was no room; that matplotlib is missing is only said.
    """
    document["command"] = shlex.join(["tmemstore", *options.command_line])
    written: list[Path] = []
    said: list[str] = []
    failed: OSError | None = None
    try:
        if path is not None:
            save(document, path)
            written.append(path)
        if beside is not None:
            beside(written)
    except EnvironmentLacks as error:
        said.append(str(error))
    except OSError as error:
        failed = error
    output.write(output.json_text(document) if options.format == "json" else table(document))
    if not options.quiet:
        for each in written:
            output.remark(f"wrote {each}")
        for text in said:
            output.remark(text)
        output.remarks_of(document)
    if failed is not None:
        kept = f"is in {path}" if path in written else "was printed, and is in no file"
        raise EnvironmentLacks(
            f"{place or f'--out {options.out}'} cannot be written to ({failed.strerror or failed}); make room. "
            f"The result {kept}"
        ) from failed


def not_writable(place: str, error: OSError, instead: str) -> UsageError | EnvironmentLacks:
    """Return the error that says so, and to name another ``instead``: the user's, or of a device that is full."""
    said = f"{place} cannot be written to ({error.strerror or error})"
    if is_of_the_device(error):
        return EnvironmentLacks(f"{said}; make room, or name another {instead}")
    return UsageError(f"{said}; name another {instead}")


def is_of_the_device(error: BaseException | None) -> bool:
    """Whether this is a device that is full or fails."""
    return isinstance(error, OSError) and error.errno in _OF_THE_DEVICE
