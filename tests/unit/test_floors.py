"""The floors do the work that they are the floor of."""

import contextlib

import numpy as np
import pytest

import tmemstore
from tmemstore import floors

PAGE = 4096


def pages(count, seed=1):
    return np.random.default_rng(seed).integers(0, 8, (count, PAGE)).astype(np.uint8)


def at_a_page(count):
    memory = np.zeros((count + 1) * PAGE, np.uint8)
    begin = -memory.ctypes.data % PAGE
    return memory[begin : begin + count * PAGE].reshape(count, PAGE)


def numbers(*values):
    return np.array(values, np.uint32)


@pytest.mark.parametrize("how", ["plain", "nontemporal"])
def test_pages_are_copied_one_by_one(how):
    to, source = at_a_page(4), pages(3)
    floors.copy_pages(to, numbers(3, 0), source, numbers(1, 2), how=how)
    assert (to[3] == source[1]).all()
    assert (to[0] == source[2]).all()
    assert not to[1:3].any()


@pytest.mark.parametrize(
    ("to", "origin", "message"),
    [((4,), (0,), "page 4 of 4"), ((0,), (3,), "page 3 of 3"), ((0, 1), (0,), "2 pages to copy to and 1")],
)
def test_no_page_beyond_the_arrays(to, origin, message):
    with pytest.raises(ValueError, match=message):
        floors.copy_pages(at_a_page(4), numbers(*to), pages(3), numbers(*origin))


def test_arrays_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="unknown copy"):
        floors.copy_pages(at_a_page(1), numbers(0), pages(1), numbers(0), how="fast")
    with pytest.raises(ValueError, match="uint32"):
        floors.copy_pages(at_a_page(1), np.zeros(1, np.int64), pages(1), numbers(0))
    with pytest.raises(ValueError, match="C-contiguous"):
        floors.copy_pages(at_a_page(1), numbers(0), pages(4)[::2], numbers(1))
    memory = np.zeros(3 * PAGE, np.uint8)
    begin = -memory.ctypes.data % PAGE + 1
    off = memory[begin : begin + PAGE].reshape(1, PAGE)
    with pytest.raises(ValueError, match="begin at a page"):
        floors.copy_pages(off, numbers(0), pages(1), numbers(0), how="nontemporal")


def test_a_table_finds_each_of_its_keys():
    keys = np.arange(1, 1001, dtype=np.uint64) * np.uint64(7)
    table = floors.LookupTable(keys)
    assert [table.find(np.array([place])) for place in (0, 1, 999)] == [0, 1, 999]
    assert table.find(np.arange(1000)) == 999 * 1000 // 2
    with pytest.raises(ValueError, match="0 is no key"):
        floors.LookupTable(np.zeros(1, np.uint64))


@pytest.mark.parametrize("name", ["lz4", "zstd"])
def test_a_codec_gives_back_what_it_took(name):
    calls = floors.CodecCalls(name)
    before = pages(5)
    before[:4, 1024:] = 7
    before[4] = np.random.default_rng(2).integers(0, 256, PAGE)
    objects, after = np.zeros_like(before), np.zeros_like(before)
    sizes = calls.compress(before, objects, limit_bytes=3072)
    assert (sizes[:4] > 0).all()
    assert (sizes[:4] <= 3072).all()
    assert sizes[4] == 0
    calls.decompress(objects, sizes, after)
    assert (after[:4] == before[:4]).all()
    assert not after[4].any()
    with pytest.raises(ValueError, match="none of a page"):
        calls.decompress(objects, sizes + np.uint32(PAGE), after)
    with pytest.raises(ValueError, match="not"):
        calls.compress(before, objects[:3])


@pytest.fixture
def single():
    with contextlib.closing(tmemstore.TmemStore(tmemstore.Region("1MiB"), codec="none")) as store:
        pool = store.new_pool()
        keys, other = np.arange(8, dtype=np.uint64), np.zeros(8, np.uint64)

        def make(page, objects=other, indexes=keys):
            return floors.SinglePages(store.handle, pool, objects, indexes, page)

        yield make


def test_single_pages_are_put_and_taken_out(single):
    page, out = pages(1)[0], np.zeros(PAGE, np.uint8)
    assert single(page).put() == 8
    assert single(out).get() == 8
    assert (out == page).all()
    assert single(out).get() == 0, "a get takes the page out"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"page": np.zeros(PAGE - 1, np.uint8)}, "8 objects, 8 indexes and a page of shape"),
        ({"objects": np.zeros(7, np.uint64)}, "7 objects, 8 indexes"),
        ({"indexes": np.zeros(8, np.int64)}, "indexes must be a C-contiguous array of uint64"),
        ({"indexes": np.full(8, 2**32, np.uint64)}, "out of its range"),
    ],
)
def test_single_pages_of_another_kind_are_refused(single, what, message):
    with pytest.raises(ValueError, match=message):
        single(**({"page": np.zeros(PAGE, np.uint8)} | what)).put()


def test_nothing_is_got_into_a_read_only_page(single):
    page = np.frombuffer(bytes(PAGE), np.uint8)
    assert single(page).put() == 8
    with pytest.raises(ValueError, match="read-only"):
        single(page).get()
