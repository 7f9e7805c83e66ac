"""Running a trace through the core: the same to the byte, at its times, every event counted once."""

import errno
import gc
import json
from pathlib import Path

import numpy as np
import pytest

import tmemstore
from replay_support import BOTH, SWAP, apart, events_of, mixed, outcome, settings
from tmemstore.trace.events import Op
from tmemstore.trace.replay import Replay
from tmemstore.trace.schedule import Allocate

MS, S = 10**6, 10**9
MIB = 1 << 20
CONTRACT = tmemstore.Contract("1MiB", "50ms", "soft", 0.999)


class TestDeterminism:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"writeback": "back"},
            {"writeback": "through", "codec": "zstd"},
            {"contract": CONTRACT, "escape_bytes": MIB},
            {"contract": tmemstore.Contract("1MiB", "50ms", "hard"), "escape_bytes": MIB},
            {"frontswap_percent": "adaptive", "admission_filter": True, "eviction": "lru"},
            {"storage": "emulate:emmc5.1,sigma=0.3,pause_every=1MiB,pause=10ms", "frontswap_percent": 30},
            {"allocate": Allocate(MIB, 20 * MS, 5 * MS)},
        ],
        ids=["behind", "back", "through", "soft", "hard", "adaptive", "jitter", "allocate"],
    )
    def test_the_same_events_settings_and_seed_give_the_same_result(self, options):
        events = mixed(1)
        first, second = (outcome(events, frames=300, **options) for _ in range(2))
        assert json.dumps(apart(first)) == json.dumps(apart(second))
        assert first["operations"] >= len(events)

    @pytest.mark.parametrize("writeback", ["back", "behind", "through"])
    def test_how_a_trace_is_cut_into_blocks_does_not_matter(self, writeback):
        events = mixed(2)
        documents = [outcome(events, frames=300, blocks=blocks, writeback=writeback) for blocks in (1, 2, 7)]
        assert apart(documents[0]) == apart(documents[1]) == apart(documents[2])

    def test_cut_into_blocks_with_a_contract(self):
        events = mixed(2)
        first, second = (outcome(events, blocks=n, contract=CONTRACT, escape_bytes=MIB) for n in (1, 9))
        assert apart(first) == apart(second)

    def test_another_seed_draws_other_sizes(self):
        first, second = (outcome(mixed(1), frames=4000, seed=seed) for seed in (1, 2))
        assert first["end"]["bytes_kept"] != second["end"]["bytes_kept"]

    def test_another_seed_allocates_at_other_times(self):
        events = mixed(1, weights=SWAP)
        events["size"] = 1000
        first, second = (
            apart(outcome(events, contract=CONTRACT, escape_bytes=MIB, seed=seed), "arguments") for seed in (1, 2)
        )
        assert first != second

    def test_another_seed_is_another_device(self):
        events = mixed(1, weights=SWAP)
        events["size"] = 4096
        options = {"frames": 256, "writeback": "through"}

        def run(storage, seed):
            return apart(outcome(events, storage=storage, seed=seed, **options), "arguments")

        jitter = "emulate:emmc5.1,sigma=0.3"
        assert run(jitter, 1) == run(jitter, 1) != run(jitter, 2)
        # A seed of the device's own stands.
        assert run(f"{jitter},seed=7", 1) == run(f"{jitter},seed=7", 2)


