"""A Python process at work that writes its own anonymous memory, page by page, to its standard output.

Run as a script by ``tmemstore.bench.anonymous``, not imported by users: ``python anonymous_child.py SHARD SHARDS``.
It parses the Python sources that are installed and derives numpy arrays from them, and after every
``ROUND_BYTES`` of source it dumps its private writable anonymous mappings and lets go of what it built.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import io
import mmap
import os
import sys
import sysconfig
import tokenize
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

PAGE = 4096
ROUND_BYTES = 5 << 18
"""Bytes of source worked on between two dumps: some 64 MiB of objects."""
BLOCK = 1 << 20
"""Bytes read at once."""
_IN_RAM_OR_SWAP = 62
_LARGEST_SOURCE = 1 << 20
_LARGEST_MAPPING = 16 << 30
"""What is larger is address space that a runtime has reserved, not memory."""


def private_writable(maps: str) -> list[tuple[int, int]]:
    """Return the address ranges of ``/proc/PID/maps`` that are private, writable and anonymous (heap, stack, mmap)."""
    ranges = []
    for line in maps.splitlines():
        addresses, rights, _offset, _device, inode, *_name = line.split(maxsplit=5)
        if rights[:2] != "rw" or rights[3] != "p" or inode != "0":
            continue
        start, end = (int(address, 16) for address in addresses.split("-"))
        if end - start <= _LARGEST_MAPPING:
            ranges.append((start, end))
    return ranges


def sources() -> Iterator[Path]:
    """Yield the Python sources of this installation, the standard library first."""
    folders = [sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "/usr/lib", "/usr/share"]
    for folder in dict.fromkeys(folders):
        for here, subfolders, names in os.walk(folder):
            subfolders[:] = sorted(set(subfolders) - {"site-packages"})
            yield from (Path(here, name) for name in sorted(names) if name.endswith(".py"))


def parsed(source: bytes) -> object:
    """Return a syntax tree of one source and arrays made from its bytes."""
    import numpy as np

    tree = ast.parse(source)
    text = np.frombuffer(source, dtype=np.uint8)
    pairs, counts = np.unique(text[:-1].astype(np.int32) * 256 + text[1:], return_counts=True)
    sums = np.cumsum(text, dtype=np.int64)[::4].copy()
    return tree, text.astype(np.float32) / 255, sums, pairs, counts, np.flatnonzero(text == ord("\n"))


def tokens(source: bytes) -> object:
    """Return the tokens of one source, the order of its bytes and its lines."""
    import numpy as np

    text = np.frombuffer(source, dtype=np.uint8)
    order = np.argsort(text, kind="stable").astype(np.int32)
    return list(tokenize.tokenize(io.BytesIO(source).readline)), order, source.split(b"\n")


def work(paths: Iterable[Path], build: Callable[[bytes], object]) -> Iterator[None]:
    """Build from one source after the other; pause after every ``ROUND_BYTES`` of source, and at the end."""
    kept: list[object] = []
    used = 0
    for path in paths:
        with contextlib.suppress(OSError, SyntaxError, ValueError, RecursionError, tokenize.TokenError):
            source = path.read_bytes()
            if 1 < len(source) <= _LARGEST_SOURCE:
                kept.append(build(source))
                used += len(source)
        if used >= ROUND_BYTES:
            yield
            kept.clear()
            used = 0
    yield


def touched_blocks(process: str) -> Iterator[tuple[int, int]]:
    """Yield the address ranges, of at most ``BLOCK`` bytes, of anonymous memory that ``/proc/PROCESS`` really uses.

    Memory that was reserved and never written to has no page frame and is passed over, where the kernel tells.
    """
    maps = Path(f"/proc/{process}/maps").read_text(encoding="utf-8", errors="replace")
    try:
        pagemap = os.open(f"/proc/{process}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        pagemap = -1
    try:
        for start, end in private_writable(maps):
            for at in range(start, end, BLOCK):
                stop = min(at + BLOCK, end)
                if pagemap < 0 or _any_frame(pagemap, at // PAGE, (stop - at) // PAGE):
                    yield at, stop
    finally:
        if pagemap >= 0:
            os.close(pagemap)


def _any_frame(pagemap: int, first: int, count: int) -> bool:
    try:
        entries = array("Q", os.pread(pagemap, count * 8, first * 8))
    except (OSError, ValueError):
        return True
    return len(entries) < count or any(entry >> _IN_RAM_OR_SWAP for entry in entries)


def dump(output: int) -> None:
    """Write every anonymous page of this process to the file descriptor ``output``."""
    # A shared mapping is not private: what passes through it is not dumped again.
    block = memoryview(mmap.mmap(-1, BLOCK))
    memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for start, stop in touched_blocks("self"):
            try:
                got = os.preadv(memory, [block[: stop - start]], start) // PAGE * PAGE
            except OSError:
                continue
            sent = 0
            while sent < got:
                sent += os.write(output, block[sent:got])
    finally:
        os.close(memory)


def main(arguments: list[str]) -> int:
    """Dump until the sources are used up or nobody reads any more."""
    shard, shards = int(arguments[0]), int(arguments[1])
    warnings.simplefilter("ignore")
    gc.disable()
    try:
        for build in (parsed, tokens):
            for _ in work(islice(sources(), shard, None, shards), build):
                dump(1)
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
