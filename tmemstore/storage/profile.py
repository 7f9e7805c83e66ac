"""A storage profile: how long requests of a device take, and what the work around them costs the CPU."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from tmemstore.errors import ProfileError
from tmemstore.quantiles import nearest_rank
from tmemstore.storage.document import Fields, read_json
from tmemstore.storage.identity import KINDS, DeviceId, device_of
from tmemstore.storage.sample import PERMILLE_MAX, check_sample, check_whole

SCHEMA: Final = "tmemstore.profile/1"
SOURCES: Final = ("measured", "assumed")
LANES: Final = ("write", "read", "random_write", "random_read")

SMALL_BYTES: Final = 4 << 10
LARGE_BYTES: Final = 512 << 10
"""A batch of the store, and the requests of a load: profiles give the quantiles of both sizes."""

QUANTILES: Final = (("p50_ns", 0.5), ("p99_ns", 0.99), ("p999_ns", 0.999))

_CPU_RATIOS: Final = ("pack_permille", "compress_permille")
_CPU_PERMILLES: Final = frozenset({*_CPU_RATIOS, "spread_permille"})


@dataclass(frozen=True, slots=True)
class Lane:
    """One direction of a device: a request of b bytes takes `request_ns` + b * `byte_ps` / 1000 ns.

    `byte_ps`: picoseconds. Both are what a request adds to the time of many at the depth they are sent at, so that
    times of requests add up. `spread_permille`: measured / fitted time of single requests, a sorted sample of 1 to
    2048. Raises `TypeError`, `ValueError`.
    """

    request_ns: int
    byte_ps: int
    spread_permille: tuple[int, ...] = (1000,)

    def __post_init__(self) -> None:
        """Refuses coefficients below zero and samples that are empty or unsorted."""
        check_whole("request_ns", self.request_ns)
        check_whole("byte_ps", self.byte_ps)
        check_sample("spread_permille", self.spread_permille)

    def request_time_ns(self, request_bytes: int) -> int:
        """The fitted time of one request of so many bytes, in ns."""
        return self.request_ns + request_bytes * self.byte_ps // 1000

    def quantile_permille(self, q: float) -> int:
        """The nearest-rank quantile of measured / fitted time; q is a fraction, else `ValueError`."""
        return nearest_rank(self.spread_permille, q)

    def quantile_ns(self, request_bytes: int, q: float) -> int:
        """The time that the fraction q of requests of so many bytes does not exceed, in ns."""
        return self.request_time_ns(request_bytes) * self.quantile_permille(q) // 1000

    @property
    def iops(self) -> int:
        """Requests of 4 KiB a second."""
        return round(10**9 / max(1, self.request_time_ns(SMALL_BYTES)))

    @property
    def bytes_per_s(self) -> int:
        """Bytes a second in requests of 512 KiB."""
        return round(LARGE_BYTES * 10**9 / max(1, self.request_time_ns(LARGE_BYTES)))

    def to_document(self) -> dict[str, Any]:
        """The lane as it stands in a profile; rates and quantiles are there for the reader."""
        return {
            "request_ns": self.request_ns,
            "byte_ps": self.byte_ps,
            "iops": self.iops,
            "bytes_per_s": self.bytes_per_s,
            "requests": [
                {"bytes": size} | {name: self.quantile_ns(size, q) for name, q in QUANTILES}
                for size in (SMALL_BYTES, LARGE_BYTES)
            ],
            "spread_permille": list(self.spread_permille),
        }

    @classmethod
    def from_fields(cls, lane: Fields) -> Lane:
        """A lane of a document; `ProfileError` for a field that is missing or wrong, the derived ones included."""
        for name in ("iops", "bytes_per_s"):
            lane.whole(name, 2**63 - 1)
        requests = list(lane.groups("requests"))
        if not requests:
            lane.refuse("requests", "a list of the times of some sizes", "an empty one")
        for request in requests:
            request.whole("bytes")
            for name, _ in QUANTILES:
                request.whole(name, 2**128)
        return cls(lane.whole("request_ns"), lane.whole("byte_ps"), lane.sample("spread_permille"))


@dataclass(frozen=True, slots=True)
class CpuProfile:
    """What a reclaim costs the CPU; times in ns, `move_ps` in picoseconds a byte.

    `t0_ns`: an allocation of one free frame. `frame_ns`: isolating and claiming a frame. `clean_ns`: giving up one
    clean page. `drop_ns`: dropping one frontswap page that has a copy.
    `move_ns` + bytes * `move_ps` / 1000: migrating one object. `pack_ns`, `pack_permille`: compressing a raw
    page with lz4, and what is left of its bytes; `compress_ns`, `compress_permille`: the same for a page kept as lz4,
    compressed again with zstd. `object_ns`: gathering one object into a write.
    `zero_ns`: zeroing one frame. `spread_permille`: measured / typical time of such work, a sorted sample of 1 to
    2048. Raises `TypeError`, `ValueError`.
    """

    t0_ns: int
    frame_ns: int
    clean_ns: int
    drop_ns: int
    move_ns: int
    move_ps: int
    pack_ns: int
    pack_permille: int
    compress_ns: int
    compress_permille: int
    object_ns: int
    zero_ns: int
    spread_permille: tuple[int, ...] = (1000,)

    def __post_init__(self) -> None:
        """Refuses coefficients below zero and samples that are empty or unsorted."""
        for name in self.coefficients():
            check_whole(name, getattr(self, name))
        for name in _CPU_RATIOS:
            check_whole(name, getattr(self, name), PERMILLE_MAX)
        check_sample("spread_permille", self.spread_permille)

    @classmethod
    def coefficients(cls) -> tuple[str, ...]:
        """The names of the fields that are times."""
        return tuple(field.name for field in fields(cls) if field.name not in _CPU_PERMILLES)

    def to_document(self) -> dict[str, Any]:
        """The figures as they stand in a profile."""
        document = {field.name: getattr(self, field.name) for field in fields(self)}
        return document | {"spread_permille": list(self.spread_permille)}

    @classmethod
    def from_fields(cls, cpu: Fields) -> CpuProfile:
        """The CPU's part of a document; `ProfileError` for a field that is missing or wrong."""
        return cls(
            **{name: cpu.whole(name) for name in cls.coefficients()},
            **{name: cpu.whole(name, PERMILLE_MAX) for name in _CPU_RATIOS},
            spread_permille=cpu.sample("spread_permille"),
        )


