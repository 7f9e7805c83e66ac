"""Devices as their data sheets describe them: assumed, not measured."""

from __future__ import annotations

from typing import Final

from tmemstore.storage.profile import SMALL_BYTES, Lane, StorageProfile

_MB: Final = 10**6

_SD_READS: Final = (
    "reads are assumed: the SD specification's least random reads of the class, at the bus rate of a UHS-I card"
)
_SHEET: Final = "sequential and random figures of a data sheet of the class; a worn or full device is slower"


def lane_of(bytes_per_s: float, iops: float | None) -> Lane:
    """The lane of a device that moves so many bytes a second and serves so many requests of 4 KiB.

    None: as many as the rate allows. A rate that is too low for the requests takes away their own time, not below 0.
    """
    byte_ps = max(1, round(10**12 / bytes_per_s))
    if iops is None:
        return Lane(0, byte_ps)
    return Lane(max(0, round(10**9 / iops - SMALL_BYTES * byte_ps / 1000)), byte_ps)


def _device(name: str, write: tuple[int, int], read: tuple[int, int], *notes: str) -> StorageProfile:
    """`write`, `read`: sequential MB (10^6 bytes) a second, random requests of 4 KiB a second."""
    writes = lane_of(write[0] * _MB, write[1])
    reads = lane_of(read[0] * _MB, read[1])
    return StorageProfile(name, "assumed", writes, reads, random_write=writes, random_read=reads, notes=notes)


PRESETS: Final = {
    profile.name: profile
    for profile in (
        _device("sd-a1", (10, 500), (80, 1500), _SHEET, _SD_READS),
        _device("sd-a2", (10, 2000), (80, 4000), _SHEET, _SD_READS),
        _device("emmc5.1", (125, 13_000), (250, 11_000), _SHEET),
        _device("ufs2.1", (255, 40_000), (860, 42_000), _SHEET),
        _device("ufs3.1", (1200, 70_000), (2100, 100_000), _SHEET),
    )
}