class TestTime:
    def test_events_take_place_at_their_times(self):
        events = mixed(3, weights={Op.PUT_PAGE: 1, Op.GET_PAGE: 1})
        document = outcome(events)
        assert document["trace_ns"] == events["time_ns"][-1]
        assert document["late_ns"] == 0
        events["time_ns"] += np.uint64(5 * S)
        assert outcome(events)["trace_ns"] == events["time_ns"][-1]

    def test_a_load_from_the_device_takes_its_time_and_what_follows_waits(self):
        stores = [{"op": Op.STORE, "index": number, "size": 4096} for number in range(300)]
        loads = [{"op": Op.LOAD, "index": number, "time_ns": S} for number in range(300)]
        document = outcome(events_of([*stores, *loads]), frames=256, writeback="through")
        swap = document["frontswap"]
        assert (swap["hits_region"] + swap["hits_spill"], swap["misses"]) == (300, 0)
        read_ns = document["device"]["read_ns"]
        assert swap["hits_spill"] >= 44
        assert swap["spill_load_p50_ns"] == pytest.approx(read_ns, rel=1 / 16)
        assert document["trace_ns"] - S == pytest.approx(swap["hits_spill"] * read_ns, rel=0.01)
        assert document["late_ns"] == pytest.approx(document["trace_ns"] - S, rel=0.05)

    @pytest.mark.parametrize("scale", [0.001, 0.5, 1.0, 3.0, 1e6])
    def test_times_are_multiplied(self, scale):
        events = mixed(4, weights={Op.PUT_PAGE: 1, Op.GET_PAGE: 1})
        assert outcome(events, blocks=3, time_scale=scale)["trace_ns"] == int(events["time_ns"][-1] * scale)

    @pytest.mark.parametrize("rate", [1.0, 12_345.0, 1e9])
    def test_a_rate_takes_the_place_of_the_times(self, rate):
        events = mixed(4, weights={Op.PUT_PAGE: 1, Op.GET_PAGE: 1})
        events["time_ns"] = 0
        document = outcome(events, blocks=3, rate=rate)
        assert document["trace_ns"] == int((len(events) - 1) / rate * 1e9)

    def test_a_rate_is_that_of_the_events_that_take_part(self):
        events = mixed(4)
        kept = int((events["op"] >= Op.STORE).sum())
        document = outcome(events, only="frontswap", rate=1000.0, frames=4000)
        assert (document["operations"], document["trace_ns"]) == (kept, (kept - 1) * MS)

    def test_a_rate_and_a_factor_for_what_it_replaces_do_not_go_together(self):
        with pytest.raises(ValueError, match="rate"):
            settings(rate=1000.0, time_scale=2.0)

    @pytest.mark.parametrize("options", [{"time_scale": 4.0}, {}])
    def test_times_that_no_clock_shows_are_an_error_of_the_trace(self, options):
        last_ns = 2**63 if options else 2**64 - 1
        events = events_of([{"op": Op.STORE, "size": 1}, {"op": Op.STORE, "size": 1, "time_ns": last_ns}])
        with pytest.raises(tmemstore.TraceError, match=rf"event 2: .*{last_ns}"):
            outcome(events, **options)

    def test_a_century_without_an_event_takes_no_time(self):
        events = events_of([{"op": Op.STORE, "size": 999}, {"op": Op.LOAD, "time_ns": 3 * 10**18}])
        document = outcome(events, contract=CONTRACT, escape_bytes=MIB, allocate=Allocate(MIB, 10**18))
        assert document["frontswap"]["hits_region"] + document["frontswap"]["hits_spill"] == 1
        assert document["allocations"]["met"] == 2


class TestOnly:
    def test_events_of_the_other_kind_do_not_take_part(self):
        events = mixed(5)
        is_clean = events["op"] < Op.STORE
        for kind, part in (("cleancache", events[is_clean]), ("frontswap", events[~is_clean])):
            assert apart(outcome(events, only=kind), "arguments") == apart(outcome(part), "arguments")

    def test_allocations_of_the_trace_stay(self):
        rows = [{"op": Op.PUT_PAGE}, {"op": Op.ALLOC, "object": MIB}, {"op": Op.STORE}, {"op": Op.RELEASE}]
        for kind in ("cleancache", "frontswap"):
            document = outcome(events_of(rows), only=kind)
            assert (document["operations"], document["allocations"]["met"]) == (3, 1)

    def test_nothing_left_is_a_replay_of_nothing(self):
        document = outcome(mixed(5, weights=SWAP), only="cleancache")
        assert (document["operations"], document["trace_ns"], document["cleancache"]["hit_ratio"]) == (0, 0, None)


