"""Sizes that a trace lacks: the table that they are drawn from, and that a page keeps its size."""

import numpy as np
import pytest

from replay_support import SWAP, events_of, mixed, settings
from tmemstore.trace.events import Flag, Op
from tmemstore.trace.replay import Replay
from tmemstore.trace.sizes import FILLED_SHARE, QUANTILES, table

KEYS = 3000


def kept(events, **options):
    """Bytes that frontswap pages take, and how many of them are same-filled."""
    with Replay(settings(4 * KEYS, **options)) as running:
        running.run([events])
        stats = running.tm.stats()
        assert not sum(stats.swap_rejects.values())
        return stats.bytes_kept, stats.pages_fill


def stores(indexes, **more):
    return events_of({"op": Op.STORE, "index": int(index)} | more for index in indexes)


@pytest.mark.parametrize("codec", sorted(QUANTILES))
def test_the_table_has_the_quantiles_that_were_measured(codec):
    sizes = table(codec)
    filled = int((sizes == 0).sum())
    assert filled == round(FILLED_SHARE * len(sizes))
    rest = np.sort(sizes[filled:])
    assert (sizes[filled:] == rest).all()
    for at, size in enumerate(QUANTILES[codec]):
        assert abs(np.quantile(rest, at / 64) - size) <= max(8, 0.12 * size)


def test_without_a_codec_a_page_is_a_page_or_same_filled():
    assert set(table("none").tolist()) == {0, 4096}


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
def test_sizes_are_drawn_from_the_table(codec):
    sizes = table(codec).astype(float)
    byte_count, filled = kept(stores(range(KEYS)), codec=codec)
    error = 5 * sizes.std() / np.sqrt(KEYS)
    assert byte_count / KEYS == pytest.approx(sizes.mean(), abs=max(error, 0.02 * sizes.mean()))
    assert filled / KEYS == pytest.approx(FILLED_SHARE, abs=0.012)


def test_a_key_has_its_size_whenever_it_is_stored_and_beside_whatever():
    forth, back = np.arange(KEYS), np.arange(KEYS)[::-1]
    once = kept(stores(forth))
    assert kept(stores(back)) == once
    assert kept(np.concatenate((stores(forth), stores(back, time_ns=10**9)))) == once


def test_other_keys_other_pools_and_other_seeds_have_other_sizes():
    base = kept(stores(range(KEYS)))
    assert kept(stores(range(KEYS), pool=1)) != base
    assert kept(stores(range(KEYS, 2 * KEYS))) != base
    assert kept(stores(range(KEYS)), seed=2) != base


def test_a_size_of_the_trace_is_taken_as_it_is():
    assert kept(stores(range(100), size=1000)) == (100_000, 0)
    assert kept(stores(range(100), size=4096)) == (409_600, 0)
    assert kept(stores(range(100), size=1000, flags=Flag.FILLED)) == (0, 100)


def test_without_a_codec_a_page_that_would_compress_does_not():
    assert kept(stores(range(100), size=1000), codec="none") == (409_600, 0)


def test_the_seed_alone_decides():
    events = mixed(7, weights=SWAP)
    assert kept(events, seed=2**64 - 1) == kept(events, seed=2**64 - 1)
