"""Pages of files that are there, as the page cache would hold them."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tmemstore.bench.arena import PAGE, Arena, Pages

_RUN_PAGES = 64
"""Pages taken from one file before the next file has its turn: no file may stand for the whole machine."""
_PASSES = (_RUN_PAGES, 1024, 1 << 20)
"""Up to which page a file is read in the first, second and last round over all files."""


def roots() -> list[list[str]]:
    """Return the folders to read, in two groups: where files are looked for first, and where only in need."""
    first = [sysconfig.get_path("stdlib"), "/usr/lib", "/usr/share"]
    spare = [sysconfig.get_path("purelib"), sys.base_prefix, "/usr/bin", "/usr/include", "/usr/local", "/opt"]
    return [_existing(first), _existing(spare)]


def _existing(folders: list[str]) -> list[str]:
    return [folder for folder in dict.fromkeys(folders) if folder and Path(folder).is_dir()]


def walk(folder: str, order: np.random.Generator) -> Iterator[str]:
    """Yield the regular files below ``folder`` in an order drawn from ``order``; symlinks are not followed."""
    pending = [folder]
    while pending:
        here = pending.pop()
        try:
            with os.scandir(here) as entries:
                listing = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        for position in order.permutation(len(listing)).tolist():
            entry = listing[position]
            try:
                if entry.is_symlink():
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path
            except OSError:
                continue


def read_pages(path: str, first_page: int, pages: int) -> Pages | None:
    """Read up to ``pages`` whole pages of a file from ``first_page`` on; the file's tail is padded with zeros.

    Returns uint8[k, 4096], or None where the file cannot be read or ends before ``first_page``.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            data = os.pread(handle, pages * PAGE, first_page * PAGE)
        finally:
            os.close(handle)
    except OSError:
        return None
    if not data:
        return None
    padded = data.ljust(-(-len(data) // PAGE) * PAGE, b"\0")
    return np.frombuffer(padded, dtype=np.uint8).reshape(-1, PAGE)


def blocks(order: np.random.Generator) -> Iterator[Pages]:
    """Yield runs of file pages of this machine until there are no more, many files interleaved."""
    visited: set[str] = set()
    for group in roots():
        start = 0
        deeper: list[str] = []
        for stop in _PASSES:
            paths = _round_robin(group, order, visited) if start == 0 else iter(deeper)
            longer: list[str] = []
            for path in paths:
                block = read_pages(path, start, stop - start)
                if block is None:
                    continue
                if len(block) == stop - start:
                    longer.append(path)
                yield block
            start, deeper = stop, longer


def _round_robin(folders: list[str], order: np.random.Generator, visited: set[str]) -> Iterator[str]:
    walks = [walk(folder, order) for folder in folders]
    while walks:
        for one in list(walks):
            path = next(one, None)
            if path is None:
                walks.remove(one)
            elif path not in visited:
                visited.add(path)
                yield path


def collect(source: Iterator[Pages], arena: Arena, wanted: int) -> int:
    """Add pages of ``source`` to ``arena`` until it holds ``wanted``; return how many it holds then."""
    while arena.count < wanted:
        block = next(source, None)
        if block is None:
            break
        for start in range(0, len(block), _RUN_PAGES):
            arena.add(block[start : start + _RUN_PAGES])
            if arena.count >= wanted:
                break
    return arena.count
