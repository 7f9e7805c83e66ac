"""What a trace holds, against counting it with sets."""

import random

import numpy as np
import pytest

from tmemstore.report.trace import info_table
from tmemstore.trace.columns import empty
from tmemstore.trace.events import NAMES, Op
from tmemstore.trace.format import TraceWriter, open_trace
from tmemstore.trace.info import describe


def described(tmp_path, records, **options):
    path = tmp_path / "a.trace"
    with TraceWriter(path, {"kind": "test"}) as trace:
        trace.write(records)
    with open_trace(path) as trace:
        return describe(trace, **options)


def made(seed, count):
    rng = random.Random(seed)
    records = empty(count)
    for at in range(count):
        op = rng.choice([*Op, Op.PUT_PAGE, Op.GET_PAGE, Op.STORE, Op.STORE, Op.LOAD])
        item = rng.choice((0, 1, 1 << 40, (1 << 64) - 1))
        if op == Op.ALLOC:
            item = 4096 * rng.randint(1, 9)
        elif Op.STORE <= op <= Op.INVALIDATE_AREA:
            item = 0
        records[at] = (at * 3 + 100, item, rng.randrange(40), rng.randrange(3), 0, op, 0)
    return records


@pytest.mark.parametrize("seed", range(10))
def test_it_counts_what_sets_count(tmp_path, seed):
    records = made(seed, 2000)
    clean, slots, items, live, most = set(), set(), set(), set(), 0
    pools = {}
    for _, item, index, pool, _, op, _ in records.tolist():
        kind = "cleancache" if op <= Op.INVALIDATE_FS else "frontswap" if op <= Op.INVALIDATE_AREA else None
        if kind is not None:
            counts = pools.setdefault((kind, pool), {})
            counts[NAMES[op]] = counts.get(NAMES[op], 0) + 1
        if op in {Op.PUT_PAGE, Op.GET_PAGE}:
            clean.add((pool, item, index))
            items.add((pool, item))
        elif op in {Op.STORE, Op.LOAD}:
            slots.add((pool, index))
            live.add((pool, index))
        elif op == Op.INVALIDATE_SWAP:
            live.discard((pool, index))
        elif op == Op.INVALIDATE_AREA:
            live = {slot for slot in live if slot[0] != pool}
        most = max(most, len(live))
    document = described(tmp_path, records)
    assert document["cleancache"] == {
        "unique_pages": len(clean),
        "unique_objects": len(items),
        "working_set_pages": len(clean),
        "working_set_bytes": len(clean) * 4096,
    }
    assert document["frontswap"]["unique_pages"] == len(slots)
    assert document["frontswap"]["working_set_pages"] == most
    assert document["footprint_pages"] == len(clean) + len(slots)
    assert {(pool["kind"], pool["pool"]): pool["operations"] for pool in document["pools"]} == pools
    assert document["operations"] == {name: int((records["op"] == Op(at)).sum()) for at, name in enumerate(NAMES)}
    assert document["largest_allocation_bytes"] == records["object"][records["op"] == Op.ALLOC].max()
    assert (document["events"], document["first_ns"], document["duration_ns"]) == (2000, 100, 1999 * 3)


def test_pages_are_counted_once_over_many_blocks(tmp_path):
    rng = np.random.default_rng(2)
    records = empty(1_500_000)
    records["object"] = rng.integers(0, 1000, len(records))
    records["index"] = rng.integers(0, 2000, len(records))
    different = len(np.unique(records["object"] * np.uint64(1 << 32) + records["index"]))
    assert described(tmp_path, records)["cleancache"]["unique_pages"] == different


def test_others_may_watch_the_same_pass(tmp_path):
    seen, shown = [], []
    records = made(1, 70_000)
    described(tmp_path, records, watch=[seen.append], progress=lambda text, fraction: shown.append((text, fraction)))
    assert np.array_equal(np.concatenate(seen), records)
    assert shown == [("65536 events", 65536 / 70_000), ("70000 events", 1.0)]


def test_the_table_fits_a_terminal_and_prints_no_control_characters(tmp_path):
    document = described(tmp_path, made(1, 500))
    document["origin"] = {"kind": "a\x1b[31m", "note": "x\n" * 100, "page_cache": ["strange"]}
    table = info_table(document)
    assert max(map(len, table.splitlines())) <= 80
    assert all(line.isprintable() for line in table.splitlines())
    assert "largest allocation" in table
