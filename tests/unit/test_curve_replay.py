"""What a curve says of a region is what the core makes of it: hits of the one are hits of the other."""

import numpy as np
import pytest

from tmemstore.trace.distances import distances
from tmemstore.trace.events import RECORD, Op
from tmemstore.trace.replay import Replay
from tmemstore.trace.settings import Settings
from tmemstore.units import PAGE_SIZE

FRAMES = (256, 300, 511, 700, 1200)


def trace(seed, weights, objects=1):
    """Skewed events of the ops in `weights`, on pages of so many objects."""
    rng = np.random.default_rng(seed)
    events = np.zeros(40_000, RECORD)
    shares = np.array(list(weights.values()))
    events["op"] = rng.choice(list(weights), len(events), p=shares / shares.sum())
    events["index"] = rng.zipf(1.1, len(events)) % 1500
    events["object"] = rng.integers(0, objects, len(events))
    events["time_ns"] = np.arange(len(events)) * 100_000
    return events


def stats_of(events, frames, *, fill=False, **options):
    settings = Settings(
        region_bytes=frames * PAGE_SIZE,
        eviction="lru",
        codec="none",
        admission_filter=False,
        storage="ufs3.1",
        **options,
    )
    with Replay(settings, fill=fill) as running:
        running.run([events])
        return running.tm.stats()


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("frames", FRAMES)
def test_a_cleancache_serves_exactly_what_its_curve_says(frames, fill):
    puts = {} if fill else {Op.PUT_PAGE: 500}
    removed = {Op.INVALIDATE_PAGE: 20, Op.INVALIDATE_INODE: 0.4, Op.INVALIDATE_FS: 0.1}
    events = trace(3, {**puts, Op.GET_PAGE: 500, **removed}, objects=3)
    hits = stats_of(events, frames, fill=fill, frontswap_percent=0).clean_hits
    assert 0 < hits == distances([events], fill=fill).cleancache.hits([frames])[0]


@pytest.mark.parametrize("frames", FRAMES)
def test_a_frontswap_serves_about_what_its_curve_says(frames):
    # About: who was loaded is marked, and moves to the front when its turn to leave comes, not with the load.
    events = trace(4, {Op.STORE: 300, Op.LOAD: 500, Op.INVALIDATE_SWAP: 100})
    stats = stats_of(events, frames, frontswap_percent=100, writeback="through")
    histogram = distances([events]).frontswap
    assert stats.swap_loads == histogram.accesses
    assert stats.swap_hits_region / stats.swap_loads == pytest.approx(histogram.hit_ratio([frames])[0], abs=0.015)
    assert stats.swap_hits_region + stats.swap_hits_spill == stats.swap_loads - histogram.cold
