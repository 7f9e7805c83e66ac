"""What the `storage` argument may be, and what comes of it."""

from __future__ import annotations

import os
from pathlib import Path

from tmemstore.storage.emulated import PREFIX, EmulatedDevice
from tmemstore.storage.presets import PRESETS
from tmemstore.storage.profile import StorageProfile


def storage(value: StorageProfile | EmulatedDevice | str | os.PathLike[str]) -> StorageProfile | EmulatedDevice:
    """The profile or the emulated device that a value names.

    A profile and an emulated device are taken as they are; a string is a preset, "emulate:..." (see
    `EmulatedDevice.parse`) or the path of a profile or of the JSON output of fio. Raises `ValueError` for a string
    that is none of these, `ProfileError` for a file that is broken, `TypeError` for another type.
    """
    if isinstance(value, StorageProfile | EmulatedDevice):
        return value
    if not isinstance(value, str):
        if isinstance(value, os.PathLike):
            return StorageProfile.load(value)
        raise TypeError(f"storage must be a StorageProfile, an EmulatedDevice or a string, not {type(value).__name__}")
    if value in PRESETS:
        return PRESETS[value]
    if value.startswith(PREFIX):
        return EmulatedDevice.parse(value.removeprefix(PREFIX))
    if "\0" not in value and value and Path(value).exists():
        return StorageProfile.load(value)
    raise ValueError(
        f"{value!r} is no storage that is known: name a preset ({', '.join(PRESETS)}), "
        f'"{PREFIX}PRESET,key=value", or the path of a profile or of the JSON output of fio'
    )
