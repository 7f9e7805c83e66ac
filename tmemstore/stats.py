"""Frozen snapshots of what the core counts and reports, and the enums that name things."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple


class Effort(enum.IntEnum):
    """How far an allocation may go; each level may use all below it.

    `FREE`: free frames only. `DROP`: clean pages, and frontswap pages that have a copy, are dropped. `MIGRATE`: others
    are moved in memory, `COMPRESS`: made smaller for that, `PAGE_OUT`: written to the spill file.
    """

    FREE = 0
    DROP = 1
    MIGRATE = 2
    COMPRESS = 3
    PAGE_OUT = 4

    @classmethod
    def _missing_(cls, value: object) -> Effort:
        known = ", ".join(f"Effort.{name}" for name in cls.__members__)
        raise ValueError(f"{value!r} is no effort; choose one of {known}")


class Ending(enum.StrEnum):
    """How an allocation ended; there is no fourth."""

    MET = "met"
    REFUSED = "refused"
    ABORTED = "aborted"


class Place(enum.IntFlag):
    """Where the data of a key is: bits of `where_many`.

    `FILL`: a same-filled page, kept as its value, which takes no frame. `REGION`: in memory, in the region or the
    escape reserve. `SPILL`: in the spill file; with `REGION` it is a copy.
    """

    ABSENT = 0
    FILL = 1
    REGION = 2
    SPILL = 4


class FaultSite(enum.IntEnum):
    """Places where a test can make the world fail (`TmemStore.arm_fault`): `enum tms_fault_site` of the core's header.

    Those from `BEFORE_DROP` on only hold up the allocating thread, by `delay_ns`.
    """

    ENTRY_ALLOC = 0
    OBJECT_ALLOC = 1
    SPAN_ALLOC = 2
    GROUP_ALLOC = 3
    WRITE = 4
    READ = 5
    SHORT_WRITE = 6
    CORRUPT = 7
    STALL = 8
    BEFORE_DROP = 9
    BEFORE_COMMIT = 10
    AFTER_PROPOSE = 11
    DURING_MOVE = 12
    DURING_GATHER = 13
    BEFORE_ZERO = 14


class FrameCounts(NamedTuple):
    """Frames of the region by what they hold; they add up to all frames."""

    free: int
    clean: int
    frontswap: int
    isolated: int
    allocated: int


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of the counters. Fields and their meaning: `struct tms_stats` in native/include/tmemstore.h.

    Sizes are bytes, everything else counts. `*_rejects`, `clean_admits`, `allocs_by_reason`: reason to count;
    `written_by_cause`: cause to bytes; `allocs_within_*`: of `allocs_run` those that took no longer than was said
    before; `filter_open`: 0 or 1. `contracts`: the `ContractState` of each, where a `Controller` was asked.
    """

    clean_puts: int
    clean_admits: dict[str, int]
    clean_rejects: dict[str, int]
    clean_gets: int
    clean_hits: int
    clean_flushes: int
    clean_evicted: int
    swap_stores: int
    swap_rejects: dict[str, int]
    swap_evicted: int
    swap_loads: int
    swap_hits_region: int
    swap_hits_spill: int
    swap_flushes: int
    swap_incompressible: int
    load_errors: int
    pages_clean: int
    pages_swap: int
    pages_fill: int
    pages_spilled: int
    pages_copied: int
    pages_reserve: int
    bytes_kept: int
    reserve_bytes: int
    reserve_bytes_used: int
    uncopied_bytes: int
    objects: int
    pools: int
    frames: int
    frames_free: int
    frames_clean: int
    frames_frontswap: int
    frames_isolated: int
    frames_allocated: int
    spans: int
    compactions: int
    objects_moved: int
    spill_blocks_used: int
    spill_blocks_total: int
    spill_bytes_written: int
    spill_bytes_read: int
    spill_write_errors: int
    spill_read_errors: int
    spill_writes_pending: int
    written_by_cause: dict[str, int]
    allocs_met: int
    allocs_refused: int
    allocs_aborted: int
    allocs_by_reason: dict[str, int]
    ranges_out: int
    alloc_clean_dropped: int
    alloc_copied_dropped: int
    alloc_paged_out: int
    alloc_migrated_inside: int
    alloc_migrated_reserve: int
    alloc_compressed: int
    allocs_run: int
    allocs_within_p50: int
    allocs_within_p99: int
    allocs_within_bound: int
    metadata_bytes: int
    filter_useful: int
    filter_wasted: int
    filter_open: int
    contracts: tuple[Any, ...] = ()

    @classmethod
    def from_c(cls, raw: Any, names: dict[str, list[str]]) -> Stats:
        """Copies a `struct tms_stats`; `names`: array to the names of its elements."""
        values: dict[str, Any] = {
            field.name: getattr(raw, field.name) for field in fields(cls) if field.name != "contracts"
        }
        for name, elements in names.items():
            values[name] = dict(zip(elements, values[name], strict=True))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Window:
    """A run of frames `[start_pfn, end_pfn)` and what was in it when it was looked at.

    Objects are frontswap pages that occupy a frame or a part of one; `objects_uncopied` must be moved or written
    before their frames come free, `objects_copied` have a valid copy in the spill file; `frames_clean` are a page each.
    The plan: of the uncopied objects `to_migrate` fit into the `room_bytes` elsewhere in memory, `to_page_out` go to
    the spill file, `to_compress` of both are made smaller first. `predicted_ns`, `p99_ns`, `bound_ns`: by the cost
    model, the last at the confidence asked for. Of an allocation that is refused for time, `bytes_short`: what must
    leave the reserve or get a copy first; `served_ns`: of the write that the device is at, what is behind it.
    """

    start_pfn: int
    frames: int
    frames_free: int
    frames_clean: int
    frames_frontswap: int
    objects_copied: int
    objects_uncopied: int
    bytes_uncopied: int
    room_bytes: int
    to_migrate: int
    to_compress: int
    to_page_out: int
    bytes_to_page_out: int
    bytes_short: int
    served_ns: int
    predicted_ns: int
    p99_ns: int
    bound_ns: int

    @property
    def end_pfn(self) -> int:
        """The first pfn after the window."""
        return self.start_pfn + self.frames

    @classmethod
    def from_c(cls, raw: Any) -> Window:
        """Copies a `struct tms_window`."""
        return cls(**{name: getattr(raw, name) for name in _WINDOW_NAMES})


