"""What a controller does to a store beside puts and gets: ceilings, background writes, samples, virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from tmemstore._binding import check, ffi, lib
from tmemstore.stores.buffers import integer
from tmemstore.stores.tmem import TmemStore

NO_COPIES: Final = 2**64 - 1
"""As `CleanRequest.cold_bytes`: pages in the region are left alone."""

_SAMPLES: Final = 256

_TIME_MAX_NS: Final = 10**12 - 1

IDLE: Final = lib.TMS_CLEAN_IDLE
BEGUN: Final = lib.TMS_CLEAN_BEGUN
BUSY: Final = lib.TMS_CLEAN_BUSY
FULL: Final = lib.TMS_CLEAN_FULL


class CeilingFields(Protocol):
    """A ceiling of one contract, in the core's struct."""

    def fill(self, raw: Any) -> None:
        """Writes all fields of a `struct tms_ceiling`."""


@dataclass(frozen=True, slots=True)
class CleanRequest:
    """Background work: fields of `struct tms_clean_request`."""

    pending_max_bytes: int
    batch_bytes: int
    cold_bytes: int = NO_COPIES
    drain: bool = True
    trim: bool = True
    yields: bool = True

    def to_c(self, *, steps: int, wait_ns: int, drain_ns: int) -> Any:
        """A `struct tms_clean_request` for at most so many steps, going on for so long, or until it is drained."""
        raw = ffi.new("struct tms_clean_request *")
        raw.pending_max_bytes = self.pending_max_bytes
        raw.batch_bytes = self.batch_bytes
        raw.cold_bytes = self.cold_bytes
        raw.drain = self.drain
        raw.trim = self.trim
        setattr(raw, "yield", self.yields)
        raw.steps = steps
        raw.wait_ns = wait_ns
        raw.drain_ns = drain_ns
        return raw


def set_admission_filter(store: TmemStore, saved_ns: int | None, copy_ns: int = 0) -> None:
    """Lets clean pages in where they are worth their copy; `saved_ns` None: all of them, as a new store does.

    `saved_ns`: what a get that finds its page spares, the read from its file. `copy_ns`: a put and its share of a get.
    Both are whole and less than 1000 s (`ValueError`). A page that comes when pages like it were found too seldom is
    let in if its key was turned away not long ago, or if the caller says `active`; of the others one in 32. The rest is
    rejected as "cold".
    """
    raw = ffi.new("struct tms_filter *")
    raw.enabled = saved_ns is not None
    raw.saved_ns = integer("saved_ns", saved_ns or 0, _TIME_MAX_NS)
    raw.copy_ns = integer("copy_ns", copy_ns, _TIME_MAX_NS)
    check(lib.tms_set_filter(store.handle, raw))


class WriteServed(NamedTuple):
    """A completed write: fields of `struct tms_write_served`; `drains`: it emptied the reserve.

    The payload is that of objects: the whole blocks they lie in, with gaps, are somewhat more.
    """

    number: int
    payload_bytes: int
    service_ns: int
    ended_ns: int
    drains: bool


class Ghosts(NamedTuple):
    """What another ratio would have held: fields of `struct tms_ghosts`; `clean`, `swap`: found or not, together."""

    clean: list[int]
    swap: list[int]
    swap_freed_units: list[int]
    swap_pages: list[int]
    swap_stores: int
    clean_misses: list[int]
    swap_misses: list[int]
    units: tuple[int, int]
    units_most: tuple[int, int]
    accesses: int
    let_in: int
    rate_ppb: int


@dataclass(frozen=True, slots=True)
class Headroom:
    """What the fullest window of a size holds: fields of `struct tms_headroom`."""

    window_bytes_uncopied: int
    window_objects_uncopied: int
    window_frames_frontswap: int
    chunk_frames_frontswap: int
    reserve_bytes_free: int
    pending_bytes: int
    uncopied_bytes: int


def set_ceilings(store: TmemStore, contracts: Sequence[CeilingFields], *, frontswap_permille: int, hard: bool) -> None:
    """Enforces these from the next put on."""
    raw = ffi.new("struct tms_ceilings *")
    raw.contracts = len(contracts)
    raw.frontswap_permille = frontswap_permille
    raw.hard = hard
    for i, contract in enumerate(contracts):
        contract.fill(raw.contract[i])
    check(lib.tms_set_ceilings(store.handle, raw))


