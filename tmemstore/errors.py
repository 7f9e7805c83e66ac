"""What can go wrong, as types.

Wrong arguments, a contract that cannot be kept and files that make no sense raise `ValueError` or `TypeError`, want of
memory for bookkeeping `MemoryError`, files that cannot be written `OSError`; all else is a `TmemError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tmemstore.stats import ReclaimReport


class TmemError(Exception):
    """What goes wrong though the arguments are right; itself, and no subclass, where the process's memory was damaged.

    The errors of what a caller brings (`ProfileError`, `ConfigError`, `TraceError`, `ContractError`) are none of these.
    """


class AllocationRefused(TmemError):
    """A contiguous allocation was refused at once; nothing has changed. `report` says why."""

    def __init__(self, message: str, report: ReclaimReport) -> None:
        super().__init__(message)
        self.report = report


class AllocationAborted(TmemError):
    """A contiguous allocation was given up by its deadline; no persistent page is lost. `report` says why."""

    def __init__(self, message: str, report: ReclaimReport) -> None:
        super().__init__(message)
        self.report = report


class SpillError(TmemError):
    """The spill file or device cannot be used, failed, or answered with wrong bytes."""


class PoolError(TmemError):
    """A closed store, a destroyed pool, or a range that was released or is still in use."""


class EnvironmentLacks(TmemError):
    """The machine lacks something: memory for the region, a codec library."""


class VerifyError(TmemError):
    """`verify()` found a broken invariant: a defect of tmemstore or damaged memory."""


class ProfileError(ValueError):
    """A storage profile that is broken, foreign, or from another device."""


class ConfigError(ValueError):
    """A file of arguments for `tmemstore.open` that cannot be read or made sense of; names file and key."""


class TraceError(ValueError):
    """A trace that cannot be read or made sense of; says which file, which record and at which byte."""
