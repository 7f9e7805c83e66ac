"""What a result was measured on: everything that explains a figure, nothing that names the machine or its owner."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path

_RAM_FILESYSTEMS = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def cpu_model() -> str:
    """Return the CPU's name as the kernel gives it, or the architecture where it gives none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    match = re.search(r"^(?:model name|Hardware|Processor)\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else platform.machine()


def memory_bytes(field: str = "MemTotal") -> int | None:
    """Return a field of ``/proc/meminfo`` in bytes (None where there is no such field)."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(rf"^{re.escape(field)}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def mount_of(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the file system type and the source device (``"ext4", "/dev/sda1"``) that ``path`` is on."""
    here = os.path.realpath(path)
    best, kind, source = "", "unknown", "unknown"
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return kind, source
    for line in lines:
        left, _, right = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal.group(1), 8)), left.split()[4])
        inside = here == point or here.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, (kind, source) = point, right.split()[:2]
    return kind, source


def in_memory(path: str | os.PathLike[str]) -> bool:
    """Return whether ``path`` is on a file system that lives in RAM."""
    return mount_of(path)[0] in _RAM_FILESYSTEMS


def describe() -> dict[str, object]:
    """Return kernel, CPU, cores, memory and Python of this machine; no host name, no user, no path."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes(),
        "transparent_hugepage": transparent_hugepage(),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "tmemstore": version(),
    }


def version() -> str:
    """Return the version of tmemstore that is installed."""
    return importlib.metadata.version("tmemstore")


def transparent_hugepage() -> str | None:
    """Return the mode that is switched on ("always", "madvise", "never"), or None where the kernel has none."""
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"\[(\w+)\]", text)
    return match.group(1) if match else None


def hugetlb_pool() -> tuple[int, int]:
    """Return how many huge pages are reserved and the bytes of one; zeros where the kernel has none."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 0, 0
    match = re.search(r"^HugePages_Total:\s+(\d+)$", text, re.MULTILINE)
    return int(match.group(1)) if match else 0, memory_bytes("Hugepagesize") or 0
