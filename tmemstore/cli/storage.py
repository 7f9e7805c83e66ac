"""The options that name a device, and what is wrong with them, for every benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tmemstore.cli.usage import UsageError


def check(option: str) -> None:
    """Refuse a ``--storage`` that names no device; raises UsageError, or ProfileError for a broken profile."""
    from tmemstore import ProfileError
    from tmemstore.storage import choose

    try:
        choose.storage(option)
    except ProfileError:
        raise
    except ValueError as error:
        raise UsageError(f"--storage: {error}") from error


@contextmanager
def contract_errors() -> Iterator[None]:
    """What no store could keep is the user's to change: a ContractError becomes a UsageError."""
    from tmemstore import ContractError

    try:
        yield
    except ContractError as error:
        raise UsageError(str(error)) from error