def clean(store: TmemStore, request: CleanRequest, *, steps: int, wait_ns: int = 0, drain_ns: int = 0) -> int:
    """At most so many steps in one call into the core: the state of the last one (IDLE, BEGUN, BUSY, FULL).

    The call goes on for `wait_ns`, waiting for work and for earlier writes to end, and for up to `drain_ns` while the
    reserve is to be emptied, or until `interrupt_clean`; with 0 it waits for nothing, as in virtual time, where waiting
    is time.
    """
    result = ffi.new("struct tms_clean_result *")
    check(lib.tms_clean(store.handle, request.to_c(steps=steps, wait_ns=wait_ns, drain_ns=drain_ns), result))
    return int(result.state)


def interrupt_clean(store: TmemStore) -> None:
    """Whoever is in `clean` comes back, to be asked for something else."""
    lib.tms_clean_interrupt(store.handle)


def set_ghosts(store: TmemStore, sampled_frames: int) -> None:
    """Lets so many frames' worth of keys stand for the region in `ghosts`; 0: none."""
    check(lib.tms_set_ghosts(store.handle, sampled_frames))


def ghosts(store: TmemStore) -> Ghosts:
    """What was seen since `set_ghosts`, but for `accesses`, which counts from the opening on."""
    raw = ffi.new("struct tms_ghosts *")
    check(lib.tms_ghosts(store.handle, raw))
    return Ghosts(
        clean=[hit + miss for hit, miss in zip(raw.clean_hits, raw.clean_misses, strict=True)],
        swap=[hit + miss for hit, miss in zip(raw.swap_hits, raw.swap_misses, strict=True)],
        swap_freed_units=list(raw.swap_freed_units),
        swap_pages=list(raw.swap_pages),
        swap_stores=raw.swap_stores,
        clean_misses=list(raw.clean_misses),
        swap_misses=list(raw.swap_misses),
        units=(raw.units[0], raw.units[1]),
        units_most=(raw.units_most[0], raw.units_most[1]),
        accesses=raw.accesses,
        let_in=raw.let_in,
        rate_ppb=raw.rate_ppb,
    )


def headroom(store: TmemStore, window_chunks: int) -> Headroom:
    """Measured now."""
    raw = ffi.new("struct tms_headroom *")
    check(lib.tms_measure_headroom(store.handle, window_chunks, raw))
    return Headroom(**{name: getattr(raw, name) for name in Headroom.__slots__})


def writes_served(store: TmemStore, since: int) -> list[WriteServed]:
    """The writes completed after number `since`, oldest first."""
    samples = ffi.new("struct tms_write_served[]", _SAMPLES)
    count = ffi.new("uint32_t *")
    check(lib.tms_writes_served(store.handle, since, _SAMPLES, samples, count))
    return [
        WriteServed(each.number, each.payload_bytes, each.service_ns, each.ended_ns, each.cause == lib.TMS_CAUSE_DRAIN)
        for each in samples[0 : count[0]]
    ]


def sample_denser(store: TmemStore) -> tuple[int, int, int]:
    """What the denser codec would leave of a few cold pages: (objects, bytes before, bytes after); changes nothing."""
    raw = ffi.new("struct tms_denser_sample *")
    check(lib.tms_sample_denser(store.handle, raw))
    return int(raw.objects), int(raw.bytes_before), int(raw.bytes_after)


def measure_writes(store: TmemStore, most_bytes: int, budget_ns: int) -> tuple[int, int, int]:
    """Writes up to so much to free blocks, as a page-out would: (bytes, elapsed_ns, complete batches)."""
    sample = ffi.new("struct tms_write_sample *")
    check(lib.tms_measure_write(store.handle, most_bytes, budget_ns, sample))
    return int(sample.bytes), int(sample.elapsed_ns), int(sample.batches)


def now_ns(store: TmemStore) -> int:
    """The time on the store's clock."""
    return int(lib.tms_now(store.handle))


def advance_to_event(store: TmemStore, most_ns: int) -> int:
    """Lets virtual time pass until a transfer completes, at most so much; how much passed."""
    passed = ffi.new("uint64_t *")
    check(lib.tms_advance_to_event(store.handle, most_ns, passed), "the store does not run in virtual time")
    return int(passed[0])


def add_episode(store: TmemStore, start_ns: int, duration_ns: int, slow_permille: int) -> None:
    """Makes the emulated device slow, or stall (0), from `start_ns` after now on; `ValueError` without one."""
    raw = ffi.new("struct tms_episode *", (start_ns, duration_ns, slow_permille))
    check(lib.tms_device_episode(store.handle, raw), "the store has no emulated device")
