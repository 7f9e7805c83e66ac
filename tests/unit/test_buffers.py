"""A page that is checked once and used again and again."""

import numpy as np
import pytest

import tmemstore
from tmemstore import PageBuffer


@pytest.fixture
def tm():
    with tmemstore.open("1MiB") as tm:
        yield tm


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda page: np.frombuffer(page, np.uint8).copy()])
def test_it_is_put_and_got_into_as_its_buffer_would_be(tm, make):
    fs, swap = tm.cleancache("fs"), tm.frontswap(0)
    page = PageBuffer(make(bytearray(b"0123456789abcdef" * 256)))
    back = PageBuffer()
    for store, load in (
        (fs.put_page, fs.get_page),
        (lambda n, _i, p: swap.store(n, p), lambda n, _i, p: swap.load(n, p)),
    ):
        assert store(1, 2, page)
        assert load(1, 2, back)
        assert bytes(back.buffer) == bytes(page.buffer)
        back.buffer[:] = bytes(4096)


def test_what_changes_in_it_is_what_is_put(tm):
    swap, page, out = tm.frontswap(0), PageBuffer(), bytearray(4096)
    for number in range(3):
        page.buffer[5] = number
        assert swap.store(number, page)
    for number in range(3):
        assert swap.load(number, out)
        assert out[5] == number


def test_a_read_only_one_is_put_and_not_got_into(tm):
    swap, page = tm.frontswap(0), PageBuffer(bytes(range(256)) * 16)
    assert swap.store(1, page)
    with pytest.raises(TypeError, match="read-only"):
        swap.load(1, page)


@pytest.mark.parametrize(
    ("buffer", "error"), [(bytearray(4095), ValueError), ("page", TypeError), (np.zeros((4096, 2))[:, 0], ValueError)]
)
def test_what_is_no_page_is_none(buffer, error):
    with pytest.raises(error, match="page"):
        PageBuffer(buffer)


def test_its_memory_stays_where_it_is():
    buffer = bytearray(4096)
    page = PageBuffer(buffer)
    with pytest.raises(BufferError):
        buffer.append(1)
    del page
    buffer.append(1)


def test_wrong_keys_and_closed_stores_are_said_as_ever(tm):
    swap, page = tm.frontswap(0), PageBuffer()
    with pytest.raises(ValueError, match="from 0"):
        swap.store(-1, page)
    with pytest.raises(TypeError, match="integer"):
        swap.load(True, page)
    tm.close()
    with pytest.raises(tmemstore.PoolError, match="closed"):
        swap.store(1, page)
    with pytest.raises(tmemstore.PoolError, match="closed"):
        swap.load(1, page)
