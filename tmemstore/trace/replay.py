"""Running a trace through the core: in virtual time without page data, or in real time with it.

The core carries the events out (`tms_replay`) and comes back for what is policy's: allocations, pools that it has not
met, and, every 100 ms in which the device did anything, what the model makes of it. A put or a get takes no time of its
own in virtual time; a load from the spill device does, and what comes after it waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from tmemstore._binding import check, ffi, lib
from tmemstore.controller.controller import Controller
from tmemstore.errors import AllocationAborted, AllocationRefused
from tmemstore.region import ContigRange
from tmemstore.stats import ReclaimReport
from tmemstore.stores import background
from tmemstore.trace import images, sizes
from tmemstore.trace.columns import first_wrong
from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.faults import EventError
from tmemstore.trace.schedule import Records, merge, random, regular
from tmemstore.trace.settings import Settings
from tmemstore.units import PAGE_SIZE

_TICK_NS: Final = 100_000_000
_SLICE_NS: Final = 50_000_000
_POOLS: Final = 1 << 16
_NAP_NS: Final = 50_000_000
_MANY: Final = 1 << 62
_LAST_NS: Final = 2.0**63
_CLEAN_OPS: Final = Op.INVALIDATE_FS
_SWAP_OPS: Final = Op.INVALIDATE_AREA

Progress = Callable[[int], None]
"""Called with the number of events that are behind."""


class Replay:
    """A store and the state of a replay through it; a context manager that closes the store.

    `fill`: a get that misses is followed by a put of its page, and gets leave their pages (a trace of references).
    """

    def __init__(self, settings: Settings, *, fill: bool = False) -> None:
        self.settings = settings
        self.tm: Controller = settings.open()
        self.events = 0
        self.reports: list[ReclaimReport] = []
        self._fill = fill
        self._ranges: dict[tuple[int, int], ContigRange] = {}
        self._sizes = sizes.table(settings.codec)
        self._pools = {kind: np.zeros(_POOLS, np.uint32) for kind in ("cleancache", "frontswap")}
        self._images = images.make(settings.seed, settings.codec) if settings.real else None
        self._contract = settings.contract
        self._quota = _MANY
        self.tm.thrash(watch=True)
        self.raw = self._make()

    def _make(self) -> Any:
        raw = ffi.new("struct tms_replay *")
        raw.cleancache = ffi.from_buffer("tms_pool_id[]", self._pools["cleancache"])
        raw.frontswap = ffi.from_buffer("tms_pool_id[]", self._pools["frontswap"])
        raw.cleancaches = raw.frontswaps = _POOLS
        raw.sizes = ffi.from_buffer("uint16_t[]", self._sizes)
        if self._images is not None:
            raw.pages = ffi.from_buffer("uint8_t[]", self._images.pages)
            raw.page_of_size = ffi.from_buffer("uint32_t[]", self._images.of_size)
        raw.seed = self.settings.seed
        raw.fill = self._fill
        raw.write_through = self.tm.store.write_through
        raw.start_ns = self.tm.now_ns
        raw.slice_ns = _SLICE_NS
        return raw

    # ---- running ---------------------------------------------------------------------------------------

    def run(self, blocks: Iterable[Records], say: Progress | None = None) -> None:
        """Carries out all events. Raises `EventError` for one that this store cannot take."""
        for block in blocks:
            self._run_block(np.ascontiguousarray(block, RECORD))
            self.events += len(block)
            if say is not None:
                say(self.events)
        for number in list(self._ranges):
            self._ranges.pop(number).release()

    def _run_block(self, block: Records) -> None:
        raw, handle = self.raw, self.tm.store.handle
        events = ffi.from_buffer("struct tms_event[]", block)
        at, count = 0, len(block)
        self._steer()
        while at < count:
            code = lib.tms_replay(handle, raw, min(self._quota, count - at), events + at)
            if code == lib.TMS_E_INVALID:
                raise self._no_event(block)
            check(code, "replay")
            at += raw.done
            self._quota -= raw.done
            if not self._quota:
                self._steer()
            if raw.stop == lib.TMS_REPLAY_ALLOC:
                self._allocate(block[at], self.events + at + 1)
                at += 1
                self._steer()
            elif raw.stop == lib.TMS_REPLAY_POOL:
                self._add_pool(block[at], self.events + at + 1)
            elif raw.stop == lib.TMS_REPLAY_TICK:
                self._steer()
            elif raw.stop == lib.TMS_REPLAY_AHEAD:
                due_ns = raw.start_ns + int(block["time_ns"][at])
                time.sleep(max(0, min(_NAP_NS, due_ns - self.tm.now_ns)) / 1e9)

    def _steer(self) -> None:
        """What the model makes of the last writes; in real time the cleaner's own thread does this."""
        if not self.tm.store.virtual_time:
            return
        self.raw.tick_ns = self.tm.now_ns + _TICK_NS
        policy = self.tm.background_work()
        self._quota = policy.look_again_after or _MANY
        self.raw.cleans = policy.request is not None and self.tm.spill is not None
        if policy.request is not None:
            self.raw.clean = policy.request.to_c(steps=1, wait_ns=0, drain_ns=0)[0]

    def _add_pool(self, event: Any, place: int) -> None:
        is_clean = event["op"] <= _CLEAN_OPS
        try:
            pool = self.tm.store.new_pool(persistent=not is_clean, inclusive=is_clean and self._fill)
        except MemoryError as error:
            pools = sum(int(np.count_nonzero(known)) for known in self._pools.values())
            what = f"there is no room for one more beside {pools} pools; replay a trace of fewer, or of one kind only"
            raise EventError(place, what) from error
        self._pools["cleancache" if is_clean else "frontswap"][event["pool"]] = pool

    def _no_event(self, block: Records) -> EventError:
        at, what = first_wrong(block) or (len(block) - 1, _too_late(int(block["time_ns"][-1])))
        return EventError(self.events + at + 1, what)

    def _allocate(self, event: Any, place: int) -> None:
        number = int(event["pool"]), int(event["index"])
        size_bytes, region_bytes = int(event["object"]), self.tm.region.size_bytes
        if event["op"] == Op.RELEASE:
            held = self._ranges.pop(number, None)
            if held is not None:
                held.release()
            return
        if size_bytes % PAGE_SIZE:
            raise EventError(place, f"an allocation of {size_bytes} bytes is no multiple of a page, {PAGE_SIZE} bytes")
        if size_bytes > region_bytes:
            what = f"an allocation of {size_bytes} bytes is larger than the region, {region_bytes}; take a larger one"
            raise EventError(place, what)
        try:
            contig = self.tm.alloc_contig(
                size_bytes, deadline=None if self._contract is None else self._contract.deadline_ns
            )
        except (AllocationRefused, AllocationAborted) as error:
            self.reports.append(error.report)
            return
        self.reports.append(contig.report)
        earlier = self._ranges.pop(number, None)
        if earlier is not None:  # a trace that uses a number again before its release
            earlier.release()
        self._ranges[number] = contig

    # ---- what became of it -----------------------------------------------------------------------------

    def load_quantile_ns(self, quantile: float) -> int | None:
        """Of the loads from the spill device, to a sixteenth; None: there were none."""
        counts = np.frombuffer(ffi.buffer(self.raw.load_ns), np.uint64)
        total = int(counts.sum())
        if not total:
            return None
        place = int(np.searchsorted(np.cumsum(counts), max(1, np.ceil(quantile * total))))
        return int(lib.tms_replay_time_ns(place))

    @property
    def now_ns(self) -> int:
        """The time that has passed in it."""
        return background.now_ns(self.tm.store) - int(self.raw.start_ns)

    def close(self) -> None:
        """Ends the store."""
        self.tm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ---- the events of a replay ----------------------------------------------------------------------------


