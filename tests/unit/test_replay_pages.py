"""A replay, a run with real pages, and puts and gets one by one: where nothing depends on time the hits are equal."""

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import settings as how
from hypothesis import strategies as st

import tmemstore
from replay_support import mixed, outcome, settings
from support import FAMILIES
from tmemstore.trace.events import Flag, Op
from tmemstore.trace.replay import Replay


def page_of(event, key):
    if event["flags"] & Flag.FILLED:
        return FAMILIES["fill"](hash(key))
    return FAMILIES["noise"](hash(key) % 512)


class Driver:
    """Puts, gets, stores and loads of real pages by the public API, in virtual time; counts what came back."""

    def __init__(self, frames, **options):
        self.tm = tmemstore.open(
            frames * 4096, virtual_time=True, codec="none", admission_filter=False, io_timeout="900s", **options
        )
        self.caches, self.swaps = {}, {}
        self.out = bytearray(4096)
        self.hits, self.refused = 0, 0
        self.held = {}

    def cache(self, pool):
        if pool not in self.caches:
            self.caches[pool] = self.tm.cleancache(f"fs{pool}")
        return self.caches[pool]

    def swap(self, pool):
        if pool not in self.swaps:
            self.swaps[pool] = self.tm.frontswap(pool)
        return self.swaps[pool]

    def run(self, event):
        op, pool = Op(event["op"]), int(event["pool"])
        key = op >= Op.STORE, pool, int(event["object"]), int(event["index"])
        match op:
            case Op.PUT_PAGE | Op.STORE:
                self.keep(key, page_of(event, key), active=bool(event["flags"] & Flag.ACTIVE))
            case Op.GET_PAGE | Op.LOAD:
                self.fetch(key)
            case Op.INVALIDATE_PAGE:
                self.cache(pool).invalidate_page(*key[2:])
            case Op.INVALIDATE_INODE:
                self.cache(pool).invalidate_inode(key[2])
            case Op.INVALIDATE_SWAP:
                self.swap(pool).invalidate_page(key[3])

    def keep(self, key, page, *, active):
        is_swap, pool, inode, index = key
        if is_swap:
            accepted = self.swap(pool).store(index, page)
            self.refused += not accepted
        else:
            accepted = self.cache(pool).put_page(inode, index, page, active=active)
        if accepted:
            self.held[key] = page

    def fetch(self, key):
        is_swap, pool, inode, index = key
        if is_swap:
            found = self.swap(pool).load(index, self.out)
        else:
            found = self.cache(pool).get_page(inode, index, self.out)
            self.hits += found
        if found:
            assert self.held[key] == self.out


def figures_of(stats):
    refused = sum(stats.swap_rejects.values())
    return [
        *(stats.clean_puts + sum(stats.clean_rejects.values()), stats.clean_puts, stats.clean_gets, stats.clean_hits),
        *(stats.clean_evicted, stats.clean_flushes, stats.swap_stores + refused, refused, stats.swap_loads),
        *(stats.swap_hits_region, stats.swap_hits_spill, stats.swap_flushes),
    ]


WEIGHTS = st.fixed_dictionaries(
    {op: st.integers(0, 20) for op in Op if op < Op.ALLOC and op not in {Op.INVALIDATE_FS, Op.INVALIDATE_AREA}}
).filter(lambda weights: sum(weights.values()))


@pytest.mark.parametrize("writeback", ["back", "through"])
@pytest.mark.parametrize("eviction", ["fifo", "lru", "sieve"])
@how(max_examples=12)
@given(st.integers(0, 2**32 - 1), WEIGHTS, st.integers(0, 100))
def test_a_replay_does_what_puts_and_gets_of_pages_do(writeback, eviction, seed, weights, percent):
    events = mixed(seed, count=1200, weights=weights, pages=700)
    rng = np.random.default_rng(seed)
    events["flags"] = rng.choice([0, 0, 0, 0, Flag.FILLED, Flag.ACTIVE], len(events))
    events["flags"][(events["op"] != Op.PUT_PAGE) & (events["flags"] == Flag.ACTIVE)] = 0
    events["size"] = 4096
    options = {"eviction": eviction, "writeback": writeback}
    driver = Driver(256, storage="emulate:ufs3.1", frontswap_max_percent=percent, **options)
    with driver.tm:
        for event in events:
            driver.run(event)
        driver.tm.verify()
        expected = figures_of(driver.tm.stats())
    chosen = settings(256, codec="none", frontswap_percent=percent, storage="emulate:ufs3.1", **options)
    with Replay(chosen) as running:
        running.run([events])
        running.tm.verify()
        stats = running.tm.stats()
    note(f"{expected}")
    assert figures_of(stats) == expected
    assert expected[3] == driver.hits
    assert expected[7] == driver.refused


@pytest.mark.parametrize("writeback", ["back", "through"])
@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("percent", [0, 30, 100])
def test_a_real_run_hits_exactly_what_the_replay_hits(writeback, fill, percent):
    # No codec, contract or allocation: no decision depends on time or content.
    events = mixed(11, count=3000, pages=700)
    options = {"writeback": writeback, "codec": "none", "storage": "ufs3.1", "frontswap_percent": percent}
    replayed = outcome(events, frames=256, fill=fill, **options)
    ran = outcome(events, frames=256, fill=fill, real=True, rate=1e9, **options)
    assert ran["cleancache"] == replayed["cleancache"]
    counts = ("stores", "refused", "rejects", "loads", "hits_region", "hits_spill", "misses", "errors", "invalidated")
    for name in counts:
        assert ran["frontswap"][name] == replayed["frontswap"][name], name
    assert ran["end"] == replayed["end"]
    if percent == 30:
        assert replayed["cleancache"]["hits"] > 0 < replayed["frontswap"]["hits_region"]
        assert (replayed["frontswap"]["hits_spill"] > 0) == (writeback == "through")
        assert (replayed["frontswap"]["refused"] > 0) == (writeback == "back")