class TestAllocations:
    def test_a_contract_brings_a_thousand_of_its_size(self):
        document = outcome(mixed(6), contract=CONTRACT, escape_bytes=MIB)
        told = document["allocations"]
        assert told["count"] == told["met"] + told["refused"] + told["aborted"] >= 1000
        assert document["operations"] == 4000 + 2000
        assert told["late"] == 0

    def test_without_a_contract_there_are_none(self):
        document = outcome(mixed(6))
        assert (document["allocations"]["count"], document["operations"]) == (0, 4000)

    def test_a_trace_that_has_some_keeps_to_them(self):
        rows = [
            {"op": Op.STORE, "index": 1, "size": 700},
            {"op": Op.ALLOC, "index": 7, "object": MIB},
            {"op": Op.ALLOC, "index": 9, "object": 4096},
            {"op": Op.RELEASE, "index": 7},
            {"op": Op.LOAD, "index": 1},
            {"op": Op.RELEASE, "index": 7},
            {"op": Op.RELEASE, "index": 12345},
        ]
        document = outcome(events_of(rows), contract=CONTRACT, escape_bytes=MIB)
        assert (document["operations"], document["allocations"]["count"], document["allocations"]["met"]) == (7, 2, 2)
        assert document["frontswap"]["misses"] == 0
        assert document["end"]["frames_free"] + document["end"]["frames_frontswap"] == 512

    def test_those_asked_for_come_beside_those_of_the_trace(self):
        # The trace's range is number 0, as is the first of the others; it must stay out until its own release.
        rows = [
            {"op": Op.ALLOC, "object": MIB, "time_ns": 0},
            {"op": Op.RELEASE, "time_ns": 100 * MS},
        ]
        document = outcome(events_of(rows), frames=300, allocate=Allocate(MIB, 10 * MS, MS))
        assert document["allocations"] | {"count": 10, "met": 1, "refused": 9} == document["allocations"]

    def test_a_number_that_is_taken_again_gives_the_first_range_back(self):
        rows = [{"op": Op.ALLOC, "index": 3, "object": 256 * 4096}] * 3
        document = outcome(events_of(rows), frames=512)
        assert document["allocations"]["met"] >= 2
        assert document["end"]["frames_free"] == 512

    def test_nothing_of_a_range_stays_out_at_the_end(self):
        document = outcome(events_of([{"op": Op.ALLOC, "object": MIB}]))
        assert document["end"]["frames_free"] == document["end"]["frames"] == 512

    @pytest.mark.parametrize("size", [4096 * 513, 2**64 - 4096])
    def test_one_larger_than_the_region_is_an_error_of_the_trace(self, size):
        with pytest.raises(tmemstore.TraceError, match=r"event 2: .*larger"):
            outcome(events_of([{"op": Op.STORE, "size": 1}, {"op": Op.ALLOC, "object": size}]))

    def test_a_size_of_no_whole_page_is_an_error_of_the_trace(self):
        with pytest.raises(tmemstore.TraceError, match=r"event 1: .*4096"):
            outcome(events_of([{"op": Op.ALLOC, "object": 5000}]))

    def test_what_is_wanted_back_fits_into_the_region(self):
        with pytest.raises(ValueError, match="larger"):
            settings(255, contract=CONTRACT)
        with pytest.raises(ValueError, match="larger"):
            settings(255, allocate=Allocate(MIB, S))

    def test_a_stalled_device_aborts_and_is_counted(self):
        rows = [{"op": Op.STORE, "index": number, "size": 4096} for number in range(512)]
        rows.append({"op": Op.ALLOC, "object": MIB, "time_ns": S})
        document = outcome(
            events_of(rows),
            writeback="back",
            storage="emulate:emmc5.1,stall=500ms+1000s",
            codec="none",
        )
        assert document["allocations"]["aborted"] == 1
        assert document["allocations"]["elapsed"]["max_ns"] == pytest.approx(60 * S, abs=MS)


