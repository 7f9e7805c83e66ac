"""The laws of the write policies: back writes nothing unasked, behind copies what is cold, through everything."""

import signal
import time

import pytest

from support import PAGE, PATIENCE, assert_all_back, child, load, mixed, noise, places, store_pages, text
from tmemstore import Contract, Effort, FaultSite, Place, SpillError

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
EIO, ENOSPC = 5, 28
COPIED = int(Place.REGION | Place.SPILL)


def emulated(opened, region="8MiB", device="emmc5.1", **options):
    tm = opened(region, storage=f"emulate:{device}", virtual_time=True, **options)
    tm.advance("1s")
    return tm


def written(tm):
    """Bytes by cause, without what opening measured."""
    return {cause: size for cause, size in tm.stats().written_by_cause.items() if size and cause != "measure"}


@CODECS
@pytest.mark.parametrize("contract", [None, Contract("4MiB", "30ms"), Contract("4MiB", "30ms", "hard")], ids=str)
def test_back_writes_nothing_unasked(opened, codec, contract):
    tm = emulated(opened, codec=codec, writeback="back", contract=contract, escape="1MiB")
    swap, pages = tm.frontswap(0), {}
    for offset in range(900):
        page = mixed(offset)
        if swap.store(offset, page):
            pages[offset] = page
    for _ in range(20):
        tm.advance("500ms")
    assert written(tm) == {}
    assert tm.stats().pages_copied == 0
    tm.alloc_contig("2MiB", effort=Effort.MIGRATE).release()
    assert "reclaim" not in written(tm)
    assert_all_back(swap, pages)


@CODECS
def test_behind_copies_cold_pages(opened, codec):
    """Under pressure of a contract; copies are real: such pages are dropped with the device dead, and come back."""
    contract = Contract("4MiB", "30ms", "hard")
    tm = emulated(opened, codec=codec, writeback="behind", contract=contract, escape="1MiB")
    swap, pages = tm.frontswap(0), {}
    for offset in range(1800):
        page = noise(offset)
        if swap.store(offset, page):
            pages[offset] = page
        if offset % 20 == 0:
            tm.advance("10ms")
    tm.advance("1s")
    stats = tm.stats()
    assert stats.pages_copied > 300
    assert stats.written_by_cause["clean"] >= stats.pages_copied * PAGE
    assert set(written(tm)) == {"clean"}
    copied = [offset for offset in pages if places(swap, [offset]) == [COPIED]]
    assert len(copied) == stats.pages_copied
    oldest, youngest = sorted(pages)[: len(copied)], sorted(pages)[-100:]
    assert len(set(copied) & set(oldest)) > 0.6 * len(copied), "not the cold ones first"
    assert len(set(copied) & set(youngest)) < 60, "what has just come in is not cold"
    tm.disturb_device(duration="1s")
    with tm.alloc_contig("4MiB", effort=Effort.MIGRATE) as contig:
        assert contig.report.copied_dropped + contig.report.migrated_inside + contig.report.migrated_reserve > 0
    tm.advance("5s")
    assert_all_back(swap, pages)


@CODECS
def test_a_copy_does_not_outlive_its_page(opened, codec):
    """Overwritten while the cleaner writes it: the old bytes must never come back."""
    contract = Contract("4MiB", "30ms", "hard")
    tm = emulated(opened, codec=codec, writeback="behind", contract=contract, escape="1MiB")
    swap, pages = tm.frontswap(0), {}
    for generation in range(6):
        for offset in range(230):
            page = noise(offset + 1000 * generation)
            pages.pop(offset, None)
            if swap.store(offset, page):
                pages[offset] = page
            if offset % 40 == 0:
                tm.advance("300us")
        tm.verify()
    tm.advance("1s")
    assert pages
    with tm.alloc_contig("8MiB") as contig:
        contig.view[:] = b"\xa5" * contig.size_bytes
        assert_all_back(swap, pages)
    tm.verify()


@CODECS
@pytest.mark.parametrize("many", [False, True])
def test_through_has_a_copy_when_store_returns(opened, codec, many):
    tm = emulated(opened, codec=codec, writeback="through")
    swap = tm.frontswap(0)
    pages = {offset: mixed(offset) for offset in range(200)}
    if many:
        store_pages(swap, pages)
    else:
        for offset, page in pages.items():
            assert swap.store(offset, page)
            assert places(swap, [offset])[0] in {COPIED, int(Place.FILL)}
    assert set(places(swap, pages)) == {COPIED, int(Place.FILL)}
    stats = tm.stats()
    assert (stats.uncopied_bytes, stats.pages_copied) == (0, len(pages) - stats.pages_fill)
    assert set(written(tm)) == {"through"}
    tm.disturb_device(duration="1s")
    with tm.alloc_contig("8MiB", effort=Effort.DROP, deadline="5ms") as contig:
        assert contig.report.copied_dropped == stats.pages_copied
        assert contig.report.bytes_written == 0
    tm.advance("3s")
    assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("error", [EIO, ENOSPC])
