"""The fixture that opens stores for a test and looks them over when the test is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import support
import tmemstore


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A factory of open controllers; spill=True makes a spill file in the test's folder."""
    stores: list[Any] = []

    def open_store(region: int | str = "1MiB", *, spill: bool | str | Path | None = None, **options: Any) -> Any:
        if spill is True:
            spill = tmp_path / f"spill-{len(stores)}.img"
        options.setdefault("storage", support.MODEL)
        options.setdefault("writeback", "back")  # nothing is written but what an allocation asks for
        tm = tmemstore.open(region, spill or None, **options)
        stores.append(tm)
        return tm

    yield open_store
    try:
        for tm in stores:
            if not tm.closed:
                support.disarm(tm)
                tm.verify()
    finally:
        for tm in stores:
            tm.close()
