"""What a result was measured on: everything that explains a figure, nothing that names the machine or its owner."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tmemstore.mounts import mount_of

_BUSY_SHARE = 0.75
"""The load average, in cores, above which times say more about the other work than about tmemstore."""
_SPREAD_PERCENT = 5
_CHECKOUT = Path(__file__).resolve().parents[2]
_GIT_S = 10


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


def storage_facts(path: str | os.PathLike[str] | None) -> dict[str, object]:
    """Return which file system and device a file is on, as ``spill`` of a result's machine; None: it has no file."""
    filesystem, device = (None, None) if path is None else mount_of(path)
    return {"filesystem": filesystem, "device": device}


def describe() -> dict[str, object]:
    """Return kernel, CPU, cores, memory and Python of this machine; no host name, no user, no path."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": cpu_model(),
        "cores": cores_usable(),
        "memory_bytes": memory_bytes(),
        "transparent_hugepage": transparent_hugepage(),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "tmemstore": version(),
    }


def condition() -> dict[str, float | int | None]:
    """Return what else goes on, to be called before anything is measured: the load average, and bytes in swap."""
    total, free = memory_bytes("SwapTotal"), memory_bytes("SwapFree")
    return {
        "load_average_before": round(os.getloadavg()[0], 2),
        "swap_used_bytes_before": None if total is None or free is None else total - free,
    }


def remarks(before: Mapping[str, float | int | None], spreads_percent: Mapping[str, float] | None = None) -> list[str]:
    """Return what makes the machine too noisy for fine differences, a sentence each; []: nothing.

    ``before``: as of `condition`. ``spreads_percent``: how far the repeats of each row spread, by its name.
    """
    said = []
    load, swap_bytes, cores = before["load_average_before"], before["swap_used_bytes_before"], cores_usable()
    if load is not None and load > _BUSY_SHARE * cores:
        said.append(
            f"noisy machine: the load average is {load:.1f} on {cores} cores; times may say more about other work"
        )
    if swap_bytes:
        said.append(f"noisy machine: {max(1, int(swap_bytes) >> 20)} MiB are in swap; times may hold page faults")
    spreads = spreads_percent or {}
    wide = [name for name, percent in spreads.items() if percent > _SPREAD_PERCENT]
    if wide:
        widest = max(wide, key=lambda name: spreads[name])
        said.append(
            f"noisy figures: {len(wide)} of {len(spreads)} rows spread by more than {_SPREAD_PERCENT} % over their "
            f"repeats, most {widest}, by {spreads[widest]:.0f} %"
        )
    return said


def cores_usable() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0))


def commit() -> str | None:
    """Return the commit of the checkout this runs from, "+" behind it if the program was changed; None elsewhere."""
    if not (_CHECKOUT / ".git").exists():
        return None
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "native", "tmemstore", "setup.py")
    return head + ("+" if changed else "") if head else None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - what is written here
            ["git", "-C", str(_CHECKOUT), *arguments],  # noqa: S607 - that of the developer
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


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