_WINDOW_NAMES: Final = tuple(each.name for each in fields(Window))


@dataclass(frozen=True, slots=True)
class ReclaimReport:
    """What one contiguous allocation did. Times are integer nanoseconds from the call on.

    `elapsed_ns`: until the commit point if MET, else until everything was given back. `commit_ns`: the clock at the
    commit point, 0 if it was never reached. `returned_ns`: as the core is left. `cpu_ns`: of the calling thread.
    `waited_ns`: in timed waits for the device. `write_ns`, `drop_ns`, `zero_ns`: until every object had left or had a
    copy, then in the drop pass, then in zeroing. `reason`: why it was refused or aborted, else "none". `clean_dropped`:
    clean pages of the window. `paged_out`: objects written to the spill file by this call, `bytes_written` with them,
    complete or not if it was aborted; `copied_dropped`: objects that had a copy before; `migrated_inside`,
    `migrated_reserve`: objects moved to other frames of the region, to the escape reserve; `compressed`: of these and
    the paged out those made smaller first; `clean_evicted`: clean pages outside the window that made room. `starved`:
    the thread was kept off the CPU for longer than its slack. `recovery_ns`: refused as recovering, the time until it
    would be met.
    """

    ending: Ending
    reason: str
    window: Window
    deadline_ns: int
    elapsed_ns: int
    cpu_ns: int
    waited_ns: int
    write_ns: int
    drop_ns: int
    zero_ns: int
    commit_ns: int
    returned_ns: int
    clean_dropped: int
    copied_dropped: int
    migrated_inside: int
    migrated_reserve: int
    compressed: int
    clean_evicted: int
    paged_out: int
    bytes_written: int
    write_batches: int
    starved: bool
    recovery_ns: int | None = None

    @property
    def predicted_ns(self) -> int:
        """What the cost model expected for the window, in ns."""
        return self.window.predicted_ns

    @property
    def bound_ns(self) -> int:
        """What the cost model guaranteed for the window at the confidence asked for, in ns."""
        return self.window.bound_ns

    @property
    def pages_dropped(self) -> int:
        """Clean pages, and frontswap pages that had a copy already."""
        return self.clean_dropped + self.copied_dropped

    @classmethod
    def from_c(cls, raw: Any, reason: str, slack_ns: int) -> ReclaimReport:
        """Copies a `struct tms_report`.

        `slack_ns`: the thread was kept off the CPU for longer than this (elapsed - CPU - waited): it was starved.
        """
        values: dict[str, Any] = {name: getattr(raw, name) for name in _REPORT_NAMES}
        off_cpu_ns = raw.elapsed_ns - raw.cpu_ns - raw.waited_ns
        return cls(
            ending=_ENDINGS[raw.ending],
            reason=reason,
            window=Window.from_c(raw.window),
            starved=off_cpu_ns > slack_ns,
            **values,
        )


_ENDINGS: Final = tuple(Ending)
_REPORT_NAMES: Final = tuple(
    each.name
    for each in fields(ReclaimReport)
    if each.name not in {"ending", "reason", "window", "starved", "recovery_ns"}
)


@dataclass(frozen=True, slots=True)
class SpillInfo:
    """How the spill file was opened. `direct`: O_DIRECT is in use; `note` says in words what is not as it could be.

    `path`: "RAM" for an emulated device without a file. `size_bytes`: of a block device, 0 for a file, which grows.
    `created`: the file was not there before; `reused`: it was a spill file of an earlier run, whose pages are gone.
    """

    path: str
    direct: bool
    is_device: bool
    created: bool
    reused: bool
    preallocated: bool
    size_bytes: int
    note: str
