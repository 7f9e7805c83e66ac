"""Contracts: which window can be had by when, and what admission must refuse so that it stays so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from tmemstore.controller.cost import CostModel
from tmemstore.stats import Effort
from tmemstore.units import CHUNK_BYTES, PAGE_SIZE, format_size, format_time_ns, parse_pages, parse_time_ns

if TYPE_CHECKING:
    import numpy.typing as npt

CONTRACTS_MAX: Final = 8
UNLIMITED: Final = 2**64 - 1

CHUNK_FRAMES: Final = CHUNK_BYTES // PAGE_SIZE
_COUNTED: Final = ("frames_frontswap", "objects_copied", "objects_uncopied", "bytes_uncopied")
_PENDING_SHARE: Final = 10
"""Of the deadline, the part (one tenth) that writes of the cleaner, under way when an allocation begins, may take."""
_REACTION_NS: Final = 300_000
"""Taking the lock, noticing completions, coming back: what no coefficient stands for."""
_OBJECTS_PER_FRAME: Final = {"none": 1}
_PACKED_PER_FRAME: Final = 4
"""Compressed pages in a frame that the CPU's share of a deadline is laid out for; more are bounded, not expected."""
MARGIN: Final = 0.95
"""Of what the device takes in time, admission uses so much, so that a sample more or less breaks no contract."""


class ContractError(ValueError):
    """A contract, a frontswap share or an escape reserve that cannot be kept; the message names what could."""


