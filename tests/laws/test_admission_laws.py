"""The admission filter: what is let in, what is turned away, and that neither ever leaves an old page behind."""

import numpy as np
import pytest

import tmemstore
from support import get, keys, noise, stack

STREAM = 6_000
"""Pages that nobody asks for: twenty times the region, and more than the filter needs to make up its mind."""


def put_many(fs, inode, indexes, pages, **options):
    return fs.put_page_many(keys([inode] * len(indexes)), keys(indexes), stack(pages), **options)


def stream(fs, inode=1, start=0, count=STREAM):
    """Put the pages of a file one after the other; which were let in."""
    page = [noise(inode)]
    return np.concatenate(
        [put_many(fs, inode, range(at, at + 100), page * 100) for at in range(start, start + count, 100)]
    )


def test_a_stream_is_turned_away_once_it_is_known_to_be_one(opened):
    tm = opened()
    fs = tm.cleancache("rootfs")
    assert tm.admission_filter
    let_in = stream(fs)
    assert let_in[:1000].all()  # nothing was known then
    assert let_in[-1000:].mean() < 0.05
    stats = tm.stats()
    assert not stats.filter_open
    assert stats.clean_rejects["cold"] == np.count_nonzero(~let_in)
    assert stats.clean_puts == sum(stats.clean_admits.values()) == np.count_nonzero(let_in)
    assert stats.clean_admits["sample"] > 0
    tm.verify()


def test_what_comes_again_is_let_in(opened):
    fs = opened().cleancache("rootfs")
    stream(fs)
    pages = [noise(index) for index in range(50)]
    assert put_many(fs, 2, range(50), pages).sum() <= 2  # a sample or two
    assert put_many(fs, 2, range(50), pages).sum() >= 35  # the ghost has a slot for each of 256 frames
    assert get(fs, 2, 30) in {noise(30), None}


def test_what_the_caller_calls_active_is_let_in(opened):
    tm = opened()
    fs = tm.cleancache("rootfs")
    stream(fs)
    assert fs.put_page(3, 0, noise(3), active=True)
    assert put_many(fs, 3, range(1, 50), [noise(3)] * 49, active=True).all()
    assert tm.stats().clean_admits["active"] == 50
    assert get(fs, 3, 0) == noise(3)


@pytest.mark.parametrize("many", [False, True])
def test_a_page_that_is_turned_away_takes_the_old_one_with_it(opened, many):
    """However often a key is put, what a get finds is the last page, or none."""
    fs = opened().cleancache("rootfs", inclusive=True)
    stream(fs)
    for index in range(100):
        assert fs.put_page(5, index, noise(index), active=True)
    turned_away = 0
    for version in range(1, 4):
        for index in range(100):
            page = noise(1000 * version + index)
            kept = put_many(fs, 5, [index], [page])[0] if many else fs.put_page(5, index, page)
            assert get(fs, 5, index) == (page if kept else None)
            turned_away += not kept
    assert turned_away > 100


def test_pages_that_are_asked_for_open_it_again(opened):
    tm = opened()
    fs = tm.cleancache("rootfs")
    stream(fs)
    for round_ in range(400):
        stream(fs, inode=100 + round_, count=100)
        out = np.zeros((100, 4096), np.uint8)
        fs.get_page_many(keys([100 + round_] * 100), keys(range(100)), out)
    assert tm.stats().filter_open
    assert stream(fs, inode=999, count=100).all()


def test_it_can_be_switched_off_and_on_again(opened):
    tm = opened(admission_filter=False)
    fs = tm.cleancache("rootfs")
    assert stream(fs).all()
    tm.admission_filter = True
    assert stream(fs, start=STREAM)[-500:].mean() < 0.05
    tm.admission_filter = False
    assert not tm.admission_filter
    assert stream(fs, start=2 * STREAM, count=500).all()


def test_what_costs_nothing_to_read_again_is_worth_no_copy_and_what_costs_much_is(opened):
    dear = opened(refault="10s")
    cheap = opened(refault=0)
    for tm in (dear, cheap):
        fs = tm.cleancache("rootfs")
        stream(fs, count=1000)
        out = np.zeros((5, 4096), np.uint8)
        assert fs.get_page_many(keys([1] * 5), keys(range(990, 995)), out).all()  # 5 in 1000
        stream(fs, start=1000, count=1000)
    assert dear.stats().filter_open
    assert not cheap.stats().filter_open


def test_what_a_refault_takes_comes_from_the_storage_that_is_named():
    slow = tmemstore.open("1MiB", storage="emulate:sd-a1", virtual_time=True)
    unknown = tmemstore.open("1MiB", storage=tmemstore.CostModel())
    with slow, unknown:
        assert slow.refault_ns > 2 * unknown.refault_ns > 0


@pytest.mark.parametrize(
    ("refault", "error"), [(-1, ValueError), ("1000s", ValueError), ("soon", ValueError), (1.5, TypeError)]
)
def test_a_refault_that_is_no_time_is_refused(refault, error):
    with pytest.raises(error):
        tmemstore.open("1MiB", refault=refault)


def test_a_closed_store_says_so(opened):
    tm = opened()
    tm.close()
    with pytest.raises(tmemstore.PoolError):
        tm.admission_filter = True
