"""Policy: from contracts, the knob, the write policy and the model to what admission enforces and the cleaner does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from tmemstore.controller.cleaner import Policy, WriteBudget
from tmemstore.controller.contract import (
    CHUNK_FRAMES,
    MARGIN,
    Ceiling,
    Contract,
    ContractError,
    ContractState,
    Layout,
    pending_ns,
)
from tmemstore.controller.cost import CostModel
from tmemstore.controller.model import Model
from tmemstore.stats import Effort
from tmemstore.stores import background
from tmemstore.stores.background import CleanRequest
from tmemstore.stores.tmem import TmemStore
from tmemstore.units import PAGE_SIZE

if TYPE_CHECKING:
    from tmemstore.controller.adaptive import Adaptive, Event

WRITEBACKS: Final = ("back", "behind", "through")
AUTO: Final = "auto"
ADAPTIVE: Final = "adaptive"
Percent = int | Literal["auto", "adaptive"]
"""The knob: see `Controller.frontswap_max_percent`."""
BATCH_BYTES: Final = 512 << 10
"""The largest write; smaller where a contract's deadline is short for the device."""

_BATCH_MIN_BYTES: Final = 16 << 10
_PENDING_BYTES: Final = 2 << 20
_PENDING_BATCHES: Final = 2
_CLEAN_TARGET: Final = 0.93
"""Of what may be without a copy, the cleaner leaves so much: pages that are soon overwritten cost no write, and there
is room for a burst."""
_UNBOUND_TARGET: Final = 0.5
"""The same, of the region, where no contract bounds anything."""
_ALL: Final = 100


@dataclass(frozen=True, slots=True)
class Ratio:
    """cleancache:frontswap, in percent of all frames."""

    cleancache: int
    frontswap: int

    def __str__(self) -> str:
        return f"{self.cleancache}:{self.frontswap}"


