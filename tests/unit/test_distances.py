"""Re-use distances against caches of every size, too simple to be wrong; and samples against the whole."""

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmemstore.trace.distances import Distances, Stream, distances, page_hashes
from tmemstore.trace.events import RECORD, Op

CLEAN = (Op.PUT_PAGE, Op.GET_PAGE, Op.INVALIDATE_PAGE, Op.INVALIDATE_INODE, Op.INVALIDATE_FS)
SWAP = (Op.STORE, Op.LOAD, Op.INVALIDATE_SWAP, Op.INVALIDATE_AREA)
ENTERS = (Op.PUT_PAGE, Op.STORE)
ASKS = (Op.GET_PAGE, Op.LOAD)


class Cache:
    """LRU of `size` pages, as each kind has it, and how many accesses it served."""

    def __init__(self, size, *, fill):
        self.size = size
        self.fill = fill
        self.pages = OrderedDict()
        self.stored = set()
        self.hits = 0

    def enter(self, key):
        self.stored.add(key)
        self.pages.pop(key, None)
        while len(self.pages) >= self.size:
            self.pages.popitem(last=False)
        self.pages[key] = True

    def remove(self, op, key):
        prefix = {Op.INVALIDATE_INODE: 2, Op.INVALIDATE_FS: 1, Op.INVALIDATE_AREA: 1}.get(op)
        gone = [key] if prefix is None else [other for other in self.stored if other[:prefix] == key[:prefix]]
        for other in gone:
            self.stored.discard(other)
            self.pages.pop(other, None)

    def run(self, op, key):
        if op in ENTERS:
            self.enter(key)
        elif op in ASKS:
            hit = self.pages.pop(key, None) is not None
            self.hits += hit
            if self.fill or (hit and op == Op.LOAD):
                self.enter(key)
        else:
            self.remove(op, key)


def record(rows):
    """Events of (op, pool, object, index)."""
    events = np.zeros(len(rows), RECORD)
    for field, column in zip(("op", "pool", "object", "index"), zip(*rows, strict=True), strict=False):
        events[field] = column
    return events


def hits_of_caches(events, ops, sizes, *, fill=False):
    caches = [Cache(size, fill=fill) for size in sizes]
    for op, *key in events[["op", "pool", "object", "index"]].tolist():
        if op in ops:
            for cache in caches:
                cache.run(op, tuple(key))
    return [cache.hits for cache in caches]


def row(ops, objects):
    return st.tuples(st.sampled_from(ops), st.integers(0, 1), st.sampled_from(objects), st.integers(0, 4))


BUSY_CLEAN = (*CLEAN, *(Op.PUT_PAGE, Op.GET_PAGE) * 4)
BUSY_SWAP = (*SWAP, *(Op.STORE, Op.LOAD) * 4)
ROWS = st.lists(st.one_of(row(BUSY_CLEAN, (1, 2**64 - 1)), row(BUSY_SWAP, (0,))), min_size=1, max_size=120)


def random_events(seed, count, pages, ops=(Op.PUT_PAGE, Op.GET_PAGE)):
    rng = np.random.default_rng(seed)
    events = np.zeros(count, RECORD)
    events["op"] = rng.choice(ops, count)
    events["index"] = rng.integers(0, pages, count)
    events["object"] = rng.integers(0, 3, count) if Op.STORE not in ops else 0
    return events