class TestCounts:
    @pytest.mark.parametrize("writeback", ["back", "behind", "through"])
    @pytest.mark.parametrize("options", [{}, {"contract": CONTRACT, "escape_bytes": MIB}, {"admission_filter": True}])
    def test_every_event_is_counted_once(self, writeback, options):
        events = mixed(8, count=6000, pages=1500)
        document = outcome(events, frames=280, writeback=writeback, **options)
        count = {op: int((events["op"] == op).sum()) for op in Op}
        clean, swap = document["cleancache"], document["frontswap"]
        assert (clean["puts"], clean["gets"]) == (count[Op.PUT_PAGE], count[Op.GET_PAGE])
        assert clean["puts"] == clean["admitted"] + sum(clean["rejects"].values())
        assert 0 < clean["hits"] <= clean["gets"]
        assert (swap["stores"], swap["loads"]) == (count[Op.STORE], count[Op.LOAD])
        assert swap["refused"] == sum(swap["rejects"].values())
        assert swap["loads"] == swap["hits_region"] + swap["hits_spill"] + swap["misses"] + swap["errors"]
        assert (swap["errors"], swap["misses"] > 0) == (0, True)

    def test_loads_that_the_device_fails_are_errors_and_not_misses(self):
        stores = [{"op": Op.STORE, "index": number, "size": 4096} for number in range(300)]
        loads = [{"op": Op.LOAD, "index": number, "time_ns": S} for number in range(310)]
        with Replay(settings(256, writeback="through", storage="ufs3.1")) as running:
            running.run([events_of(stores)])
            running.tm.store.arm_fault(tmemstore.FaultSite.READ, count=3, error=errno.EIO)
            running.run([events_of(loads)])
            stats = running.tm.stats()
            assert running.raw.errors == 3
            assert stats.swap_hits_region + stats.swap_hits_spill == 297
            assert stats.swap_loads == 310
            running.tm.verify()

    def test_a_fill_trace_puts_what_its_gets_missed_and_keeps_what_they_hit(self):
        gets = [{"op": Op.GET_PAGE, "index": number} for number in (1, 1, 2, 1, 2, 3)]
        clean = outcome(events_of(gets), fill=True)["cleancache"]
        assert (clean["gets"], clean["hits"], clean["puts"], clean["admitted"]) == (6, 3, 3, 3)
        clean = outcome(events_of(gets))["cleancache"]
        assert (clean["gets"], clean["hits"], clean["puts"]) == (6, 0, 0)

    def test_a_get_takes_the_page_out_where_the_trace_has_puts(self):
        rows = [{"op": Op.PUT_PAGE}, {"op": Op.GET_PAGE}, {"op": Op.GET_PAGE}]
        assert outcome(events_of(rows))["cleancache"]["hits"] == 1

    def test_invalidations_reach_what_they_name(self):
        put = [{"op": Op.PUT_PAGE, "object": number, "index": index, "pool": pool}
               for pool in (0, 1) for number in (1, 2) for index in (0, 1)]  # fmt: skip
        get = [row | {"op": Op.GET_PAGE} for row in put]
        for invalidated, hits in (
            ({"op": Op.INVALIDATE_PAGE, "object": 1}, 7),
            ({"op": Op.INVALIDATE_INODE, "object": 1}, 6),
            ({"op": Op.INVALIDATE_FS}, 4),
            ({"op": Op.INVALIDATE_FS, "pool": 9}, 8),
        ):
            assert outcome(events_of([*put, invalidated, *get]))["cleancache"]["hits"] == hits
        store = [{"op": Op.STORE, "index": index, "pool": pool} for pool in (0, 1) for index in (0, 1)]
        load = [row | {"op": Op.LOAD} for row in store]
        for invalidated, hits in (({"op": Op.INVALIDATE_SWAP}, 3), ({"op": Op.INVALIDATE_AREA, "pool": 1}, 2)):
            assert outcome(events_of([*store, invalidated, *load]))["frontswap"]["hits_region"] == hits

    @pytest.mark.parametrize("pool", [0, 1, 4095, 65535])
    def test_pools_may_have_any_number(self, pool):
        rows = [
            {"op": Op.PUT_PAGE, "pool": pool},
            {"op": Op.STORE, "pool": pool},
            {"op": Op.GET_PAGE, "pool": pool},
            {"op": Op.LOAD, "pool": pool},
            {"op": Op.LOAD, "pool": pool ^ 1},
        ]
        document = outcome(events_of(rows))
        assert (document["cleancache"]["hits"], document["frontswap"]["hits_region"]) == (1, 1)

    def test_more_pools_than_a_store_has_are_an_error_of_the_trace(self):
        rows = [{"op": Op.PUT_PAGE, "pool": pool} for pool in range(4096)]
        with pytest.raises(tmemstore.TraceError, match=r"event 4096: .*4095 pools"):
            outcome(events_of(rows))

    @pytest.mark.parametrize("wrong", [{"op": 11}, {"op": Op.STORE, "size": 4097}, {"op": 255}])
    def test_what_is_no_event_is_named(self, wrong):
        with pytest.raises(tmemstore.TraceError, match="event 2:"):
            outcome(events_of([{"op": Op.STORE}, wrong]))


class TestRegions:
    def test_the_smallest_one(self):
        document = outcome(mixed(9, weights=BOTH), frames=256)
        assert document["end"]["frames"] == 256
        assert document["cleancache"]["evicted"] > 0

    def test_8_gib_take_next_to_no_memory(self):
        def resident():
            return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096

        gc.collect()
        before = resident()
        with Replay(settings((8 << 30) // 4096)) as running:
            running.run([mixed(9)])
            assert running.tm.stats().frames == (8 << 30) // 4096
            assert resident() - before < 100 * MIB

    def test_no_page_is_ever_touched(self):
        with Replay(settings(512)) as running:
            running.run([mixed(9)])
            running.tm.verify()
