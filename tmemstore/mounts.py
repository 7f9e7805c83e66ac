"""Which file system a path is on, and whether it is one that lives in RAM."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})

_UNKNOWN: Final = "unknown"
_OCTAL: Final = r"\\(\d{3})"


def mount_of(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the type and the source of its file system: ("ext4", "/dev/sda1"); "unknown" without /proc."""
    here = os.path.realpath(path)
    best, kind, source = "", _UNKNOWN, _UNKNOWN
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return kind, source
    for line in lines:
        left, _, right = line.partition(" - ")
        point = _plain(left.split()[4])
        inside = here == point or here.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, (kind, source) = point, right.split()[:2]
    return kind, _plain(source)


def in_memory(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is on a file system that lives in RAM."""
    return mount_of(path)[0] in IN_MEMORY


def _plain(name: str) -> str:
    return re.sub(_OCTAL, lambda octal: chr(int(octal.group(1), 8)), name)
