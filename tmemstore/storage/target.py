"""What a calibration writes to: a scratch file beside the spill file, or a device that is ours, never anything else."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tmemstore.errors import SpillError
from tmemstore.region import MIN_BYTES, Region
from tmemstore.storage.identity import is_block_device
from tmemstore.stores.tmem import TmemStore
from tmemstore.units import PAGE_SIZE, format_size

PROBE_BYTES: Final = PAGE_SIZE
"""Written while the target is opened."""
_DEVICE_START_BYTES: Final = 1 << 20
"""The header of a spill device lies before it and stays."""


@dataclass(frozen=True, slots=True)
class Target:
    """An open file or device. Requests lie in `[start_bytes, start_bytes + size_bytes)`.

    `direct`: O_DIRECT is in use; else each write is made durable by an fdatasync, as the store does it.
    """

    path: str
    fd: int
    start_bytes: int
    size_bytes: int
    direct: bool


@contextlib.contextmanager
def open_target(spill: str | os.PathLike[str], size_bytes: int, *, overwrite: bool = False) -> Iterator[Target]:
    """Gives the target for a spill path: a file (there or not), a folder, or a block device.

    Of a file nothing is touched: a scratch file beside it is used, without a name, so that it vanishes whatever
    happens. A device must hold our header, or `overwrite` gives up what it holds. Raises `SpillError`.
    """
    path = os.fspath(spill)
    with contextlib.ExitStack() as stack:
        try:
            if is_block_device(path):
                _take_device(path, overwrite=overwrite)
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_EXCL)
                start_bytes = _DEVICE_START_BYTES
            else:
                fd = _scratch(path, size_bytes)
                start_bytes = 0
            stack.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if start_bytes and os.lseek(fd, 0, os.SEEK_END) < start_bytes + size_bytes:
                raise SpillError(f"{path} is smaller than {format_size(start_bytes + size_bytes)}; lower the limit")
            direct = _try_direct(fd, start_bytes)
        except OSError as error:
            raise SpillError(
                f"{path}: cannot calibrate there: {error.strerror or error}; choose a file, folder or block device "
                "that can be written"
            ) from error
        yield Target(path, fd, start_bytes, size_bytes, direct)


def _take_device(path: str, *, overwrite: bool) -> None:
    """Lets the store open the device: it refuses what is mounted, locked or foreign, and leaves its header."""
    region = Region(MIN_BYTES)
    try:
        TmemStore(region, spill=path, codec="none", spill_overwrite=overwrite).close()
    except SpillError as error:
        raise SpillError(str(error).replace("spill_overwrite=True", "overwrite=True")) from error
    finally:
        region.close()


def _scratch(path: str, size_bytes: int) -> int:
    here = Path(path)
    if here.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if here.exists() and not here.is_file() and not here.is_dir():  # a pipe, or /dev/null: no store opens it
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    folder = path if here.is_dir() else os.path.dirname(path) or "."  # noqa: PTH120 - "a/b/.." stays as it is
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < size_bytes:
        raise SpillError(
            f"{folder} has less than {format_size(size_bytes)} free; free some space, or lower the limit"
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    fd, name = tempfile.mkstemp(prefix=".tmemstore-calibrate-", dir=folder)
    os.unlink(name)  # noqa: PTH108 - the file lives on by its descriptor
    return fd


def _try_direct(fd: int, start_bytes: int) -> bool:
    """Switches O_DIRECT on if it works here; only a write tells."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
        with mmap.mmap(-1, PROBE_BYTES) as page:
            os.pwrite(fd, page, start_bytes)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        return False
    return True
