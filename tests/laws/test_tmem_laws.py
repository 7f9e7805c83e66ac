"""The laws of tmem: put, get, flush, destroy, on ephemeral and persistent pools alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tmemstore
from support import FAMILIES, PAGE, UUID, fill, keys, mixed, noise, page_everything_out, stack, text, tmem_get

KINDS = pytest.mark.parametrize("persistent", [False, True], ids=["ephemeral", "persistent"])
CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])


@KINDS
@CODECS
@pytest.mark.parametrize("new", FAMILIES)
@pytest.mark.parametrize("old", FAMILIES)
def test_put_put_get_never_returns_old_data(opened: Any, persistent: bool, codec: str, old: str, new: str) -> None:
    store = opened(codec=codec).store
    pool = store.new_pool(persistent=persistent)
    assert store.put(pool, 1, 2, FAMILIES[old](10))
    assert store.put(pool, 1, 2, FAMILIES[new](11))
    assert tmem_get(store, pool, 1, 2) == FAMILIES[new](11)
    store.verify()


@KINDS
def test_put_get_returns_what_was_put(opened: Any, persistent: bool) -> None:
    store = opened("2MiB").store
    pool = store.new_pool(persistent=persistent)
    known = {(seed % 7, seed * 3): mixed(seed) for seed in range(300)}
    for (object_, index), page in known.items():
        assert store.put(pool, object_, index, page)
    for (object_, index), page in known.items():
        assert tmem_get(store, pool, object_, index) == page


@KINDS
def test_miss_stays_miss(opened: Any, persistent: bool) -> None:
    store = opened().store
    pool = store.new_pool(persistent=persistent)
    assert store.put(pool, 5, 5, noise(1))
    untouched = bytearray(b"\xee" * PAGE)
    for object_, index in [(5, 4), (5, 6), (4, 5), (6, 5), (0, 0), (2**64 - 1, 2**32 - 1)]:
        for _ in range(2):
            assert store.get(pool, object_, index, untouched) is False
    assert untouched == b"\xee" * PAGE, "a miss wrote into the caller's buffer"


@KINDS
def test_keys_at_the_ends_of_their_range_are_keys_like_any_other(opened: Any, persistent: bool) -> None:
    store = opened().store
    pool = store.new_pool(persistent=persistent)
    ends = [(object_, index) for object_ in (0, 1, 2**32, 2**63, 2**64 - 1) for index in (0, 1, 2**31, 2**32 - 1)]
    for seed, (object_, index) in enumerate(ends):
        assert store.put(pool, object_, index, noise(seed))
    for seed, (object_, index) in enumerate(ends):
        assert tmem_get(store, pool, object_, index) == noise(seed)
    store.verify()


@KINDS
def test_a_flushed_page_is_absent_and_its_neighbours_are_not(opened: Any, persistent: bool) -> None:
    store = opened().store
    pool = store.new_pool(persistent=persistent)
    for index in range(9):
        assert store.put(pool, 1, index, mixed(index))
    for index in range(0, 9, 2):
        store.flush_page(pool, 1, index)
        store.flush_page(pool, 1, index)  # of an absent page: nothing happens
    found = [tmem_get(store, pool, 1, index) for index in range(9)]
    assert found == [None if index % 2 == 0 else mixed(index) for index in range(9)]


@KINDS
def test_flush_object_is_complete(opened: Any, persistent: bool) -> None:
    """Every page of the object goes, wherever it is; no page of another object or pool does."""
    tm = opened("4MiB", spill=True)
    store = tm.store
    pool, other = store.new_pool(persistent=persistent), store.new_pool(persistent=persistent)
    indexes = [i * i % 65_537 * (1 + 65_536 * (i % 2)) % 2**32 for i in range(400)]
    indexes = sorted(set(indexes))
    half = len(indexes) // 2
    for seed, index in enumerate(indexes):
        if seed == half and persistent:
            page_everything_out(tm)  # so that the object lies in the spill file, in frames and in neither
        assert store.put(pool, 77, index, mixed(seed))
    for object_ in (76, 78):
        assert store.put(pool, object_, indexes[0], noise(object_))
    assert store.put(other, 77, indexes[0], noise(99))

    store.flush_object(pool, 77)

    where = store.where_many(pool, keys([77] * len(indexes)), keys(indexes))
    assert not where.any(), f"{int((where != 0).sum())} pages outlived flush_object"
    assert all(tmem_get(store, pool, 77, index) is None for index in indexes)
    assert tmem_get(store, pool, 76, indexes[0]) == noise(76)
    assert tmem_get(store, pool, 78, indexes[0]) == noise(78)
    assert tmem_get(store, other, 77, indexes[0]) == noise(99)
    assert tm.stats().spill_blocks_used == 0
    store.verify()


@KINDS
def test_flush_pool_empties_the_pool_and_leaves_the_handle(opened: Any, persistent: bool) -> None:
    tm = opened()
    store = tm.store
    pool = store.new_pool(persistent=persistent)
    for seed in range(50):
        assert store.put(pool, seed % 5, seed, mixed(seed))
    store.flush_pool(pool)
    assert tm.stats().objects == 0
    assert tm.frame_counts().free == tm.region.frames
    assert all(tmem_get(store, pool, seed % 5, seed) is None for seed in range(50))
    assert store.put(pool, 1, 1, noise(1))
    assert tmem_get(store, pool, 1, 1) == noise(1)


@KINDS
@CODECS
def test_destroy_frees_everything(opened: Any, persistent: bool, codec: str) -> None:
    tm = opened("2MiB", spill=True, codec=codec)
    store = tm.store
    pool = store.new_pool(persistent=persistent)
    for seed in range(200):
        assert store.put(pool, seed % 9, seed, mixed(seed))
    page_everything_out(tm)
    for seed in range(200, 400):
        assert store.put(pool, seed % 9, seed, mixed(seed))

    store.destroy_pool(pool)

    stats = tm.stats()
    assert tm.frame_counts() == (tm.region.frames, 0, 0, 0, 0)
    zero = ("pages_clean", "pages_swap", "pages_fill", "pages_spilled", "pages_copied", "bytes_kept", "objects")
    left = {name: getattr(stats, name) for name in (*zero, "pools", "spans", "spill_blocks_used")}
    assert not any(left.values()), left
    with pytest.raises(tmemstore.PoolError):
        store.put(pool, 1, 1, noise(1))
    tm.verify()


@KINDS
def test_a_destroyed_pool_answers_pool_error_to_every_verb(opened: Any, persistent: bool) -> None:
    store = opened().store
    pool = store.new_pool(persistent=persistent)
    store.destroy_pool(pool)
    one, page, out = keys([1]), stack([noise(1)]), bytearray(PAGE)
    verbs = [
        lambda: store.put(pool, 1, 1, noise(1)),
        lambda: store.get(pool, 1, 1, out),
        lambda: store.flush_page(pool, 1, 1),
        lambda: store.flush_object(pool, 1),
        lambda: store.flush_pool(pool),
        lambda: store.destroy_pool(pool),
        lambda: store.put_many(pool, one, one, page),
        lambda: store.get_many(pool, one, one, page),
        lambda: store.where_many(pool, one, one),
        lambda: store.pool_is_shared(pool),
    ]
    for verb in verbs:
        with pytest.raises(tmemstore.PoolError):
            verb()


def test_pools_do_not_see_each_other(opened: Any) -> None:
    store = opened().store
    pools = [store.new_pool(persistent=bool(i % 2)) for i in range(6)]
    for pool in pools:
        assert store.put(pool, 1, 1, noise(pool))
    store.destroy_pool(pools[0])
    assert [tmem_get(store, pool, 1, 1) for pool in pools[1:]] == [noise(pool) for pool in pools[1:]]


@KINDS
def test_an_object_with_zero_pages_is_gone(opened: Any, persistent: bool) -> None:
    tm = opened()
    store = tm.store
    pool = store.new_pool(persistent=persistent)
    for object_ in range(5):
        assert store.put(pool, object_, 1, noise(object_))
        assert store.put(pool, object_, 2, fill(object_))
    assert tm.stats().objects == 5
    store.flush_page(pool, 0, 1)
    assert tm.stats().objects == 5, "an object with one page left is still there"
    store.flush_page(pool, 0, 2)
    assert tm.stats().objects == 4
    store.flush_object(pool, 1)
    assert tm.stats().objects == 3
    if not persistent:  # an exclusive get takes the last page with it
        assert tmem_get(store, pool, 2, 1) == noise(2)
        assert tmem_get(store, pool, 2, 2) == fill(2)
        assert tm.stats().objects == 2
    tm.enabled = False  # a refused duplicate put takes the old page with it
    assert not store.put(pool, 3, 1, noise(9))
    assert not store.put(pool, 3, 2, noise(9))
    assert tm.stats().objects == (2 if persistent else 1)
    tm.verify()


@KINDS
def test_buffers_are_copied_before_return(opened: Any, persistent: bool) -> None:
    store = opened().store
    pool = store.new_pool(persistent=persistent)
    for seed, make in enumerate((noise, text, fill)):
        source = bytearray(make(seed))
        assert store.put(pool, 1, seed, source)
        source[:] = b"\x99" * PAGE
        first = bytearray(PAGE)
        assert store.get(pool, 1, seed, first)
        assert first == make(seed), "the store looked at the source after put had returned"
        first[:] = b"\x77" * PAGE
        again = tmem_get(store, pool, 1, seed)
        assert again == (make(seed) if persistent else None), "the caller's buffer is the store's page"


@KINDS
def test_batches_copy_their_buffers_too(opened: Any, persistent: bool) -> None:
    store = opened().store
    pool = store.new_pool(persistent=persistent)
    numbers = keys(range(12))
    pages = stack(mixed(seed) for seed in range(12))
    before = pages.copy()
    assert store.put_many(pool, numbers, numbers, pages).all()
    pages[:] = 0x99
    out = np.zeros_like(pages)
    assert store.get_many(pool, numbers, numbers, out).all()
    assert np.array_equal(out, before)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "array", "row of a batch"])
def test_any_contiguous_buffer_of_a_page_is_a_page(opened: Any, kind: str) -> None:
    store = opened().store
    pool = store.new_pool(persistent=True)
    batch = stack([noise(0), noise(1), noise(2)])
    page: Any = {
        "bytes": noise(1),
        "bytearray": bytearray(noise(1)),
        "memoryview": memoryview(noise(1)),
        "array": np.frombuffer(noise(1), np.uint64),
        "row of a batch": batch[1],
    }[kind]
    assert store.put(pool, 1, 1, page)
    out = np.zeros((2, PAGE), np.uint8)
    assert store.get(pool, 1, 1, out[1])
    assert out[1].tobytes() == noise(1)
    assert not out[0].any()


def test_same_filled_pages_take_no_frame(opened: Any) -> None:
    tm = opened()
    store = tm.store
    values = [0, 1, 0xFF, 2**64 - 1, 0x0123456789ABCDEF]
    for persistent in (False, True):
        pool = store.new_pool(persistent=persistent)
        for index, value in enumerate(values):
            assert store.put(pool, 1, index, fill(value))
        where = store.where_many(pool, keys([1] * len(values)), keys(range(len(values))))
        assert set(where.tolist()) == {int(tmemstore.Place.FILL)}
        assert tm.frame_counts().free == tm.region.frames
        assert [tmem_get(store, pool, 1, index) for index in range(len(values))] == [fill(v) for v in values]


def test_a_page_that_is_nearly_same_filled_keeps_every_byte(opened: Any) -> None:
    store = opened().store
    pool = store.new_pool(persistent=True)
    for seed, position in enumerate((0, 7, 8, 63, 64, 2047, 4087, 4088, 4095)):
        page = bytearray(fill(0))
        page[position] = 1
        assert store.put(pool, 1, seed, page)
        assert tmem_get(store, pool, 1, seed) == page
    period_16 = bytes(range(16)) * (PAGE // 16)
    assert store.put(pool, 2, 0, period_16)
    assert tmem_get(store, pool, 2, 0) == period_16


# ---- shared pools ---------------------------------------------------------------------------------------


def test_shared_pool_without_authorisation_is_private(opened: Any) -> None:
    store = opened().store
    first, second = store.new_pool(shared_uuid=UUID), store.new_pool(shared_uuid=UUID)
    assert not store.pool_is_shared(first)
    assert store.put(first, 1, 1, noise(1))
    assert tmem_get(store, second, 1, 1) is None
    assert tmem_get(store, first, 1, 1) == noise(1)
    assert tmem_get(store, first, 1, 1) is None, "a private pool's get is exclusive"


def test_shared_pool_with_authorisation_shows_both_handles_the_same_pages(opened: Any) -> None:
    store = opened().store
    store.authorize_shared(UUID)
    first, second = store.new_pool(shared_uuid=UUID), store.new_pool(shared_uuid=UUID)
    assert store.pool_is_shared(first)
    assert store.pool_is_shared(second)
    assert store.put(first, 1, 1, noise(1))
    assert tmem_get(store, second, 1, 1) == noise(1)
    assert tmem_get(store, first, 1, 1) == noise(1), "a shared pool's get is inclusive"
    assert store.put(second, 1, 1, text(2))
    assert tmem_get(store, first, 1, 1) == text(2), "put_put_get across handles"
    store.flush_page(first, 1, 1)
    assert tmem_get(store, second, 1, 1) is None


def test_shared_pages_go_with_the_last_handle(opened: Any) -> None:
    tm = opened()
    store = tm.store
    store.authorize_shared(UUID)
    first, second = store.new_pool(shared_uuid=UUID), store.new_pool(shared_uuid=UUID)
    assert store.put(first, 1, 1, noise(1))
    store.destroy_pool(first)
    assert tmem_get(store, second, 1, 1) == noise(1)
    store.destroy_pool(second)
    assert tm.frame_counts().free == tm.region.frames
    third = store.new_pool(shared_uuid=UUID)
    assert tmem_get(store, third, 1, 1) is None
    tm.verify()


def test_authorisation_is_for_one_uuid_and_can_be_taken_back(opened: Any) -> None:
    store = opened().store
    stranger = bytes(reversed(UUID))
    store.authorize_shared(UUID)
    assert not store.pool_is_shared(store.new_pool(shared_uuid=stranger))
    store.authorize_shared(UUID, allow=False)
    assert not store.pool_is_shared(store.new_pool(shared_uuid=UUID))


def test_batches_are_the_single_verbs_in_order(opened: Any) -> None:
    """A key that stands twice in a batch: the later put wins, the second exclusive get misses."""
    store = opened().store
    pool = store.new_pool()
    twice = keys([4, 5, 4])
    assert store.put_many(pool, twice, twice, stack([noise(1), noise(2), noise(3)])).all()
    out = np.zeros((3, PAGE), np.uint8)
    assert store.get_many(pool, twice, twice, out).tolist() == [True, True, False]
    assert out[0].tobytes() == noise(3)
    assert out[1].tobytes() == noise(2)


@KINDS
def test_empty_batches_do_nothing(opened: Any, persistent: bool) -> None:
    tm = opened()
    store = tm.store
    pool = store.new_pool(persistent=persistent)
    none, pages = keys([]), np.zeros((0, PAGE), np.uint8)
    for answer in (store.put_many(pool, none, none, pages), store.get_many(pool, none, none, pages)):
        assert answer.shape == (0,)
        assert answer.dtype == np.bool_
    assert store.where_many(pool, none, none).shape == (0,)