@pytest.mark.parametrize("before", [False, True])
def test_through_refuses_a_store_whose_write_fails_and_leaves_the_key_absent(opened, codec, error, before):
    tm = emulated(opened, codec=codec, writeback="through")
    swap = tm.frontswap(0)
    assert swap.store(2, noise(2))
    if before:
        assert swap.store(1, noise(1))
    tm.store.arm_fault(FaultSite.WRITE, count=None, error=error)
    assert swap.store(1, noise(11)) is False
    assert places(swap, [1]) == [0]
    assert load(swap, 1) is None
    assert tm.stats().swap_rejects["spill"] == 1
    tm.store.arm_fault(FaultSite.WRITE, count=0)
    tm.verify()
    assert swap.store(1, noise(12))
    assert_all_back(swap, {1: noise(12), 2: noise(2)})


@CODECS
def test_through_and_a_device_that_stalls_end_in_a_spill_error_after_io_timeout(opened, codec):
    tm = emulated(opened, codec=codec, writeback="through", io_timeout="40ms")
    swap = tm.frontswap(0)
    assert swap.store(1, noise(1))
    tm.disturb_device(duration="10s")
    begun = tm.now_ns
    with pytest.raises(SpillError):
        swap.store(2, noise(2))
    assert 40_000_000 <= tm.now_ns - begun <= 60_000_000
    tm.verify()
    assert load(swap, 1) == noise(1), "others are not held up"
    assert places(swap, [2])[0] in {0, int(Place.REGION)}
    assert load(swap, 2) in {None, noise(2)}
    tm.advance("20s")
    assert load(swap, 2) in {None, noise(2)}
    assert swap.store(2, text(2))
    assert_all_back(swap, {1: noise(1), 2: text(2)})


@CODECS
def test_after_a_spill_error_the_key_never_has_its_old_page(opened, codec):
    tm = emulated(opened, codec=codec, writeback="through", io_timeout="40ms")
    swap = tm.frontswap(0)
    assert swap.store(1, noise(1))
    tm.disturb_device(duration="1s")
    with pytest.raises(SpillError):
        swap.store(1, noise(11))
    assert load(swap, 1) in {None, noise(11)}, "stale"
    tm.advance("5s")
    tm.verify()
    assert load(swap, 1) in {None, noise(11)}, "stale"


STALLED = """
import sys, time, tmemstore
tm = tmemstore.open("1MiB", storage="emulate:emmc5.1", writeback="through", codec="lz4")
swap = tm.frontswap(0)
page = bytes(range(256)) * 16
assert swap.store(1, page)
tm.disturb_device(duration="3s")
print("ready", flush=True)
try:
    swap.store(2, page)
except KeyboardInterrupt:
    print("interrupted")
else:
    print("stored")
out = bytearray(4096)
assert swap.load(1, out) and out == page
tm.verify()
tm.close()
print("closed")
"""


def test_a_stalled_store_answers_ctrl_c():
    process = child(STALLED)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=2 * PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert out.split() == ["interrupted", "closed"], errors
    assert process.returncode == 0, errors


@CODECS
def test_bytes_are_counted_by_cause_and_add_up(opened, codec):
    tm = emulated(opened, codec=codec, writeback="behind", contract=Contract("4MiB", "30ms", "hard"), escape="1MiB")
    swap = tm.frontswap(0)
    for offset in range(1500):
        swap.store(offset, noise(offset))
        if offset % 50 == 0:
            tm.advance("20ms")
    tm.alloc_contig("8MiB").release()
    tm.advance("2s")
    stats = tm.stats()
    assert sum(stats.written_by_cause.values()) == stats.spill_bytes_written
    assert stats.written_by_cause["clean"] > 0
    assert stats.written_by_cause["through"] == 0


@pytest.mark.parametrize("writeback", ["behind", "through"])
def test_without_a_spill_file_there_is_nothing_to_write_to(opened, writeback):
    """It is refused with a sentence, or works without copies and says so in its notes."""
    try:
        tm = opened("1MiB", writeback=writeback)
    except ValueError as error:
        assert "spill" in str(error)
    else:
        assert any("spill" in note or "copy" in note or "copies" in note for note in tm.notes) or writeback == "behind"
        swap = tm.frontswap(0)
        assert swap.store(1, noise(1)) in {True, False}
        assert load(swap, 1) in {None, noise(1)}
