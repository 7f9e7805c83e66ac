"""The foreground jobs of `bench copy`: what they read, in which order, and what else they do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tmemstore.bench.arena import PAGE

READAHEAD_PAGES = 32
"""128 KiB, what Linux reads ahead at most unless it is told otherwise."""

_STREAM_PAGES = 256
"""1 MiB, as programs read that copy files."""

_ZIPF = 0.99
"""The skew of YCSB's workloads (B. Cooper et al., SoCC 2010)."""

_TREE_FILE_BYTES = 14_000
_TREE_SIGMA = 1.2
_SOURCES = 4
_HEADERS = ("stdio.h", "stdlib.h", "string.h", "pthread.h", "math.h", "time.h", "signal.h", "sys/socket.h")
_COMPILE_S = 60

Request = tuple[int, int, int]
"""File, first page, pages."""


@dataclass(frozen=True, slots=True)
class Job:
    """``bases``: of each file its first page on the disk. ``steps``: requests, and what is done after them.

    ``reuses``: whether it reads anything twice. ``once``: each round reads files that no round before has read.
    """

    name: str
    pages: int
    bases: tuple[int, ...]
    steps: tuple[tuple[tuple[Request, ...], Callable[[], None] | None], ...]
    reuses: bool = True
    once: bool = False


def stream(pages: int) -> Job:
    """One file larger than everything, from its beginning to its end."""
    requests = tuple((0, at, min(_STREAM_PAGES, pages - at)) for at in range(0, pages, _STREAM_PAGES))
    return Job("stream", pages, (0,), ((requests, None),), reuses=False, once=True)


def zipf(pages: int, reads: int, seed: int) -> Job:
    """Single pages of one file at random, some much more often than others."""
    random = np.random.default_rng(seed)
    weight = np.cumsum(np.arange(1, pages + 1, dtype=np.float64) ** -_ZIPF)
    ranks = np.searchsorted(weight, random.random(reads) * weight[-1])
    which = random.permutation(pages)[ranks]
    return Job("zipf", pages, (0,), ((tuple((0, page, 1) for page in which.tolist()), None),))


def tree(pages: int, seed: int) -> Job:
    """Many small files, all of them one after the other, twice."""
    random = np.random.default_rng(seed)
    sizes: list[int] = []
    while sum(sizes) < pages:
        size = random.lognormal(np.log(_TREE_FILE_BYTES) - _TREE_SIGMA**2 / 2, _TREE_SIGMA)
        sizes.append(max(1, min(pages - sum(sizes), -(-int(size) // PAGE))))
    return Job("tree, twice", pages, _bases(sizes), ((_whole(sizes) * 2, None),))


def compilation(folder: Path) -> Job | None:
    """Some C files, one after the other: all headers of each are read, then the compiler runs; None without one."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    source = folder / "source.c"
    source.write_text("".join(f"#include <{name}>\n" for name in _HEADERS) + "int answer(void) { return 42; }\n")
    listed = _run([compiler, "-M", str(source)])
    paths = [Path(word) for word in listed.replace("\\\n", " ").split() if word.endswith((".h", ".c"))]
    sizes = [-(-path.stat().st_size // PAGE) for path in paths]
    command = [compiler, "-O1", "-c", str(source), "-o", str(folder / "source.o")]

    def work() -> None:
        _run(command)

    return Job("compile", sum(sizes), _bases(sizes), ((_whole(sizes), work),) * _SOURCES)


def _run(command: list[str]) -> str:
    done = subprocess.run(  # noqa: S603 - the compiler of this machine, with arguments from here
        command, capture_output=True, text=True, check=True, timeout=_COMPILE_S
    )
    return done.stdout


def _bases(sizes: list[int]) -> tuple[int, ...]:
    return tuple(int(base) for base in np.cumsum([0, *sizes[:-1]]))


def _whole(sizes: list[int]) -> tuple[Request, ...]:
    """Each file from its beginning to its end."""
    return tuple(
        (file, at, min(READAHEAD_PAGES, size - at))
        for file, size in enumerate(sizes)
        for at in range(0, size, READAHEAD_PAGES)
    )