@given(ROWS, st.booleans())
def test_an_exact_histogram_says_what_caches_of_every_size_serve(rows, fill):
    events = record(rows)
    both = distances([events], fill=fill)
    sizes = range(1, 22)
    assert both.cleancache.hits(sizes).tolist() == hits_of_caches(events, CLEAN, sizes, fill=fill)
    assert both.frontswap.hits(sizes).tolist() == hits_of_caches(events, SWAP, sizes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fill", [False, True])
def test_so_it_does_over_long_histories_with_invalidations(seed, fill):
    rng = np.random.default_rng(seed)
    events = np.zeros(1500, RECORD)
    # Each op that empties an object or a pool comes once in some fifty events, so that stacks grow deep before.
    often = [op for op in (*CLEAN, *SWAP) if op not in {Op.INVALIDATE_INODE, Op.INVALIDATE_FS, Op.INVALIDATE_AREA}]
    events["op"] = np.where(rng.random(1500) < 0.05, rng.choice((*CLEAN, *SWAP), 1500), rng.choice(often, 1500))
    events["pool"], events["index"] = rng.integers(0, 2, 1500), rng.integers(0, 12, 1500)
    events["object"] = np.where(np.isin(events["op"], CLEAN), rng.integers(0, 3, 1500), 0)
    both = distances(np.split(events, 3), fill=fill)
    sizes = range(1, 75)
    assert both.cleancache.hits(sizes).tolist() == hits_of_caches(events, CLEAN, sizes, fill=fill)
    assert both.frontswap.hits(sizes).tolist() == hits_of_caches(events, SWAP, sizes)


@settings(max_examples=30)
@given(ROWS, st.lists(st.integers(0, 120), max_size=4), st.booleans())
def test_blocks_may_be_cut_anywhere(rows, cuts, fill):
    events = record(rows)
    whole, parts = (distances(blocks, fill=fill) for blocks in ([events], np.split(events, sorted(cuts))))
    for one, other in zip(whole, parts, strict=True):
        assert one.counts.tolist() == other.counts.tolist()
        assert (one.accesses, one.cold, one.depth_pages) == (other.accesses, other.cold, other.depth_pages)


@pytest.mark.parametrize("ops", [(Op.PUT_PAGE, Op.GET_PAGE, Op.INVALIDATE_PAGE), (Op.STORE, Op.LOAD)])
def test_positions_stay_right_over_many_batches(ops):
    events = random_events(seed=5, count=150_000, pages=3000, ops=ops)
    histogram = distances([events])[int(Op.STORE in ops)]
    sizes = (1, 7, 100, 1000, 2500, 9000)
    assert histogram.hits(sizes).tolist() == hits_of_caches(events, ops, sizes)


def test_a_removed_page_leaves_a_free_frame_and_brings_nothing_back():
    # A cache of two frames drops 1 at the put of 3. That 3 is taken out does not bring 1 back.
    events = record([(op, 0, 1, i) for op, i in ((Op.PUT_PAGE, 1), (Op.PUT_PAGE, 2), (Op.PUT_PAGE, 3))])
    gets = record([(Op.GET_PAGE, 0, 1, 3), (Op.GET_PAGE, 0, 1, 1)])
    assert distances([events, gets]).cleancache.hits([1, 2, 3]).tolist() == [1, 1, 2]


def test_gets_of_what_was_removed_or_never_put_are_cold():
    rows = [(Op.PUT_PAGE, 0, 1, 1), (Op.INVALIDATE_INODE, 0, 1, 0), (Op.GET_PAGE, 0, 1, 1), (Op.GET_PAGE, 0, 9, 9)]
    histogram = distances([record(rows)]).cleancache
    assert (histogram.accesses, histogram.cold, histogram.hits([100]).tolist()) == (2, 2.0, [0.0])


def test_an_empty_trace_has_empty_histograms():
    for histogram in distances([]):
        assert (histogram.accesses, histogram.cold, histogram.depth_pages) == (0, 0.0, 0.0)
        assert histogram.hit_ratio([0, 1, 100]).tolist() == [0.0] * 3
        assert histogram.error([0, 1, 100]).tolist() == [0.0] * 3


@pytest.mark.parametrize("fill", [False, True])
def test_a_sample_is_the_exact_histogram_of_its_pages(fill):
    events = random_events(seed=2, count=30_000, pages=400, ops=(*CLEAN[:3], Op.PUT_PAGE, Op.GET_PAGE))
    events["op"][::500] = Op.INVALIDATE_INODE
    events["op"][9999] = Op.INVALIDATE_FS
    hashes = page_hashes(events["pool"], events["object"], events["index"], seed=3)
    inside = (hashes < np.uint64(1 << 62)) | (events["op"] == Op.INVALIDATE_INODE) | (events["op"] == Op.INVALIDATE_FS)
    sample = distances([events], rate=0.25, seed=3, fill=fill, adjusted=False).cleancache
    exact = distances([events[inside]], fill=fill).cleancache
    assert (sample.counts / 4).tolist() == exact.counts.tolist()
    assert (sample.sampled, sample.cold / 4, sample.depth_pages / 4) == (exact.accesses, exact.cold, exact.depth_pages)


def test_a_rate_of_one_is_exact_whatever_the_seed():
    events = random_events(seed=1, count=5000, pages=200)
    one, other = (distances([events], rate=1.0, seed=seed).cleancache for seed in (0, 9))
    assert one.counts.tolist() == other.counts.tolist()
    assert one.error([1, 50, 500]).tolist() == [0.0] * 3


@pytest.mark.parametrize("options", [{"rate": 0.1}, {"most_pages": 64}])
def test_a_seed_gives_one_result_and_another_seed_another(options):
    events = random_events(seed=1, count=150_000, pages=2000)
    same = [
        distances(blocks, seed=4, **options).cleancache.counts.tolist()
        for blocks in ([events], np.split(events, [3, 777, 70_000, 70_001]))
    ]
    assert same[0] == same[1]
    assert distances([events], seed=5, **options).cleancache.counts.tolist() != same[0]


@pytest.mark.parametrize("options", [{"rate": 0.1}, {"most_pages": 512}, {"rate": 0.7, "most_pages": 512}])
@pytest.mark.parametrize("fill", [False, True])
def test_scaled_up_a_sample_has_as_many_accesses_as_the_whole(options, fill):
    events = random_events(seed=8, count=200_000, pages=4000)
    exact = distances([events], fill=fill).cleancache
    for seed in range(3):
        sample = distances([events], fill=fill, seed=seed, adjusted=False, **options).cleancache
        assert sample.accesses == exact.accesses
        # Some hundreds of pages with about 17 accesses each: good to 5 %, here four times that.
        assert sample.counts.sum() + sample.cold == pytest.approx(exact.accesses, rel=0.2)
        assert sample.depth_pages == pytest.approx(exact.depth_pages, rel=0.2)


def test_an_adjusted_sample_has_exactly_as_many():
    events = random_events(seed=8, count=50_000, pages=4000)
    sample = distances([events], fill=True, rate=0.1).cleancache
    assert sample.adjusted
    assert sample.adjustment != 0
    assert sample.counts.sum() + sample.adjustment + sample.cold == pytest.approx(sample.accesses)


def test_most_pages_bounds_what_is_held_and_halves_the_rate():
    one = Distances(Stream.CLEANCACHE_FILLED, most_pages=256)
    events = np.zeros(300_000, RECORD)
    events["op"], events["index"] = Op.GET_PAGE, np.arange(300_000)
    rates = []
    for block in np.split(events, 30):
        one.add(block)
        assert len(one._stack) <= 256
        assert len(one._counts) <= 256
        rates.append(one.rate)
    assert sorted(rates, reverse=True) == rates
    histogram = one.result()
    assert 128 / 300_000 < histogram.rate < 2 * 256 / 300_000
    assert np.log2(histogram.rate) == int(np.log2(histogram.rate))
    assert histogram.depth_pages == pytest.approx(300_000, rel=0.3)


def test_a_page_that_left_the_sample_is_in_it_no_more():
    one = Distances(Stream.CLEANCACHE, most_pages=64)
    puts = np.zeros(4000, RECORD)
    puts["op"], puts["index"] = Op.PUT_PAGE, np.arange(4000)
    gets = puts.copy()
    gets["op"] = Op.GET_PAGE
    one.add(puts)
    one.add(gets)
    histogram = one.result()
    assert histogram.cold == 0.0
    assert histogram.counts.sum() == pytest.approx(4000, rel=0.5)
    assert not one._stack._pools


def test_a_swapped_page_that_left_the_sample_is_in_it_no_more():
    events = random_events(seed=6, count=60_000, pages=3000, ops=SWAP[:3])
    sample = distances([events], most_pages=64, seed=1).frontswap
    # Whatever is held when the rate falls to an eighth, a sixteenth, ...: of the accesses at that rate none is lost.
    exact = distances([events]).frontswap
    assert sample.rate < 0.05
    assert sample.cold == pytest.approx(exact.cold, rel=0.3)
    assert sample.counts.sum() == pytest.approx(exact.counts.sum(), rel=0.3)
    assert sample.depth_pages == pytest.approx(exact.depth_pages, rel=0.3)


def test_a_load_from_the_spill_file_brings_nothing_back():
    # Of two frames 1 is pushed out by 3. Loading it, once and once more, does not push out 2 or 3.
    rows = [(Op.STORE, 1), (Op.STORE, 2), (Op.STORE, 3), (Op.LOAD, 1), (Op.LOAD, 1), (Op.LOAD, 2), (Op.LOAD, 3)]
    assert distances([record([(op, 0, 0, index) for op, index in rows])]).frontswap.hits([1, 2, 3]).tolist() == [
        1,
        2,
        4,
    ]


def test_octaves_add_up_to_all_that_a_large_cache_serves():
    events = random_events(seed=8, count=20_000, pages=500)
    histogram = distances([events]).cleancache
    octaves = histogram.octaves()
    assert [high for _, high, _ in octaves] == [2**power for power in range(len(octaves))]
    assert [low for low, _, _ in octaves] == [0, *(high for _, high, _ in octaves[:-1])]
    assert sum(count for _, _, count in octaves) == histogram.hits([10_000])[0] == histogram.accesses - histogram.cold


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": 1.5}, {"rate": float("nan")}, {"most_pages": 63}])
def test_what_cannot_be_sampled_is_refused(options):
    with pytest.raises(ValueError, match="must be"):
        distances([], **options)