@dataclass(frozen=True, slots=True)
class StorageProfile:
    """What is known about a device. `source`: "measured" or "assumed".

    `write`, `read`: sequential; `random_write`, `random_read`: anywhere. `sync_ns`: p50 and p99 of an fdatasync, or
    None. `cpu`: the machine's share, or None. `device`: what it was measured on, or None. `notes`: what a reader
    should know, in words. Raises `TypeError`, `ValueError`.
    """

    name: str
    source: str
    write: Lane
    read: Lane
    random_write: Lane
    random_read: Lane
    sync_ns: tuple[int, int] | None = None
    cpu: CpuProfile | None = None
    device: DeviceId | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses sources that do not exist and sync times that run backwards."""
        if self.source not in SOURCES:
            raise ValueError(f"source must be one of {', '.join(SOURCES)}, not {self.source!r}")
        for name in LANES:
            if not isinstance(getattr(self, name), Lane):
                raise TypeError(f"{name} must be a Lane, not {type(getattr(self, name)).__name__}")
        if self.sync_ns is not None:
            p50_ns, p99_ns = self.sync_ns
            check_whole("sync_ns", p99_ns)
            check_whole("sync_ns", p50_ns, p99_ns)

    def to_document(self) -> dict[str, Any]:
        """The profile as plain data for JSON; times are integers, their unit stands last in their names."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "source": self.source,
            "device": None
            if self.device is None
            else {field.name: getattr(self.device, field.name) for field in fields(self.device)},
            "lanes": {name: getattr(self, name).to_document() for name in LANES},
            "sync": None if self.sync_ns is None else dict(zip(("p50_ns", "p99_ns"), self.sync_ns, strict=True)),
            "cpu": None if self.cpu is None else self.cpu.to_document(),
            "notes": list(self.notes),
        }

    @classmethod
    def from_document(cls, document: Any, *, where: str = "the document") -> Self:
        """The profile that `to_document` described; more fields than its own are passed over.

        `where`: the name of the file, for messages. `ProfileError` that names the field for everything that is wrong.
        """
        found = Fields(document, where)
        schema = found.text("schema")
        if schema != SCHEMA:
            found.refuse("schema", f'"{SCHEMA}"', f"{schema[:40]!r}; calibrate again, or convert it")
        lanes = found.group("lanes")
        cpu = found.group_or_none("cpu")
        return cls(
            name=found.text("name"),
            source=found.text("source", *SOURCES),
            **{name: Lane.from_fields(lanes.group(name)) for name in LANES},
            sync_ns=_sync(found.group_or_none("sync")),
            cpu=None if cpu is None else CpuProfile.from_fields(cpu),
            device=_device(found.group_or_none("device")),
            notes=found.texts("notes"),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the profile as JSON. `OSError` if the file cannot be written."""
        Path(path).write_text(json.dumps(self.to_document(), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StorageProfile:
        """The profile in a file: one that was saved, or the JSON output of fio, which is converted.

        `ProfileError` that names the file and the field for everything that is wrong with it.
        """
        document = read_json(path)
        where = os.fspath(path)
        if isinstance(document, dict) and "fio version" in document and "jobs" in document:
            from tmemstore.storage.fio import from_fio

            return from_fio(document, where=where)
        return cls.from_document(document, where=where)

    def check_device(self, spill_path: str | os.PathLike[str]) -> None:
        """`ProfileError` if the profile was measured on another device than the spill path is on; it names both.

        A profile that does not know its device (a preset, fio's output) passes.
        """
        if self.device is None:
            return
        found = device_of(spill_path)
        if found != self.device:
            raise ProfileError(
                f"the profile {self.name!r} was measured on {self.device}, but {os.fspath(spill_path)} is on {found}; "
                "calibrate there, or choose a spill file on the device that was measured"
            )


def _sync(sync: Fields | None) -> tuple[int, int] | None:
    if sync is None:
        return None
    p99_ns = sync.whole("p99_ns")
    return sync.whole("p50_ns", p99_ns), p99_ns


def _device(device: Fields | None) -> DeviceId | None:
    if device is None:
        return None
    return DeviceId(
        filesystem=device.text("filesystem"),
        device=device.text("device"),
        size_bytes=device.whole("size_bytes", 2**63 - 1),
        kind=device.text("kind", *KINDS),
    )
