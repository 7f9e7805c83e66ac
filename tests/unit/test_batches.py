"""What batches lend to the core."""

import numpy as np
import pytest

import tmemstore
from tmemstore.stores.batches import key_array

KEYS = np.arange(40, dtype=np.uint64)


def at_an_odd_address(keys):
    array = np.frombuffer(b"." + keys.tobytes(), keys.dtype, offset=1)
    assert not array.flags.aligned
    return array


# The core loads whole words, which not every CPU does from any address.
@pytest.mark.parametrize("dtype", ["u8", ">u8", "i8", "u4"])
def test_keys_at_an_odd_address_are_copied(dtype):
    keys = key_array("keys", at_an_odd_address(KEYS.astype(dtype)))
    assert keys.flags.aligned
    assert keys.dtype == np.uint64
    assert (keys == KEYS).all()


def test_keys_that_will_do_are_lent_where_they_lie():
    assert key_array("keys", KEYS) is KEYS


def test_pages_are_put_and_got_by_keys_at_an_odd_address():
    keys, out = at_an_odd_address(KEYS), np.zeros((len(KEYS), 4096), np.uint8)
    pages = np.random.default_rng(1).integers(0, 256, out.shape, dtype=np.uint8)
    with tmemstore.open("1MiB") as tm:
        fs, swap = tm.cleancache("fs"), tm.frontswap(0)
        assert fs.put_page_many(keys, keys, pages).all()
        assert fs.get_page_many(KEYS, KEYS, out).all()
        assert (out == pages).all()
        assert swap.store_many(keys, pages[:]).sum() == swap.load_many(KEYS, out).sum()