class Ruler:
    """The one place where contracts, knob and model meet. Thread-safe."""

    def __init__(
        self,
        store: TmemStore,
        model: Model,
        *,
        writeback: Literal["back", "behind", "through"],
        write_limit_bytes: int | None,
        read_ns: int,
    ) -> None:
        self._store = store
        self._model = model
        self._writeback = writeback
        self._lock = threading.RLock()
        self._contracts: tuple[Contract, ...] = ()
        self._ceilings: tuple[Ceiling, ...] = ()
        self._percent: Percent = AUTO
        self._read_ns = read_ns
        self._adaptive: Adaptive | None = None
        self._can_write = store.spill is not None
        self._layout = Layout(
            region_frames=store.region.frames,
            escape_bytes=store.region.escape_bytes,
            codec=store.codec,
            can_write=self._can_write,
        )
        self.policy = Policy(self.refresh, self.adapt, WriteBudget(write_limit_bytes))
        self.refresh()

    # ---- contracts -------------------------------------------------------------------------------------

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """Those in force."""
        return self._contracts

    def set_contracts(self, contracts: Sequence[Contract]) -> None:
        """Puts these in force; `ContractError` if one cannot be kept, or not with the frontswap share in force."""
        with self._lock:
            for contract in contracts:
                self._layout.check(contract, self._bound(contract))
            before, self._contracts = self._contracts, tuple(contracts)
            try:
                self.refresh()
                self._check_percent(self._percent)
            except ContractError:
                self._contracts = before
                self.refresh()
                raise

    def covering(
        self, frames: int, deadline_ns: int, effort: Effort, *, zero: bool, start_pfn: int | None
    ) -> Contract | None:
        """The contract that covers an allocation, a hard one first. `start_pfn`: of the window asked for, or None."""
        if start_pfn is not None and start_pfn % CHUNK_FRAMES:
            return None
        covering = [c for c in self._contracts if c.covers(frames, deadline_ns, effort, zero=zero)]
        return min(covering, key=lambda contract: contract.kind != "hard", default=None)

    def hard_holds(self) -> bool:
        """Whether what has no copy fits into the reserve; else a hard contract recovers, and may have to refuse."""
        return background.headroom(self._store, 1).uncopied_bytes <= self._store.region.escape_bytes

    def _bound(self, contract: Contract) -> CostModel:
        return self._model.ceiling_cost(contract.confidence, contract.deadline_ns)

    def states(self) -> tuple[ContractState, ...]:
        """Each contract as it stands now."""
        with self._lock:
            return tuple(self._state(ceiling) for ceiling in self._ceilings)

    def _state(self, ceiling: Ceiling) -> ContractState:
        contract = ceiling.contract
        head = background.headroom(self._store, ceiling.window_chunks)
        # What the contract itself demands; ceilings are lower, for a margin that the model may move in.
        demanded = self._layout.ceiling(
            contract,
            self._model.costs(contract.confidence, contract.deadline_ns).bound,
            may_write=self.policy.request is not None,
        )
        if contract.kind == "hard":
            most, held = self._store.region.escape_bytes, head.uncopied_bytes
        else:
            device_bytes = max(ceiling.device_bytes, int(demanded.device_bytes / MARGIN))
            # Writes of the cleaner are reckoned with; what else is at the device comes first.
            others = max(0, head.pending_bytes - self._pending_bytes(contract))
            most = max(0, device_bytes - others) + head.reserve_bytes_free
            held = head.window_bytes_uncopied
        cpu_short = demanded.cpu_bytes_over(self._store.chunks())
        short = max(held - most, cpu_short or 0)
        region_bytes = self._layout.region_bytes([ceiling])

        def stands(
            state: Literal["holding", "recovering", "broken"], reason: str = "", recovery_ns: int | None = None
        ) -> ContractState:
            return ContractState(contract, state, recovery_ns, reason, held, most, region_bytes)

        try:
            self._layout.check(contract, self._bound(contract))
        except ContractError as error:
            return stands("broken", str(error))
        if cpu_short is None:
            return stands("broken", "its pages take too long to be dropped, with a copy or without")
        if short <= 0:
            return stands("holding")
        if not self._can_write:
            return stands("broken", "nothing can be written: no spill file")
        if self.policy.request is None:
            return stands("broken", "nothing can be written: the write budget is used up")
        return stands("recovering", f"{short} bytes wait for a copy", self._model.drain.device_ns(short))

    # ---- the knob --------------------------------------------------------------------------------------

    @property
    def percent(self) -> Percent:
        """As it was set."""
        return self._percent

    @property
    def percent_in_force(self) -> int:
        """The largest share of a chunk's frames that frontswap data may take."""
        if self._adaptive is not None:
            return min(self._adaptive.percent, self._largest_percent())
        return self._largest_percent() if self._percent == AUTO else int(self._percent)

    def set_percent(self, percent: object) -> None:
        """Sets the knob; `ContractError` names the largest share that could be honoured."""
        wanted: Percent
        if percent == AUTO:
            wanted = AUTO
        elif percent == ADAPTIVE:
            wanted = ADAPTIVE
        elif isinstance(percent, int) and not isinstance(percent, bool):
            wanted = percent
        else:
            raise TypeError(f'frontswap_max_percent is a whole percentage, "auto" or "adaptive", not {percent!r}')
        if isinstance(wanted, int) and not 0 <= wanted <= _ALL:
            raise ValueError(f"frontswap_max_percent must be from 0 to 100, not {percent}")
        with self._lock:
            self._check_percent(wanted)
            if wanted == ADAPTIVE and self._adaptive is None:
                from tmemstore.controller.adaptive import Adaptive

                self._adaptive = Adaptive(self._store, read_ns=self._read_ns)
            elif wanted != ADAPTIVE and self._adaptive is not None:
                self._adaptive.end()
                self._adaptive = None
            self._percent = wanted
            self.refresh()

    @property
    def events(self) -> tuple[Event, ...]:
        """What was decided without anybody asking, oldest first; the last 256."""
        return () if self._adaptive is None else tuple(self._adaptive.log)

    def adapt(self) -> int | None:
        """Moves an adaptive knob, if that is worth it; accesses until it is to be asked again, None: never."""
        with self._lock:
            if self._adaptive is None:
                return None
            if self._adaptive.decide(self._largest_percent(), self._model.cost.byte_ps):
                self.refresh()
            return self._adaptive.left

    def _largest_percent(self) -> int:
        copies = self._can_write and self._writeback != "back"
        return self._layout.largest_percent(self._ceilings, copies=copies)

    def _check_percent(self, percent: Percent) -> None:
        largest = self._largest_percent()
        if isinstance(percent, int) and percent > largest:
            how = {"back": 'with writeback="back"'}.get(self._writeback, "without a spill file")
            raise ContractError(
                f"frontswap_max_percent={percent} cannot be honoured {how} under "
                f"{', '.join(map(str, self._contracts))}; the largest that can is {largest}"
            )

    # ---- what follows ----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Computes ceilings and the cleaner's work anew, and puts them in force."""
        with self._lock:
            self._model.set_batch_bytes(self.batch_bytes())
            exhausted = self.policy.budget.is_exhausted(background.now_ns(self._store))
            self._ceilings = tuple(
                self._layout.ceiling(contract, self._bound(contract), may_write=not exhausted)
                for contract in self._contracts
            )
            background.set_ceilings(
                self._store,
                self._ceilings,
                frontswap_permille=10 * self.percent_in_force,
                hard=any(contract.kind == "hard" for contract in self._contracts),
            )
            self.policy.request = None if exhausted else self._clean_request()

    def batch_bytes(self) -> int:
        """Of one write: its time is a small part of the shortest deadline."""
        if not self._contracts:
            return BATCH_BYTES
        share = min(self._pending_bytes(contract) for contract in self._contracts) // _PENDING_BATCHES
        return max(_BATCH_MIN_BYTES, min(BATCH_BYTES, share // PAGE_SIZE * PAGE_SIZE))

    def _pending_bytes(self, contract: Contract) -> int:
        return pending_ns(contract.deadline_ns) * 1000 // max(1, self._model.cost.byte_ps)

    def _clean_request(self) -> CleanRequest:
        batch = self.batch_bytes()
        soft = [self._pending_bytes(contract) for contract in self._contracts if contract.kind == "soft"]
        return CleanRequest(
            pending_max_bytes=max(batch * _PENDING_BATCHES, min([_PENDING_BYTES, *soft])),
            batch_bytes=batch,
            cold_bytes=self._cold_bytes(),
            drain=True,
            trim=self.percent_in_force < _ALL,
        )

    def _cold_bytes(self) -> int:
        """What may stay in the region without a copy: a part of what the contracts allow, and of frontswap's share.

        Where the share is full of pages without a copy none can make room, and stores are refused.
        """
        limit = self._layout.region_bytes(self._ceilings)
        if self._writeback == "back":
            # Only what exceeds a ceiling, since the device got slower, must be written.
            return limit if self._ceilings else background.NO_COPIES
        share = int(self._store.region.size_bytes * self.percent_in_force // _ALL * _UNBOUND_TARGET)
        return min(int(limit * _CLEAN_TARGET), share) if self._ceilings else share
