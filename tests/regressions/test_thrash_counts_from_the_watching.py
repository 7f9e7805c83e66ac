"""Refaults a page let in were those since the watching began, over all pages since the store was opened.

A store that had run for a while before somebody asked `Controller.thrash` was told of a fraction of its thrash, and
below a tenth of no thrash at all.  Both are counts of the same time.
"""

import numpy as np
import pytest

import tmemstore
from support import PAGE, noise

KEYS = np.arange(3072, dtype=np.uint64)


def read_over_and_over(fs, rounds):
    """More pages than there is room for beside frontswap, in a circle: under LRU each comes back just after it went."""
    pages = np.frombuffer(b"".join(map(noise, range(256))), np.uint8).reshape(-1, PAGE)
    objects, out = np.zeros(256, np.uint64), np.empty((256, PAGE), np.uint8)
    for _ in range(rounds):
        for begin in range(0, len(KEYS), 256):
            keys = KEYS[begin : begin + 256]
            missed = ~fs.get_page_many(objects, keys, out)
            fs.put_page_many(objects[missed], keys[missed], pages[missed])


@pytest.mark.parametrize("earlier", [0, 10])
def test_thrash_is_the_same_however_long_the_store_ran_before(earlier):
    with tmemstore.open("16MiB", eviction="lru", codec="none", admission_filter=False) as tm:
        swap, fs = tm.frontswap(0), tm.cleancache("files", inclusive=True)
        swap.store_many(np.arange(2048), np.frombuffer(b"".join(map(noise, range(2048))), np.uint8).reshape(-1, PAGE))
        read_over_and_over(fs, earlier)
        tm.thrash(watch=True)
        read_over_and_over(fs, 4)
        assert tm.thrash().per_admitted > 0.5
        assert "thrash" in tm.thrash().warning
