"""An emulated device: the rates of a profile, with the jitter, the pauses and the bad episodes of real storage."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tmemstore.storage.presets import PRESETS, lane_of
from tmemstore.storage.profile import StorageProfile
from tmemstore.storage.sample import PERMILLE_MAX, check_whole
from tmemstore.units import PAGE_SIZE, parse_size, parse_time_ns

PREFIX: Final = "emulate:"
EPISODES_MAX: Final = 16

_SIGMA_MAX_PERMILLE: Final = 3000
_SEED_MAX: Final = 2**64 - 1
_FACTOR_MAX: Final = 1_000_000
_LONGEST_NS: Final = 1000 * 10**9
_REQUEST_BYTES: Final = 512 << 10

_RATE: Final = r"([0-9]+(?:\.[0-9]+)?)\s*([kKMG]?i?B)/s"
_RATE_UNITS: Final = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
_DECIMAL: Final = r"[0-9]+(\.[0-9]+)?"
_EPISODE: Final = r"(?:(?P<factor>[^@+]+)@)?(?P<start>[^@+]+)\+(?P<duration>[^@+]+)"
_FIGURES: Final = ("write", "write_iops", "read", "read_iops")


@dataclass(frozen=True, slots=True)
class Episode:
    """A bad time of the device. Times in ns from the opening of the device.

    `slow_permille`: 10000 is ten times slower, at least 1000; 0 is a full stall. Raises `TypeError`, `ValueError`.
    """

    start_ns: int
    duration_ns: int
    slow_permille: int

    def __post_init__(self) -> None:
        """Refuses episodes without a length, and those that would make the device faster."""
        check_whole("start_ns", self.start_ns)
        check_whole("duration_ns", self.duration_ns)
        check_whole("slow_permille", self.slow_permille, PERMILLE_MAX)
        if not self.duration_ns:
            raise ValueError("duration_ns must be positive; leave the episode out")
        if 0 < self.slow_permille < 1000:  # noqa: PLR2004 - permille
            raise ValueError(f"slow_permille must be 0 (a stall) or at least 1000, not {self.slow_permille}")


@dataclass(frozen=True, slots=True)
class EmulatedDevice:
    """A device whose requests take the times of `profile`, one after the other, in real or virtual time.

    `seed`: of all that is random. `sigma_permille`: sigma of a lognormal factor of mean 1 on each request, 0 to 3000.
    `pause_every_bytes`: mean bytes written between two pauses for garbage collection, exponential; 0: none.
    `pause_ns`: their mean length, each from 0.5 to 1.5 of it. `episodes`: at most 16. Raises `TypeError`,
    `ValueError`.
    """

    profile: StorageProfile
    seed: int = 1
    sigma_permille: int = 0
    pause_every_bytes: int = 0
    pause_ns: int = 0
    episodes: tuple[Episode, ...] = ()

    def __post_init__(self) -> None:
        """Refuses what no device could do."""
        if not isinstance(self.profile, StorageProfile):
            raise TypeError(f"profile must be a StorageProfile, not {type(self.profile).__name__}")
        check_whole("seed", self.seed, _SEED_MAX)
        check_whole("sigma_permille", self.sigma_permille, _SIGMA_MAX_PERMILLE)
        check_whole("pause_every_bytes", self.pause_every_bytes)
        check_whole("pause_ns", self.pause_ns)
        for episode in tuple(self.episodes):
            if not isinstance(episode, Episode):
                raise TypeError(f"episodes must be a tuple of Episode, not of {type(episode).__name__}")
        if len(self.episodes) > EPISODES_MAX:
            raise ValueError(f"a device has at most {EPISODES_MAX} episodes, not {len(self.episodes)}")
        if bool(self.pause_ns) != bool(self.pause_every_bytes):
            raise ValueError("pauses need both: how many bytes lie between two, and how long one is")
        if self.pause_ns >= _LONGEST_NS:
            raise ValueError(f"a pause takes less than 1000 s, not {self.pause_ns} ns")
        if 0 < self.pause_every_bytes < PAGE_SIZE:
            raise ValueError(f"between two pauses lie at least {PAGE_SIZE} bytes, not {self.pause_every_bytes}")
        for lane in (self.profile.write, self.profile.random_read):
            if lane.request_time_ns(_REQUEST_BYTES) >= _LONGEST_NS:
                raise ValueError("a request of 512 KiB takes less than 1000 s; give the device a higher rate")

    def fill(self, raw: Any) -> None:
        """Writes the device into a `struct tms_device`, all but where its data is kept."""
        raw.seed = self.seed
        raw.write_request_ns, raw.write_byte_ps = self.profile.write.request_ns, self.profile.write.byte_ps
        raw.read_request_ns = self.profile.random_read.request_ns
        raw.read_byte_ps = self.profile.random_read.byte_ps
        raw.sigma_permille = self.sigma_permille
        raw.pause_every_bytes, raw.pause_ns = self.pause_every_bytes, self.pause_ns
        for i, episode in enumerate(self.episodes):
            raw.episodes[i].start_ns = episode.start_ns
            raw.episodes[i].duration_ns = episode.duration_ns
            raw.episodes[i].slow_permille = episode.slow_permille

    @classmethod
    def parse(cls, text: str) -> Self:
        """The device that the text after "emulate:" describes: "emmc5.1,sigma=0.1,pause_every=64MiB,pause=20ms".

        First a preset or the path of a profile, or figures of one's own: "write=40MB/s,write_iops=2000" (the reads
        like the writes, unless read and read_iops say otherwise; MB are 10^6 bytes, MiB 2^20). Then seed=7, sigma,
        pause_every and pause, and any number of slow=10@2s+3s (ten times slower, from 2 s on, for 3 s) and
        stall=5s+500ms. Raises `ValueError` that names the part, `ProfileError` for a broken profile, `TypeError`
        for another type.
        """
        if not isinstance(text, str):
            raise TypeError(f"an emulated device is described by a string, not by {type(text).__name__}")
        settings: dict[str, Any] = {}
        figures: dict[str, float] = {}
        episodes: list[Episode] = []
        base, *parts = text.split(",")
        profile = None
        if "=" in base:
            parts = [base, *parts]
        else:
            profile = _base(base.strip())
        for part in parts:
            key, _, value = (piece.strip() for piece in part.partition("="))
            try:
                if key in {"slow", "stall"}:
                    episodes.append(_episode(key, value))
                    continue
                name, parse = _lookup(key)
                into = figures if key in _FIGURES else settings
                if name in into:
                    raise ValueError("it stands there twice")  # noqa: TRY301 - one place adds the part's name
                into[name] = parse(value)
            except ValueError as error:
                raise ValueError(f"{PREFIX}{text}: {part.strip()!r}: {_by_key(error)}") from error
        try:
            return cls(_whole_profile(profile, figures), episodes=tuple(episodes), **settings)
        except ValueError as error:
            raise ValueError(f"{PREFIX}{text}: {_by_key(error)}") from error


def _by_key(error: ValueError) -> str:
    """What is wrong, with a field by the key that it has in a string."""
    keys = {"sigma_permille": "sigma", "pause_every_bytes": "pause_every", "pause_ns": "pause"}
    keys |= {"start_ns": "the start", "duration_ns": "the length", "slow_permille": "the factor"}
    field, _, rest = str(error).partition(" ")
    return f"{keys.get(field, field)} {rest}"


def _base(name: str) -> StorageProfile:
    if name in PRESETS:
        return PRESETS[name]
    if not name:
        raise ValueError(
            f'{PREFIX} what? name a preset ({", ".join(PRESETS)}), a profile, or figures such as "write=40MB/s"'
        )
    if not Path(name).exists():
        raise ValueError(f"{name!r} is neither a preset ({', '.join(PRESETS)}) nor the path of a profile")
    return StorageProfile.load(name)


def _whole_profile(profile: StorageProfile | None, figures: dict[str, float]) -> StorageProfile:
    if profile is not None:
        if figures:
            raise ValueError(f"{', '.join(figures)}: figures of your own stand without a preset or profile")
        return profile
    if "write" not in figures:
        raise ValueError('figures of your own need at least a rate of writes, for example "write=40MB/s"')
    writes = lane_of(figures["write"], figures.get("write_iops"))
    notes = ["figures of the caller's own"]
    if "read" in figures or "read_iops" in figures:
        reads = lane_of(figures.get("read", figures["write"]), figures.get("read_iops"))
    else:
        reads = writes
        notes.append("reads were not given: they take as long as writes")
    return StorageProfile(
        "figures", "assumed", writes, reads, random_write=writes, random_read=reads, notes=tuple(notes)
    )


def _lookup(key: str) -> tuple[str, Callable[[str], Any]]:
    keys: dict[str, tuple[str, Callable[[str], Any]]] = {
        "sigma": ("sigma_permille", _sigma),
        "pause_every": ("pause_every_bytes", _positive(parse_size)),
        "pause": ("pause_ns", _positive(parse_time_ns)),
        "seed": ("seed", _seed),
        "write": ("write", _rate),
        "write_iops": ("write_iops", _iops),
        "read": ("read", _rate),
        "read_iops": ("read_iops", _iops),
    }
    if key not in keys:
        raise ValueError(f"{key!r} is none of {', '.join([*keys, 'slow', 'stall'])}")
    return keys[key]


def _positive(parse: Callable[[str], int]) -> Callable[[str], int]:
    def positive(text: str) -> int:
        value = parse(text)
        if value <= 0:
            raise ValueError("it must be more than nothing; leave it out")
        return value

    return positive


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(_SEED_MAX)) or int(text) > _SEED_MAX:
        raise ValueError(f"a seed is a whole number from 0 to {_SEED_MAX}")
    return int(text)


def _sigma(text: str) -> int:
    if not re.fullmatch(_DECIMAL, text) or float(text) * 1000 > _SIGMA_MAX_PERMILLE:
        raise ValueError(f"sigma is a number from 0 to {_SIGMA_MAX_PERMILLE // 1000}, for example 0.1")
    return round(float(text) * 1000)


def _rate(text: str) -> float:
    match = re.fullmatch(_RATE, text)
    if match is None or match[2] not in _RATE_UNITS:
        raise ValueError("a rate is a number with kB/s, MB/s, GB/s, or KiB/s, MiB/s, GiB/s, for example 40MB/s")
    rate = _decimal(match[1]) * _RATE_UNITS[match[2]]
    if not 1 <= rate <= 10**12:
        raise ValueError("a rate is from 1 B/s to 1000 GB/s")
    return rate


def _iops(text: str) -> float:
    iops = _decimal(text)
    if not 0 < iops <= 10**9:
        raise ValueError("requests a second are more than 0 and at most 1000000000")
    return iops


def _decimal(text: str) -> float:
    if not re.fullmatch(_DECIMAL, text):
        raise ValueError(f"{text!r} is no number")
    return float(text)


def _episode(key: str, text: str) -> Episode:
    match = re.fullmatch(_EPISODE, text)
    form = "slow=10@2s+3s (factor @ start + length)" if key == "slow" else "stall=5s+500ms (start + length)"
    if match is None or (match["factor"] is None) == (key == "slow"):
        raise ValueError(f"write it as {form}")
    slow_permille = 0
    if key == "slow":
        factor = _decimal(match["factor"].strip())
        if not 1 <= factor <= _FACTOR_MAX:
            raise ValueError(f"the factor is from 1 to {_FACTOR_MAX}; for a full stall write stall=5s+500ms")
        slow_permille = round(factor * 1000)
    return Episode(parse_time_ns(match["start"]), parse_time_ns(match["duration"]), slow_permille)