@dataclass(frozen=True, slots=True)
class Contract:
    """Any chunk-aligned window of `size` without an allocated frame can be had within `deadline`.

    `size`: bytes or "64MiB", a page multiple, counted in whole chunks of 2 MiB. `deadline`: ns or "50ms". `kind`:
    "soft", kept with the probability `confidence` (a fraction, 0.5 to below 1), or "hard", kept whatever the device
    does. `zero`: the range is asked for zeroed. Attributes besides: `frames` and `deadline_ns`, size and deadline as
    numbers. Raises `ValueError`, `TypeError`.
    """

    size: int | str
    deadline: int | str
    kind: Literal["soft", "hard"] = "soft"
    confidence: float = 0.999
    zero: bool = False
    frames: int = field(init=False)
    deadline_ns: int = field(init=False)

    def __post_init__(self) -> None:
        """Refuses what is no size, no time, no kind, no probability."""
        object.__setattr__(self, "frames", parse_pages(self.size))
        deadline_ns = parse_time_ns(self.deadline)
        if not 0 < deadline_ns < 2**63:
            raise ValueError(f"a contract's deadline is a positive time, not {self.deadline}")
        object.__setattr__(self, "deadline_ns", deadline_ns)
        if self.kind not in {"soft", "hard"}:
            raise ValueError(f'a contract is "soft" or "hard", not {self.kind!r}')
        check_confidence(self.confidence)

    @property
    def chunks(self) -> int:
        """The window in chunks, rounded up."""
        return -(-self.frames // CHUNK_FRAMES)

    def covers(self, frames: int, deadline_ns: int, effort: Effort, *, zero: bool) -> bool:
        """Whether an allocation is no larger and no more urgent than this, and may do what it takes."""
        needed = Effort.MIGRATE if self.kind == "hard" else Effort.PAGE_OUT
        return (
            -(-frames // CHUNK_FRAMES) <= self.chunks
            and deadline_ns >= self.deadline_ns
            and effort >= needed
            and (self.zero or not zero)
        )

    def __str__(self) -> str:
        size = format_size(self.frames * PAGE_SIZE)
        odds = f" at {100 * self.confidence:g} %" if self.kind == "soft" else ""
        return f"{size} in {format_time_ns(self.deadline_ns)}, {self.kind}{odds}"


@dataclass(frozen=True, slots=True)
class ContractState:
    """A contract as it stands: `state` is "holding", "recovering" or "broken".

    `recovery_ns`: until it holds again, by the model; None while it holds or cannot. `reason`: why it does not hold.
    `uncopied_bytes`: what the fullest window holds without a copy; `ceiling_bytes`: what it may. `region_bytes`: what
    region and reserve are laid out to hold without a copy together; what lies in the reserve may come on top.
    """

    contract: Contract
    state: Literal["holding", "recovering", "broken"]
    recovery_ns: int | None
    reason: str
    uncopied_bytes: int
    ceiling_bytes: int
    region_bytes: int


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What admission enforces for one contract: the fields of `struct tms_ceiling`, which has their meaning."""

    contract: Contract
    window_chunks: int
    drops_ns: int
    cpu_ns: int
    frame_ns: int
    clean_ns: int
    drop_ns: int
    object_ns: int
    byte_ps: int
    device_bytes: int

    def cpu_bytes_over(self, chunks: npt.NDArray[Any]) -> int | None:
        """Bytes that must get a copy for every window to keep the CPU no longer than `cpu_ns`; None: that cannot help.

        `chunks`: as `Controller.chunks` returns them.
        """
        import numpy as np

        counts = {name: chunks[name].astype(np.int64) for name in _COUNTED}
        clean = np.maximum(0, CHUNK_FRAMES - counts["frames_frontswap"])
        drops = counts["objects_copied"] + counts["objects_uncopied"]
        base_ns = CHUNK_FRAMES * self.frame_ns + clean * self.clean_ns + drops * self.drop_ns
        moves_ns = counts["objects_uncopied"] * self.object_ns + counts["bytes_uncopied"] * self.byte_ps // 1000
        size = min(self.window_chunks, len(chunks))
        ends = (np.cumsum([0, *column]) for column in (base_ns + moves_ns, moves_ns, counts["bytes_uncopied"]))
        total_ns, moved_ns, moved_bytes = (end[size:] - end[:-size] for end in ends)
        over_ns = np.maximum(0, total_ns - self.cpu_ns)
        if (over_ns > moved_ns).any():
            return None
        # In floating point, since the product may exceed 64 bits; the rest of a byte is rounded up.
        return int(np.ceil(moved_bytes * (over_ns / np.maximum(1, moved_ns))).max())

    def fill(self, raw: Any) -> None:
        """Writes all fields of a `struct tms_ceiling`."""
        for each in fields(self):
            if each.name != "contract":
                setattr(raw, each.name, getattr(self, each.name))


def check_confidence(confidence: object) -> None:
    """`ValueError` or `TypeError` unless it is a fraction from 0.5 to below 1, with a hint for a percentage."""
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        raise TypeError(f"a confidence is a fraction such as 0.999, not {type(confidence).__name__}")
    if 1 < confidence < 100:  # noqa: PLR2004 - percent
        raise ValueError(f"a confidence is a fraction in Python: write {confidence / 100:g}, not {confidence:g}")
    if not 0.5 <= confidence < 1:  # noqa: PLR2004
        raise ValueError(f"a confidence is a fraction from 0.5 to below 1, such as 0.999, not {confidence:g}")


def as_contracts(contracts: object) -> tuple[Contract, ...]:
    """One contract or several, checked against each other; `TypeError`, or `ContractError` for a contradiction."""
    if contracts is None:
        return ()
    given = (contracts,) if isinstance(contracts, Contract) else contracts
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"contract must be a Contract or a list of them, not {type(contracts).__name__}")
    several = tuple(given)
    for contract in several:
        if not isinstance(contract, Contract):
            raise TypeError(f"contract must be a Contract or a list of them, not of {type(contract).__name__}")
    if len(several) > CONTRACTS_MAX:
        raise ContractError(f"a store has at most {CONTRACTS_MAX} contracts, not {len(several)}")
    for i, one in enumerate(several):
        for other in several[:i]:
            if (one.frames, one.deadline_ns) == (other.frames, other.deadline_ns):
                raise ContractError(f"two contracts contradict each other: {other}; {one}. Keep one of them")
    return several


def pending_ns(deadline_ns: int) -> int:
    """The time that writes of the cleaner may take at the device when an allocation begins."""
    return deadline_ns // _PENDING_SHARE


class Layout:
    """How the deadline of contracts is laid out on this region, with this reserve and codec."""

    def __init__(self, *, region_frames: int, escape_bytes: int, codec: str, can_write: bool) -> None:
        self._region_frames = region_frames
        self._escape_bytes = escape_bytes
        self._per_frame = _OBJECTS_PER_FRAME.get(codec, _PACKED_PER_FRAME)
        self._can_write = can_write

    def _least_ns(self, contract: Contract, chunks: int, cost: CostModel) -> int:
        """What a window full of clean pages takes."""
        frames = min(chunks * CHUNK_FRAMES, self._region_frames)
        return cost.t0_ns + _REACTION_NS + frames * self._least_frame_ns(contract, cost)

    @staticmethod
    def _least_frame_ns(contract: Contract, cost: CostModel) -> int:
        return cost.frame_ns + cost.clean_ns + (cost.zero_ns if contract.zero else 0)

    def check(self, contract: Contract, cost: CostModel) -> None:
        """`ContractError` if no store could keep the contract, naming the largest window that can be had."""
        if contract.frames > self._region_frames:
            raise ContractError(
                f"{contract}: larger than the region, {format_size(self._region_frames * PAGE_SIZE)}; "
                "make the region larger or the contract smaller"
            )
        if contract.kind == "hard" and not self._escape_bytes:
            raise ContractError(
                f"{contract}: a hard contract needs an escape reserve; give escape=SIZE, as many bytes of frontswap "
                "data without a copy as it shall carry"
            )
        least_ns = self._least_ns(contract, contract.chunks, cost)
        if least_ns <= contract.deadline_ns:
            return
        chunk_ns = max(1, CHUNK_FRAMES * self._least_frame_ns(contract, cost))
        spare_ns = contract.deadline_ns - self._least_ns(contract, 0, cost)
        largest = max(0, spare_ns // chunk_ns) * CHUNK_BYTES
        could = f"the largest that can is {format_size(largest)}" if largest else "no size can"
        raise ContractError(
            f"{contract}: even clean pages alone take {format_time_ns(least_ns)} to drop here; in "
            f"{format_time_ns(contract.deadline_ns)} {could}"
        )

    def ceiling(self, contract: Contract, cost: CostModel, *, may_write: bool) -> Ceiling:
        """The ceilings of a contract, by the cost at its (safer) confidence. `may_write`: the write budget allows it.

        What must follow everything else, isolating and dropping, gets its own part of the deadline: as much as a window
        full of `_per_frame` objects a frame takes, or half of it; moving and writing share the rest side by side.
        """
        frames = contract.chunks * CHUNK_FRAMES
        zero_ns = frames * cost.zero_ns if contract.zero else 0
        available_ns = max(0, contract.deadline_ns - cost.t0_ns - _REACTION_NS - zero_ns)
        drops_ns, device_bytes = available_ns, UNLIMITED
        if contract.kind == "soft":
            least_ns = frames * (cost.frame_ns + cost.clean_ns)
            full_ns = frames * (cost.frame_ns + self._per_frame * cost.drop_ns)
            drops_ns = max(least_ns, min(available_ns // 2, full_ns))
            device_ns = available_ns - drops_ns - pending_ns(contract.deadline_ns)
            device_bytes = int(MARGIN * min(cost.device_bytes(device_ns), UNLIMITED // 2))
            if not (self._can_write and may_write and device_ns > 0):
                device_bytes = 0
        return Ceiling(
            contract=contract,
            window_chunks=contract.chunks,
            drops_ns=drops_ns,
            cpu_ns=available_ns,
            frame_ns=cost.frame_ns,
            clean_ns=cost.clean_ns,
            drop_ns=cost.drop_ns,
            object_ns=max(cost.move_ns, cost.object_ns),
            byte_ps=cost.move_ps,
            device_bytes=device_bytes,
        )

    def window_bytes(self, ceiling: Ceiling) -> int:
        """Uncopied bytes that a window may hold while the reserve is empty."""
        object_bytes = PAGE_SIZE // self._per_frame
        object_ps = 1000 * (ceiling.object_ns + ceiling.drop_ns) + object_bytes * ceiling.byte_ps
        frames_ns = ceiling.window_chunks * CHUNK_FRAMES * ceiling.frame_ns
        by_cpu = 1000 * max(0, ceiling.cpu_ns - frames_ns) * object_bytes // max(1, object_ps)
        room = self._escape_bytes if ceiling.contract.kind == "hard" else ceiling.device_bytes + self._escape_bytes
        return min(room, by_cpu, ceiling.window_chunks * CHUNK_BYTES)

    def region_bytes(self, ceilings: Sequence[Ceiling]) -> int:
        """Uncopied bytes that region and reserve may hold together, by all contracts; the region's size if none."""
        all_chunks = -(-self._region_frames // CHUNK_FRAMES)
        limits = [self._region_frames * PAGE_SIZE]
        for ceiling in ceilings:
            limits.append(self.window_bytes(ceiling) * all_chunks // ceiling.window_chunks)
            if ceiling.contract.kind == "hard":
                limits.append(self._escape_bytes)
        return min(limits)

    def largest_percent(self, ceilings: Sequence[Ceiling], *, copies: bool) -> int:
        """The largest frontswap share that the contracts allow. `copies`: pages get copies in the background."""
        if copies:
            return 100
        return 100 * self.region_bytes(ceilings) // (self._region_frames * PAGE_SIZE)