def events_of(blocks: Callable[[], Iterable[Records]], settings: Settings) -> Iterable[Records]:
    """The events of a trace as `settings` want them: of one kind, at other times, with allocations put in.

    `blocks`: gives the trace from its start, each time it is called; twice where allocations are spread over it. Raises
    `EventError` for a time that no clock shows, `ValueError` for more allocations than there can be.
    """

    def scaled() -> Iterable[Records]:
        return _scaled(_only(blocks(), settings.only), settings.time_scale, settings.rate)

    allocate, contract = settings.allocate, settings.contract
    if allocate is None and contract is None:
        return scaled()
    last_ns, has_allocations = 0, False
    for block in scaled():
        if len(block):
            last_ns = int(block["time_ns"][-1])
        has_allocations |= bool((block["op"] == Op.ALLOC).any())
    if allocate is not None:
        return merge(scaled(), regular(allocate, last_ns))
    if contract is None or has_allocations:
        return scaled()
    return merge(scaled(), random(contract.frames << 12, last_ns, settings.seed))


def _only(blocks: Iterable[Records], kind: str | None) -> Iterable[Records]:
    for block in blocks:
        if kind is None:
            yield block
            continue
        ops = block["op"]
        wanted: npt.NDArray[np.bool_] = ops <= _CLEAN_OPS if kind == "cleancache" else ops > _CLEAN_OPS
        yield block[wanted | (ops > _SWAP_OPS)]


def _scaled(blocks: Iterable[Records], scale: float, rate: float | None) -> Iterable[Records]:
    if rate is None and scale == 1.0:
        yield from blocks
        return
    first = 0
    for block in blocks:
        counted = np.arange(first, first + len(block))
        with np.errstate(over="ignore"):
            times = block["time_ns"] * scale if rate is None else counted / rate * 1e9
        late = np.flatnonzero(times >= _LAST_NS)
        if len(late):
            at = int(late[0])
            raise EventError(first + at + 1, _too_late(int(block["time_ns"][at]), " with that factor or rate"))
        changed = block.copy()
        changed["time_ns"] = times.astype(np.uint64)
        first += len(block)
        yield changed


def _too_late(time_ns: int, how: str = "") -> str:
    return f"its time, {time_ns} ns, comes later{how} than a clock can show"
