"""What `tmemstore.open` gives: a region, a store in it, allocations with a bound, contracts and the knob."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from tmemstore.controller import cleaner, planner, wanted
from tmemstore.controller.contract import Contract, as_contracts, check_confidence
from tmemstore.controller.cost import CostModel, Costs
from tmemstore.controller.model import DEFAULT_CONFIDENCE, Model
from tmemstore.controller.planner import Estimate
from tmemstore.controller.policy import Percent, Ratio, Ruler
from tmemstore.errors import AllocationAborted, AllocationRefused, PoolError
from tmemstore.region import ContigRange, Region
from tmemstore.stats import Effort, FrameCounts, ReclaimReport, SpillInfo, Stats, Window
from tmemstore.stores import background, buffers
from tmemstore.stores.cleancache import Cleancache
from tmemstore.stores.contig import Request, allocate, propose
from tmemstore.stores.frontswap import SWAP_TYPE_MAX, Frontswap
from tmemstore.stores.tmem import TmemStore
from tmemstore.units import PAGE_SIZE, format_time_ns, parse_time_ns

if TYPE_CHECKING:
    import numpy.typing as npt

    from tmemstore.controller.adaptive import Event
    from tmemstore.controller.thrash import Thrash

_TIME_END_NS: Final = 2**63


class Controller:
    """A store with its region: pools, contiguous allocations, statistics. A context manager that closes it.

    Made by `tmemstore.open`. `region`, `store`: the layers below. `spill`: how the spill file was opened, or None.
    `refault_ns`: what reading a clean page from its file takes. `notes`: what this machine, this device or these
    settings do not give, in words.
    """

    def __init__(
        self,
        region: Region,
        store: TmemStore,
        model: Model,
        ruler: Ruler,
        *,
        refault_ns: int,
        admission_filter: bool = True,
        notes: Sequence[str] = (),
    ) -> None:
        self.region = region
        self.store = store
        self.notes = tuple(notes)
        self._model = model
        self._ruler = ruler
        self.refault_ns = refault_ns
        self.admission_filter = admission_filter
        self._lock = threading.Lock()  # of the frontswaps
        self._frontswaps: dict[int, Frontswap] = {}
        self._cleaner: cleaner.Cleaner | None = None
        if store.spill is not None and not store.virtual_time:
            self._cleaner = cleaner.Cleaner(store, model, ruler.policy)

    # ---- pools -----------------------------------------------------------------------------------------

    def cleancache(self, name: str, *, uuid: bytes | None = None, inclusive: bool = False) -> Cleancache:
        """A pool for the clean pages of one file system. Arguments as for `Cleancache`."""
        return Cleancache(self.store, name, uuid=uuid, inclusive=inclusive)

    def frontswap(self, swap_type: int) -> Frontswap:
        """The pool of one swap area, 0 to 31; the same one for the same number."""
        number = buffers.integer("swap type", swap_type, SWAP_TYPE_MAX)
        with self._lock:
            if number not in self._frontswaps or self.closed:
                self._frontswaps[number] = Frontswap(self.store, number)
            return self._frontswaps[number]

    # ---- contiguous ranges -----------------------------------------------------------------------------

    def alloc_contig(
        self,
        size: int | str,
        *,
        deadline: int | str | None = None,
        effort: Effort = Effort.PAGE_OUT,
        align: int | str = PAGE_SIZE,
        start_pfn: int | None = None,
        zero: bool = False,
        confidence: float | None = None,
        interpreter_slack: int | str = 0,
    ) -> ContigRange:
        """Takes a contiguous range back: MET, or `AllocationRefused`, or `AllocationAborted` by the deadline.

        `size`: bytes or "64MiB", a page multiple. `deadline`: ns or "50ms", from the moment the core is entered;
        without one nothing is refused for time and the end comes after 60 s at the latest. `effort`: how far it may go.
        `align`: bytes, a power of two, counted from the start of the region (which is 2 MiB aligned). `start_pfn`: that
        window and no other; else the cheapest, or, for less than 4 MiB of a region above 32 MiB, the cheapest of those
        that the counts of its chunks promise most of. `zero`: hand it over zeroed. `confidence`: of the bound that is
        compared with the deadline (default: that of the contract that covers it, else 0.999). `interpreter_slack`: time
        that Python may need on the way into the core and back, taken off the deadline beforehand, so that a contract
        covers the call if its own deadline is no longer than what is left. Wrong arguments: `ValueError`, `TypeError`.
        """
        slack_ns = parse_time_ns(interpreter_slack)
        if slack_ns < 0:
            raise ValueError(f"interpreter_slack must not be negative, not {interpreter_slack}")
        deadline_ns = wanted.deadline_ns_of(deadline)
        if slack_ns >= deadline_ns:
            raise ValueError(f"interpreter_slack {interpreter_slack} leaves nothing of the deadline {deadline}")
        request, costs = self._request(
            size, deadline, effort, align, start_pfn, zero=zero, confidence=confidence, slack_ns=slack_ns
        )
        try:
            contig = allocate(self.store, request)
        except AllocationAborted as aborted:
            self._after(aborted.report, costs)
            raise
        except AllocationRefused as refused:
            raise self._explained(refused) from None
        self._after(contig.report, costs)
        return contig

    def estimate(
        self,
        size: int | str,
        *,
        deadline: int | str | None = None,
        effort: Effort = Effort.PAGE_OUT,
        align: int | str = PAGE_SIZE,
        start_pfn: int | None = None,
        zero: bool = False,
        confidence: float | None = None,
    ) -> Estimate:
        """What `alloc_contig` with these arguments would take now; touches nothing. See `Estimate`."""
        request, _ = self._request(size, deadline, effort, align, start_pfn, zero=zero, confidence=confidence)
        return planner.estimate(self.store, request, self._model.drain)

    def propose(
        self,
        size: int | str,
        *,
        effort: Effort = Effort.PAGE_OUT,
        align: int | str = PAGE_SIZE,
        start_pfn: int | None = None,
    ) -> Window:
        """The window `alloc_contig` would take now, with what is in it; touches nothing.

        `AllocationRefused` if there is none. Arguments as for `alloc_contig`.
        """
        request, _ = self._request(size, None, effort, align, start_pfn)
        return propose(self.store, request)

    def _request(
        self,
        size: int | str,
        deadline: int | str | None,
        effort: Effort,
        align: int | str,
        start_pfn: int | None,
        *,
        zero: bool = False,
        confidence: float | None = None,
        slack_ns: int = 0,
    ) -> tuple[Request, Costs]:
        frames = wanted.frames_of(self.region, size)
        deadline_ns = wanted.deadline_ns_of(deadline) - slack_ns
        effort = Effort(effort)
        first_pfn = wanted.start_pfn_of(self.region, size, align, start_pfn)
        covering = self._ruler.covering(frames, deadline_ns, effort, zero=zero, start_pfn=first_pfn)
        if confidence is None:
            confidence = DEFAULT_CONFIDENCE if covering is None else covering.confidence
        check_confidence(confidence)
        costs = self._model.costs(confidence, deadline_ns)
        is_hard = covering is not None and covering.kind == "hard" and self._ruler.hard_holds()
        request = Request(
            frames=frames,
            costs=costs,
            effort=effort,
            align_frames=wanted.align_frames_of(align),
            start_pfn=first_pfn,
            deadline_ns=deadline_ns,
            refuse=deadline is not None and not is_hard,
            covered=covering is not None,
            no_wait=is_hard,
            batch_bytes=self._ruler.batch_bytes(),
            zero=zero,
        )
        return request, costs

    def _after(self, report: ReclaimReport, costs: Costs) -> None:
        """An allocation ran: what it showed is learned; what its writes showed is the cleaner's to learn."""
        self._model.learn(report, costs)
        # In virtual time the CPU takes what it is said to take, and ceilings follow the device alone.
        self._ruler.policy.is_stale |= not self.store.virtual_time

    def _explained(self, refused: AllocationRefused) -> AllocationRefused:
        if refused.report.reason != "recovering":
            return refused
        self._ruler.policy.is_stale = True
        # On its way through the interpreter the cleaner would leave the device idle; it comes back when it is done.
        if background.headroom(self.store, 1).reserve_bytes_free == self.region.escape_bytes:
            self._look_again()
        wait_ns = planner.recovery_ns(refused.report.window, self._model.drain, self._ruler.batch_bytes())
        message = f"{refused}; it would be met in about {format_time_ns(wait_ns)}"
        return AllocationRefused(message, replace(refused.report, recovery_ns=wait_ns))

    def release(self, contig: ContigRange) -> None:
        """The same as `contig.release()`, for a range of this store."""
        if not isinstance(contig, ContigRange):
            raise TypeError(f"release takes what alloc_contig gave, not {type(contig).__name__}")
        if contig.region is not self.region:
            raise PoolError("the range was handed out by another store; release it there")
        contig.release()

    # ---- contracts and the knob ------------------------------------------------------------------------

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """The contracts in force; assigning one, several or None puts those in force instead.

        `ContractError` for one that cannot be kept here, with the largest that can.
        """
        return self._ruler.contracts

    @contracts.setter
    def contracts(self, contracts: Contract | Sequence[Contract] | None) -> None:
        self._ruler.set_contracts(as_contracts(contracts))
        self._look_again()

    @property
    def frontswap_max_percent(self) -> Percent:
        """The knob: the largest share of a chunk's frames, in percent, that may hold frontswap data.

        A whole number from 0 to 100; "auto": the largest that the contracts allow; or "adaptive": within that the one
        that saves most device time as the load is now (see `events`), which costs a few ns an access. Lowering it moves
        pages out in the background. `ContractError` for a share that could not be honoured under the contracts and the
        write policy, naming the largest that could.
        """
        return self._ruler.percent

    @frontswap_max_percent.setter
    def frontswap_max_percent(self, percent: Percent) -> None:
        self._ruler.set_percent(percent)
        self._look_again()

    def _look_again(self) -> None:
        if self._cleaner is not None:
            self._cleaner.look_again()

    @property
    def ratio(self) -> Ratio:
        """The knob in force as cleancache:frontswap, the least of the one and the most of the other."""
        percent = self._ruler.percent_in_force
        return Ratio(100 - percent, percent)

    @property
    def admission_filter(self) -> bool:
        """Whether clean pages are let in only where they are worth their copy; may be changed at any time.

        What a get that finds its page spares is `refault_ns`; what a copy costs is known of this machine. `stats()`:
        `clean_admits` and `clean_rejects` by reason, `filter_open` while every page is found to be worth it.
        """
        return self._filtered

    @admission_filter.setter
    def admission_filter(self, wanted: bool) -> None:
        cost = self._model.cost
        copy_ns = 2 * (cost.move_ns + cost.move_ps * PAGE_SIZE // 1000)  # in and out again
        background.set_admission_filter(self.store, self.refault_ns if wanted else None, copy_ns)
        self._filtered = bool(wanted)

    # ---- time ------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The time on the store's clock, in ns."""
        return background.now_ns(self.store)

    def advance(self, time: int | str) -> None:
        """Lets virtual time pass, with the cleaner at work in it; `ValueError` if the store runs in real time."""
        time_ns = parse_time_ns(time)
        if not 0 <= time_ns < _TIME_END_NS:
            raise ValueError(f"time runs forwards, by less than 2**63 ns at once, not by {time}")
        if not self.store.virtual_time:
            raise ValueError("the store runs in real time; open it with virtual_time=True")
        cleaner.advance(self.store, self._model, self._ruler.policy, time_ns)

    def background_work(self) -> cleaner.Policy:
        """For who drives the cleaner itself (a replay): learns from what happened, and says what may be done now."""
        cleaner.learn(self.store, self._model, self._ruler.policy)
        return self._ruler.policy

    def thrash(self, *, watch: bool = False) -> Thrash | None:
        """How often pages come back just after they had to go, with a warning that names the knob; see `Thrash`.

        Of a sample of the keys, which an adaptive knob looks at anyway; `watch`: else it begins now. None: not yet.
        """
        from tmemstore.controller.adaptive import sampled_frames
        from tmemstore.controller.thrash import thrash_of

        if watch and not background.ghosts(self.store).rate_ppb:
            background.set_ghosts(self.store, sampled_frames(self.region.frames))
        seen = background.ghosts(self.store)
        if not seen.rate_ppb:
            return None
        return thrash_of(
            seen,
            frames=self.region.frames,
            read_ns=self.refault_ns,
            write_ps=self._model.cost.byte_ps,
            percent=self.ratio.frontswap,
        )

    @property
    def events(self) -> tuple[Event, ...]:
        """What the controller decided by itself, oldest first, the last 256: when, what and why."""
        return self._ruler.events

    def disturb_device(self, *, duration: int | str, slow: float | None = None, after: int | str = 0) -> None:
        """Makes an emulated device `slow` times slower for a time, or stall (None). `ValueError` without one.

        `duration`: ns or "500ms". `after`: when it begins, from now on. What is under way keeps its time.
        """
        if slow is not None and not 1 <= slow <= 10**6:
            raise ValueError(f"slow is a factor from 1 to 10**6, or None for a stall, not {slow}")
        after_ns, duration_ns = parse_time_ns(after), parse_time_ns(duration)
        if not (0 <= after_ns < _TIME_END_NS and 0 < duration_ns < _TIME_END_NS):
            raise ValueError(f"an episode begins now or later and has a length, not after={after}, duration={duration}")
        permille = 0 if slow is None else round(1000 * slow)
        background.add_episode(self.store, after_ns, duration_ns, permille)

    # ---- looking in ------------------------------------------------------------------------------------

    @property
    def cost(self) -> CostModel:
        """The coefficients in use now; reclaims refine them."""
        return self._model.cost

    @property
    def spill(self) -> SpillInfo | None:
        """How the spill file was opened; None: there is no page-out route."""
        return self.store.spill

    @property
    def enabled(self) -> bool:
        """While False every put and store is rejected, and leaves its key absent."""
        return self.store.enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        self.store.enabled = enabled

    def stats(self) -> Stats:
        """A frozen snapshot of all counters, with the contracts as they stand."""
        return replace(self.store.stats(), contracts=self._ruler.states())

    def chunks(self) -> npt.NDArray[Any]:
        """What each 2 MiB chunk holds: a structured array, fields as in `struct tms_chunk`."""
        return self.store.chunks()

    def frame_counts(self) -> FrameCounts:
        """Frames by what they hold."""
        return self.store.frame_counts()

    def verify(self) -> None:
        """Walks every structure; raises `VerifyError` at the first broken invariant."""
        self.store.verify()

    # ---- life ------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self.store.closed

    def close(self) -> None:
        """Ends store and region. Arrays made from the view of a range stay valid. Closing twice is fine."""
        if self._cleaner is not None:
            self._cleaner.stop()
        try:
            self.store.close()
        finally:
            self.region.close()

    def __enter__(self) -> Self:
        if self.closed:
            raise PoolError("the store is closed; open a new one")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Controller of {self.store!r}>"
