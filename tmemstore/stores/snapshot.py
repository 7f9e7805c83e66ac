"""What the core tells of a store when it is asked: counters, chunks, broken invariants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tmemstore._binding import check, ffi, lib, text
from tmemstore.stats import FrameCounts, Stats

if TYPE_CHECKING:
    import numpy.typing as npt


def _names(count: int, name: Callable[[int], Any]) -> list[str]:
    return [text(name(number)) for number in range(count)]


_REJECTS: Final = _names(lib.TMS_REJECTS, lib.tms_reject_name)
_NAMES: Final = {
    "clean_rejects": _REJECTS,
    "swap_rejects": _REJECTS,
    "clean_admits": _names(lib.TMS_ADMITS, lib.tms_admit_name),
    "allocs_by_reason": _names(lib.TMS_REASONS, lib.tms_reason_name),
    "written_by_cause": _names(lib.TMS_CAUSES, lib.tms_cause_name),
}


def stats(handle: Any) -> Stats:
    """Return a frozen snapshot of all counters."""
    raw = ffi.new("struct tms_stats *")
    check(lib.tms_stats(handle, raw))
    return Stats.from_c(raw, _NAMES)


def chunks(handle: Any, count: int) -> npt.NDArray[Any]:
    """Return what each chunk holds: a structured array, fields as in `struct tms_chunk`."""
    import numpy as np

    kinds = {"uint16_t": "u2", "uint32_t": "u4"}
    layout = [(name, kinds[field.type.cname]) for name, field in ffi.typeof("struct tms_chunk").fields]
    found = np.zeros(count, dtype=layout)
    check(lib.tms_chunks(handle, count, ffi.from_buffer("struct tms_chunk[]", found)))
    return found


def frame_counts(handle: Any) -> FrameCounts:
    """Return the frames by what they hold."""
    counts = ffi.new("uint64_t[5]")
    check(lib.tms_frame_counts(handle, counts))
    return FrameCounts(*counts)


def verify(handle: Any) -> None:
    """Walk every structure; `VerifyError` names the first broken invariant."""
    told = ffi.new("char const **")
    code = lib.tms_verify(handle, told)
    check(code, text(told[0]))
