"""A refused put leaves the key absent, on every path a refusal can take and whatever the key held before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tmemstore
from support import (
    FOREVER,
    PAGE,
    disarm,
    fill,
    keys,
    noise,
    page_everything_out,
    stack,
    store_until_refused,
    text,
    tmem_get,
)

SITES = ("ENTRY_ALLOC", "OBJECT_ALLOC", "SPAN_ALLOC")
OBJECT, INDEX = 7, 3
Page = Callable[[int], bytes]


def prepare(tm: Any, pool: int, older: str, *, neighbours: bool) -> None:
    """Leave the key holding nothing, a same-filled page, a page in the region or one in the spill file."""
    store = tm.store
    if older == "filled":
        assert store.put(pool, OBJECT, INDEX, fill(1))
    elif older in ("region", "spilled"):
        if neighbours:  # objects packed beside it, so that its going away frees no frame
            for index in range(100, 106):
                assert store.put(pool, OBJECT, index, text(1))
        assert store.put(pool, OBJECT, INDEX, text(2))
    if older == "spilled":
        page_everything_out(tm)
        where = int(store.where_many(pool, keys([OBJECT]), keys([INDEX]))[0])
        assert where == tmemstore.Place.SPILL


def take_every_frame(tm: Any) -> None:
    """Fill the region with persistent pages that cannot be packed, so that no frame is left."""
    store_until_refused(tm.frontswap(31))
    assert tm.frame_counts().free == 0
    assert tm.frame_counts().clean == 0


def assert_absent(tm: Any, pool: int) -> None:
    """The key is absent by every way of asking."""
    store = tm.store
    untouched = bytearray(b"\xcc" * PAGE)
    assert store.get(pool, OBJECT, INDEX, untouched) is False, "a refused put left a page behind"
    assert untouched == b"\xcc" * PAGE
    assert int(store.where_many(pool, keys([OBJECT]), keys([INDEX]))[0]) == tmemstore.Place.ABSENT
    tm.verify()


def rejects(tm: Any, *, persistent: bool) -> dict[str, int]:
    stats = tm.stats()
    return dict(stats.swap_rejects if persistent else stats.clean_rejects)


# path, kind of pool, what the key held, the new page, the reasons it may be refused for
CERTAIN = [
    ("full", True, "nothing", text, {"full"}),
    ("full", True, "filled", text, {"full"}),
    ("full", True, "spilled", text, {"full"}),
    ("full", False, "nothing", noise, {"full"}),
    ("full", False, "filled", noise, {"full"}),
    ("full", False, "nothing", text, {"full"}),
    ("poor", True, "nothing", noise, {"poor", "full"}),
    ("poor", True, "filled", noise, {"poor", "full"}),
    ("poor", True, "region", noise, {"poor", "full"}),
    ("poor", True, "spilled", noise, {"poor", "full"}),
    *[
        ("disabled", True, older, new, {"disabled"})
        for older in ("nothing", "filled", "region", "spilled")
        for new in (noise, text, fill)
    ],
    *[
        ("disabled", False, older, new, {"disabled"})
        for older in ("nothing", "filled", "region")
        for new in (noise, text, fill)
    ],
    *[("ENTRY_ALLOC", persistent, "nothing", new, {"memory"}) for persistent in (True, False) for new in (noise, text)],
    *[
        ("OBJECT_ALLOC", persistent, "nothing", new, {"memory"})
        for persistent in (True, False)
        for new in (noise, text, fill)
    ],
]


@pytest.mark.parametrize(
    ("path", "persistent", "older", "new", "reasons"),
    CERTAIN,
    ids=[
        f"{path}-{'persistent' if kind else 'ephemeral'}-{older}-{new.__name__}"
        for path, kind, older, new, _ in CERTAIN
    ],
)
def test_a_refused_put_leaves_the_key_absent(
    opened: Any, path: str, persistent: bool, older: str, new: Page, reasons: set[str]
) -> None:
    tm = opened("1MiB", spill=True, codec="lz4")
    store = tm.store
    pool = store.new_pool(persistent=persistent)
    prepare(tm, pool, older, neighbours=path == "poor")
    if path in ("full", "poor"):
        take_every_frame(tm)
    elif path == "disabled":
        tm.enabled = False
    else:
        store.arm_fault(tmemstore.FaultSite[path], count=FOREVER)
    before = rejects(tm, persistent=persistent)

    assert store.put(pool, OBJECT, INDEX, new(50)) is False

    after = rejects(tm, persistent=persistent)
    counted = {reason for reason in after if after[reason] != before[reason]}
    assert len(counted) == 1
    assert counted <= reasons
    assert sum(after.values()) == sum(before.values()) + 1
    assert_absent(tm, pool)

    disarm(tm)  # and the path is not worn out by it: the same put is taken when there is room again
    tm.enabled = True
    tm.frontswap(31).invalidate_area()
    assert store.put(pool, OBJECT, INDEX, new(50))
    assert tmem_get(store, pool, OBJECT, INDEX) == new(50)


@pytest.mark.parametrize("new", [noise, text, fill])
@pytest.mark.parametrize("older", ["nothing", "filled", "region", "spilled"])
@pytest.mark.parametrize("persistent", [True, False], ids=["persistent", "ephemeral"])
@pytest.mark.parametrize("site", SITES)
def test_a_put_without_memory_is_refused_and_absent_or_accepted_and_new(
    opened: Any, site: str, persistent: bool, older: str, new: Page
) -> None:
    """Where the allocation is not needed the put may succeed: then the new page is there, never the old one."""
    if older == "spilled" and not persistent:
        older = "region"
    tm = opened("1MiB", spill=True, codec="lz4")
    store = tm.store
    pool = store.new_pool(persistent=persistent)
    prepare(tm, pool, older, neighbours=False)
    store.arm_fault(tmemstore.FaultSite[site], count=FOREVER)
    if store.put(pool, OBJECT, INDEX, new(50)):
        assert tmem_get(store, pool, OBJECT, INDEX) == new(50)
        tm.verify()
    else:
        assert store.fault_fired(tmemstore.FaultSite[site]) >= 1
        assert_absent(tm, pool)


def test_span_allocation_failure_is_met_by_packing_a_page(opened: Any) -> None:
    """The site is real: the first packed page of a fresh store needs a span."""
    tm = opened(codec="lz4")
    swap = tm.frontswap(0)
    tm.store.arm_fault(tmemstore.FaultSite.SPAN_ALLOC, count=1)
    accepted = swap.store(1, text(1))
    assert tm.store.fault_fired(tmemstore.FaultSite.SPAN_ALLOC) == 1
    out = bytearray(PAGE)
    assert swap.load(1, out) is accepted
    assert (bytes(out) == text(1)) is accepted


@pytest.mark.parametrize("path", ["full", "disabled", "ENTRY_ALLOC", "OBJECT_ALLOC"])
def test_a_refused_batch_leaves_every_refused_key_absent(opened: Any, path: str) -> None:
    tm = opened("1MiB", codec="none")
    store = tm.store
    swap = tm.frontswap(0)
    offsets = keys(range(0, 600, 2))
    swap.store_many(offsets, stack(fill(int(offset)) for offset in offsets))
    if path == "disabled":
        tm.enabled = False
    elif path != "full":
        store.arm_fault(tmemstore.FaultSite[path], skip=10, count=FOREVER)
    new = stack(noise(int(offset)) for offset in offsets)
    accepted = swap.store_many(offsets, new)
    disarm(tm)
    if path in ("full", "disabled"):
        assert not accepted.all(), "300 pages do not fit into 256 frames"
    out = np.zeros_like(new)
    hit = swap.load_many(offsets, out)
    assert np.array_equal(hit, accepted), "a refused key is held, or an accepted one is not"
    assert np.array_equal(out[hit], new[hit])
    tm.verify()
