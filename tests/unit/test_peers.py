"""A cleancache alone, without the admission filter, is a cache: it hits where libcachesim's do, request by request."""

import numpy as np
import pytest

from replay_support import settings
from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.replay import Replay
from tmemstore.units import PAGE_SIZE

libcachesim = pytest.importorskip(
    "libcachesim", reason="the PyPI package libcachesim, part of tmemstore[dev] where it has a wheel, is not there"
)

LOOK_EVERY = 50


def zipf(count, pages, seed):
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, pages + 1) ** 0.9
    return rng.permutation(pages)[rng.choice(pages, count, p=weights / weights.sum())]


def mixed(count, pages, seed):
    """Skewed requests, every third one of a scan; then a loop; then others that are skewed."""
    first = zipf(count, pages, seed)
    first[::3] = pages + np.arange(len(first[::3]))
    return np.concatenate((first, np.arange(count) % (pages // 3), zipf(count, pages, seed + 1)))


STREAMS = {
    "zipf": zipf(20_000, 3000, seed=1),
    "loop": np.arange(20_000) % 700,
    "scan": np.arange(5000),
    "twice": np.repeat(np.arange(3000), 2),
    "mixed": mixed(8000, 2400, seed=2),
}
ORDERS = {"fifo": libcachesim.FIFO, "lru": libcachesim.LRU, "sieve": libcachesim.Sieve}


def our_hits(stream, frames, order):
    """Hits so far, after every `LOOK_EVERY` requests."""
    events = np.zeros(len(stream), RECORD)
    events["op"] = Op.GET_PAGE
    events["object"], events["index"] = stream // 100, stream % 100
    events["time_ns"] = np.arange(len(stream)) * 1000
    hits = []
    with Replay(settings(frames, eviction=order, frontswap_percent=0), fill=True) as running:
        for at in range(0, len(events), LOOK_EVERY):
            running.run([events[at : at + LOOK_EVERY]])
            hits.append(running.tm.stats().clean_hits)
        running.tm.verify()
        stats = running.tm.stats()
    assert stats.clean_gets == len(stream)
    assert stats.frames_clean == min(frames, len(np.unique(stream)))
    return hits


def their_hits(stream, frames, order):
    cache = ORDERS[order](frames * PAGE_SIZE)
    request = libcachesim.Request(obj_size=PAGE_SIZE)
    hit = []
    for at, page in enumerate(stream.tolist()):
        request.obj_id, request.clock_time = page + 1, at
        hit.append(cache.get(request))
    return np.add.reduceat(hit, range(0, len(hit), LOOK_EVERY), dtype=int).cumsum().tolist()


@pytest.mark.parametrize("frames", [256, 701, 1000])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("stream", STREAMS)
def test_hits_equal_libcachesims(stream, order, frames):
    ours = our_hits(STREAMS[stream], frames, order)
    assert ours == their_hits(STREAMS[stream], frames, order)


@pytest.mark.parametrize("order", ORDERS)
def test_hits_equal_where_the_hand_meets_nothing_but_marked_pages(order):
    # All of 5000 pages are marked when the first one has to go: more than one look of the hand passes.
    pages = np.arange(5000)
    stream = np.concatenate((pages, pages, pages[:600] + 5000, pages, pages[:100] + 9000, pages[::7]))
    assert our_hits(stream, 5000, order) == their_hits(stream, 5000, order)


@pytest.mark.parametrize("frames", [256, 1000])
def test_the_orders_differ_on_the_streams_that_tell_them_apart(frames):
    hits = {order: our_hits(STREAMS["mixed"], frames, order)[-1] for order in ORDERS}
    assert len(set(hits.values())) == len(ORDERS)
