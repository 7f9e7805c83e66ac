"""What an allocation is asked for, checked: size, alignment, window, deadline, in the core's units."""

from __future__ import annotations

from typing import Final

from tmemstore.region import Region
from tmemstore.units import parse_pages, parse_time_ns

_NO_DEADLINE_NS: Final = 60_000_000_000


def frames_of(region: Region, size: int | str) -> int:
    """Frames of that size. `ValueError` if the region is smaller."""
    frames = parse_pages(size)
    if frames > region.frames:
        raise ValueError(f"{size} is larger than the region, {region.size_bytes} bytes")
    return frames


def align_frames_of(align: int | str) -> int:
    """The alignment in frames. `ValueError` unless it is a power of two."""
    frames = parse_pages(align, "align")
    if frames & (frames - 1):
        raise ValueError(f"align must be a power of two, not {align}")
    return frames


def start_pfn_of(region: Region, size: int | str, align: int | str, start_pfn: int | None) -> int | None:
    """The window that was asked for, or None. `ValueError` if it is none of this region's."""
    if start_pfn is None:
        return None
    if isinstance(start_pfn, bool) or not isinstance(start_pfn, int):
        raise TypeError(f"start_pfn must be an integer or None, not {type(start_pfn).__name__}")
    last = region.frames - frames_of(region, size)
    if not 0 <= start_pfn <= last:
        raise ValueError(f"start_pfn must be from 0 to {last} for this size, not {start_pfn}")
    if start_pfn % align_frames_of(align):
        raise ValueError(f"start_pfn {start_pfn} is not aligned to {align}")
    return start_pfn


def deadline_ns_of(deadline: int | str | None) -> int:
    """The deadline in ns from the call on; without one the end comes after 60 s. `ValueError` for none to come."""
    if deadline is None:
        return _NO_DEADLINE_NS
    deadline_ns = parse_time_ns(deadline)
    if not 0 < deadline_ns < 2**63:
        raise ValueError(f"a deadline is a positive time from the call on, not {deadline}")
    return deadline_ns
