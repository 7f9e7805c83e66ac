"""Which device a spill path is on, so that figures of one are not taken for figures of another."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tmemstore.mounts import mount_of
from tmemstore.storage.sample import check_whole
from tmemstore.units import format_size

KINDS: Final = ("file", "block")


@dataclass(frozen=True, slots=True)
class DeviceId:
    """What figures were measured on.

    `filesystem`: its type, "ext4", or "none" for a bare device. `device`: where the file system is from, "/dev/sda1".
    `size_bytes`: of the file system or device. `kind`: "file" or "block". Raises `TypeError`, `ValueError`.
    """

    filesystem: str
    device: str
    size_bytes: int
    kind: str

    def __post_init__(self) -> None:
        """Refuses sizes below zero and kinds that do not exist."""
        for name in ("filesystem", "device"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a string, not {type(getattr(self, name)).__name__}")
        check_whole("size_bytes", self.size_bytes, 2**63 - 1)
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")

    def __str__(self) -> str:
        where = self.device if self.kind == "block" else f"{self.filesystem} on {self.device}"
        return f"{where} ({format_size(self.size_bytes)})"


def device_of(path: str | os.PathLike[str]) -> DeviceId:
    """The device of a spill path, whether the file exists already or not. `OSError` if no folder of it does."""
    here = Path(os.path.realpath(path))
    if is_block_device(here):
        return DeviceId("none", str(here), _block_bytes(here), "block")
    filesystem, source = mount_of(here)
    folder = here
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    room = os.statvfs(folder)
    return DeviceId(filesystem, source, room.f_blocks * room.f_frsize, "file")


def is_block_device(path: str | os.PathLike[str]) -> bool:
    """True if the path is a block device; False if it is not, or not there."""
    try:
        return stat.S_ISBLK(Path(path).stat().st_mode)
    except OSError:
        return False


def _block_bytes(device: Path) -> int:
    """The size as the kernel lists it: opening the device may need rights that reading a profile does not."""
    number = device.stat().st_rdev
    listed = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/size")
    return int(listed.read_text(encoding="ascii")) * 512
