"""The page cache before the store, against a list of pages too simple to be wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmemstore.trace.events import Op
from tmemstore.trace.pagecache import PageCache, bypassed
from tmemstore.trace.readers.base import REQUEST


def requests_of(made):
    rows = np.zeros(len(made), REQUEST)
    for at, (pool, item, index, pages, write) in enumerate(made):
        rows[at] = (at * 10, item, index, pages, pool, write)
    return rows


def events_of(blocks):
    return [
        (int(time), Op(int(op)).name, int(pool), int(item), int(index))
        for block in blocks
        for time, op, pool, item, index in block[["time_ns", "op", "pool", "object", "index"]].tolist()
    ]


class Shadow:
    """A list, the least recently used page first."""

    def __init__(self, pages):
        self.pages, self.cached, self.dirty, self.events, self.written_back = pages, [], set(), [], 0

    def access(self, time, page, write):
        if page in self.cached:
            self.cached.remove(page)
        else:
            if len(self.cached) == self.pages:
                victim = self.cached.pop(0)
                self.written_back += victim in self.dirty
                self.dirty.discard(victim)
                self.events.append((time, "PUT_PAGE", *victim))
            self.events.append((time, "INVALIDATE_PAGE" if write else "GET_PAGE", *page))
        self.cached.append(page)
        if write:
            self.dirty.add(page)


request = st.tuples(
    st.sampled_from((0, 1, 65535)),
    st.sampled_from((0, 1, (1 << 15) - 1, 1 << 15, 1 << 16, (1 << 64) - 1)),
    st.integers(0, 6) | st.just((1 << 32) - 4),
    st.integers(1, 4),
    st.booleans(),
)


@settings(max_examples=300)
@given(st.lists(request, max_size=60), st.integers(1, 8), st.integers(1, 60))
def test_the_model_does_what_a_list_does(made, pages, piece):
    model, shadow = PageCache(pages), Shadow(pages)
    requests = requests_of(made)
    found = []
    for at in range(0, len(requests), piece):
        found += events_of(model.run(requests[at : at + piece]))
    for at, (pool, item, index, count, write) in enumerate(made):
        for page in range(index, index + count):
            shadow.access(at * 10, (pool, item, page), write)
    assert found == shadow.events
    assert model.written_back == shadow.written_back


@settings(max_examples=100)
@given(st.lists(request, max_size=60), st.integers(1, 8))
def test_a_page_is_in_the_cache_or_in_the_store(made, pages):
    """What is put was got, or written, and not put since; what is got or written was put since, or is new."""
    cached = set()
    for _, op, *page in events_of(PageCache(pages).run(requests_of(made))):
        if op == "PUT_PAGE":
            cached.remove(tuple(page))
        else:
            assert tuple(page) not in cached
            cached.add(tuple(page))
        assert len(cached) <= pages


def test_a_dirty_page_is_written_back_before_it_is_put():
    model = PageCache(1)
    assert events_of(model.run(requests_of([(0, 1, 1, 1, True), (0, 1, 1, 1, False), (0, 1, 2, 1, False)]))) == [
        (0, "INVALIDATE_PAGE", 0, 1, 1),
        (20, "PUT_PAGE", 0, 1, 1),
        (20, "GET_PAGE", 0, 1, 2),
    ]
    assert model.written_back == 1
    assert events_of(model.run(requests_of([(0, 1, 3, 1, False)])))[0] == (0, "PUT_PAGE", 0, 1, 2)
    assert model.written_back == 1, "a page that was read only is clean"


def test_without_a_page_cache_each_page_is_a_get():
    found = events_of(bypassed(requests_of([(3, 9, 5, 3, False), (0, 9, 5, 1, True)])))
    assert found == [
        (0, "GET_PAGE", 3, 9, 5),
        (0, "GET_PAGE", 3, 9, 6),
        (0, "GET_PAGE", 3, 9, 7),
        (10, "GET_PAGE", 0, 9, 5),
    ]


def test_long_requests_come_in_pieces():
    requests = requests_of([(0, 1, 7, 1, False), (0, 2, 0, 600_000, False), (0, 3, 0, 200_000, False)])
    blocks = list(bypassed(requests))
    assert max(map(len, blocks)) <= 1 << 18
    found = np.concatenate(blocks)
    assert len(found) == 800_001
    for item, first, pages in ((1, 7, 1), (2, 0, 600_000), (3, 0, 200_000)):
        assert np.array_equal(found["index"][found["object"] == item], np.arange(first, first + pages))


@pytest.mark.parametrize("pages", [0, -1])
def test_a_page_cache_has_a_page(pages):
    with pytest.raises(ValueError, match="at least one page"):
        PageCache(pages)
