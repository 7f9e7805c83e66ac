"""What ``tmemstore doctor`` looks at, one function for each thing."""

from __future__ import annotations

import errno
import importlib.util
import os
import platform
import resource
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import tmemstore
from tmemstore.bench import machine
from tmemstore.mounts import mount_of

OK = "ok"
OPTIONAL = "optional"
MISSING = "missing"

_DEFAULT_CODEC = "lz4"
_LIKELY_REGION = 256 << 20
_SMALL_REGION = 1 << 20
_LARGE_REGION = 64 << 20
_THP = "/sys/kernel/mm/transparent_hugepage/enabled"
_LIBRARY = "no command needs it, only programs with tmemstore.open({}=True)"
_IO_URING_SINCE = (5, 1)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: its state, what was found, and what to do (None: nothing)."""

    name: str
    state: str
    found: str
    advice: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """Return the check as it stands in the JSON document."""
        return asdict(self)


def all_checks(spill: str | None) -> list[Check]:
    """Look at everything; ``spill`` is a file, a block device or a folder (None: the current folder)."""
    return [
        *region(),
        transparent_hugepages(),
        hugetlb(),
        mlock(),
        direct_io(spill),
        io_uring(),
        *codecs(),
        *optional_parts(),
    ]


def region() -> Iterator[Check]:
    """Reserve an area that is larger than most caches, and see how pages are copied into it."""
    try:
        area = tmemstore.Region(_LARGE_REGION)
    except tmemstore.EnvironmentLacks as error:
        yield Check("region", MISSING, str(error), "free some memory, or raise its limit (ulimit -v)")
        return
    variant = area.copy_variant
    area.close()
    yield Check("region", OK, "an area can be reserved")
    if variant == "plain":
        yield Check("copy variant", OPTIONAL, variant, "nothing to do: this processor has no faster way that is known")
    else:
        yield Check("copy variant", OK, variant)


def transparent_hugepages() -> Check:
    """Look at the mode of transparent huge pages."""
    mode = machine.transparent_hugepage()
    if mode in {"always", "madvise"}:
        return Check("huge pages", OK, f"transparent ({mode})")
    why = "copies into the area are slower without"
    if mode is None:
        return Check("huge pages", OPTIONAL, "not in this kernel", f"take one with CONFIG_TRANSPARENT_HUGEPAGE; {why}")
    return Check("huge pages", OPTIONAL, f"transparent ({mode})", f"echo madvise | sudo tee {_THP} ({why})")


def hugetlb() -> Check:
    """Look at the pool of reserved huge pages, for ``hugetlb=True``."""
    total, size = machine.hugetlb_pool()
    if total:
        return Check("hugetlb pool", OK, f"{total} pages of {size >> 10} KiB")
    count = _LIKELY_REGION // size if size else 0
    advice = f"sudo sysctl vm.nr_hugepages={count} holds a region of 256 MiB; {_LIBRARY.format('hugetlb')}"
    return Check("hugetlb pool", OPTIONAL, "empty" if size else "not in this kernel", advice if count else None)


def mlock() -> Check:
    """Look at the limit of locked memory, for ``mlock=True``."""
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit == resource.RLIM_INFINITY or os.geteuid() == 0:
        return Check("mlock limit", OK, "none" if limit == resource.RLIM_INFINITY else "none for root")
    found = f"{limit >> 10} KiB"
    if limit >= _LIKELY_REGION:
        return Check("mlock limit", OK, found)
    advice = f"raise memlock in /etc/security/limits.conf; {_LIBRARY.format('mlock')}"
    return Check("mlock limit", OPTIONAL, found, advice)


def direct_io(spill: str | None) -> Check:
    """Open a small store with a spill file where ``spill`` is, and see whether O_DIRECT is had."""
    path = Path(spill or ".").absolute()
    unusable = OPTIONAL if spill is None else MISSING
    try:
        if path.exists() and stat.S_ISBLK(path.stat().st_mode):
            return _device(path)
        folder = path if path.is_dir() else path.parent
        scratch = tempfile.mkdtemp(prefix=".tmemstore-doctor-", dir=folder)
    except OSError as error:
        return Check(
            "spill path", unusable, f"{path}: {error.strerror}", "name a folder you may write to: --spill PATH"
        )
    cost = tmemstore.CostModel()  # nothing is measured, and nothing written but the first block
    try:
        with tmemstore.open(_SMALL_REGION, spill=Path(scratch, "spill.img"), codec="none", storage=cost) as tm:
            info = tm.spill
    except tmemstore.TmemError as error:
        return Check("spill path", unusable, str(error), "name another place: --spill PATH")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    where = f"{mount_of(folder)[0]}, {shutil.disk_usage(folder).free >> 20} MiB free"
    if info is not None and info.direct:
        return Check("spill path", OK, f"O_DIRECT on {where}")
    advice = "page-out is slower without; put the spill file on ext4, xfs, btrfs, f2fs or a block device"
    return Check("spill path", OPTIONAL, f"no O_DIRECT on {where}", advice)


def _device(path: Path) -> Check:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_DIRECT))
    except OSError as error:
        if error.errno == errno.EINVAL:
            return Check("spill path", OPTIONAL, "a block device without O_DIRECT", "take another device")
        return Check("spill path", MISSING, f"{path}: {error.strerror}", "run as a user who may write to the device")
    return Check("spill path", OK, "a block device with O_DIRECT")


def io_uring() -> Check:
    """Tell whether io_uring is allowed; tmemstore has I/O threads of its own and does not need it."""
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    try:
        setting = Path("/proc/sys/kernel/io_uring_disabled").read_text(encoding="ascii").strip()
    except OSError:
        setting = "0"
    if numbers < _IO_URING_SINCE:
        state = f"not in kernel {release}"
    else:
        state = {"0": "allowed", "1": "for its group only", "2": "switched off"}.get(setting, "unknown")
    return Check("io_uring", OK, f"{state}; not needed, tmemstore uses I/O threads")


def codecs() -> Iterator[Check]:
    """Tell where the functions of each codec come from."""
    for name, origin in tmemstore.codec_origins().items():
        if origin is not None:
            yield Check(f"codec {name}", OK, origin)
        else:
            state = MISSING if name == _DEFAULT_CODEC else OPTIONAL
            yield Check(f"codec {name}", state, "not found", tmemstore.codec_advice(name))


def optional_parts() -> Iterator[Check]:
    """Look for the Python packages that make pictures and progress bars, and reach a cluster."""
    for package, what, extra in (
        ("matplotlib", "pictures", "plot"),
        ("rich", "progress bars", "progress"),
        ("distributed", "Dask clusters", "dask"),
    ):
        if importlib.util.find_spec(package):
            yield Check(what, OK, package)
        else:
            yield Check(what, OPTIONAL, f"no {package}", f"pip install 'tmemstore[{extra}]'")
