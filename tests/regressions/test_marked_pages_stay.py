"""SIEVE gives up no page that a get has found since the hand passed, however many of those lie in its way.

A look of the hand ends after about a thousand of them, since the lock is held meanwhile, and the page at which it ended
had to go. In a region of 5000 pages that all had been found, a newcomer cost a page from the middle and not the oldest
one; libcachesim, which looks on, hit half as often on the loop that came next.
"""

import numpy as np
import pytest

import tmemstore

FRAMES, NEW = 3072, 40


@pytest.mark.parametrize("batch", [False, True])
def test_the_oldest_pages_go_where_all_are_marked(batch):
    page = np.random.default_rng(5).integers(0, 256, 4096, dtype=np.uint8)
    out = np.empty((FRAMES, 4096), np.uint8)
    inodes, indexes = np.ones(FRAMES + NEW, np.uint64), np.arange(FRAMES + NEW, dtype=np.uint64)
    with tmemstore.open(FRAMES * 4096, admission_filter=False) as tm:
        files = tm.cleancache("root", inclusive=True)
        for number in range(FRAMES):
            assert files.put_page(1, number, page)
        assert files.get_page_many(inodes[:FRAMES], indexes[:FRAMES], out).all()
        if batch:
            assert files.put_page_many(inodes[FRAMES:], indexes[FRAMES:], np.tile(page, (NEW, 1))).all()
        else:
            assert all(files.put_page(1, number, page) for number in range(FRAMES, FRAMES + NEW))
        held = files.where_many(inodes, indexes)
        assert tm.stats().clean_puts == FRAMES + NEW
        tm.verify()
    assert list(np.flatnonzero(held)) == list(range(NEW, FRAMES + NEW))
