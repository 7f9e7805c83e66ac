"""The region by itself: its size, what the machine refuses, and who keeps its memory alive."""

import gc
import itertools
import sys
import threading
from types import GeneratorType

import numpy as np
import pytest

import tmemstore
from tmemstore import region


@pytest.mark.parametrize("size", ["1MiB", 1052672, "2MiB", "5MiB"])
def test_a_region_has_the_size_asked_for_and_starts_at_a_huge_page(size):
    area = tmemstore.Region(size)
    assert area.size_bytes == area.frames * 4096 == tmemstore.units.parse_size(size)
    assert area.chunks == -(-area.frames // 512)
    assert area.base_address % (2 << 20) == 0
    area.close()


@pytest.mark.parametrize("size", ["512KiB", "256GiB", 4097, 0, -4096, "1MB"])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(ValueError, match=r"\d"):
        tmemstore.Region(size)


@pytest.mark.parametrize("without_data", [False, True])
def test_a_reserve_that_cannot_be_is_refused_by_name(without_data):
    with pytest.raises(ValueError, match="escape reserve have less than 256GiB together"):
        tmemstore.Region("1MiB", escape="256GiB", without_data=without_data)


def test_a_region_beyond_the_machine_is_refused_before_it_is_touched():
    with pytest.raises(tmemstore.EnvironmentLacks, match="smaller"):
        tmemstore.Region("255GiB")


def test_what_the_machine_refuses_is_said_and_done_without():
    area = tmemstore.Region("4MiB", hugetlb=True, mlock=True)
    if not area.hugetlb:
        assert any("nr_hugepages" in note for note in area.notes)
    if not area.mlocked:
        assert any("ulimit -l" in note for note in area.notes)
    with_store = tmemstore.TmemStore(area, codec="none")
    pool = with_store.new_pool()
    assert with_store.put(pool, 1, 1, bytes(range(256)) * 16)
    with_store.close()


def test_transparent_huge_pages_that_are_off_are_mentioned(monkeypatch, tmp_path):
    switch = tmp_path / "enabled"
    switch.write_text("always madvise [never]")
    monkeypatch.setattr(region, "_THP", switch)
    assert any("madvise" in note for note in tmemstore.Region("1MiB").notes)


def test_small_regions_are_written_through_the_cache():
    assert tmemstore.Region("4MiB").copy_variant == "plain"
    assert tmemstore.Region("32MiB").copy_variant != ""


def test_a_region_serves_one_store(tmp_path):
    area = tmemstore.Region("1MiB")
    with pytest.raises(tmemstore.SpillError):
        tmemstore.TmemStore(area, spill=tmp_path)
    first = tmemstore.TmemStore(area)
    pool = first.new_pool()
    assert first.put(pool, 1, 1, bytes(range(256)) * 16)
    for close in (lambda: None, first.close):
        close()
        with pytest.raises(ValueError, match="lent to a store"):
            tmemstore.TmemStore(area)


def test_a_closed_region_takes_no_store():
    area = tmemstore.Region("1MiB")
    area.close()
    area.close()
    with pytest.raises(tmemstore.PoolError, match="closed"):
        tmemstore.TmemStore(area)


def test_a_range_that_nobody_can_reach_is_given_back():
    with tmemstore.open("2MiB") as tm:
        array = np.frombuffer(tm.alloc_contig("1MiB").view, np.uint8)
        gc.collect()
        assert tm.frame_counts().allocated == 256, "an array still reaches it"
        del array
        gc.collect()
        assert tm.frame_counts().allocated == 0


def strike(use):
    """Runs it again and again, with Ctrl-C at its first event, at its second ...; yields after each that was struck."""
    for struck_at in itertools.count():
        left = itertools.count(-struck_at)

        def event(frame, _event, _argument, left=left):
            if frame.f_code is not strike.__code__ and not next(left):
                raise KeyboardInterrupt

        sys.setprofile(event)
        try:
            use()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        if next(left) <= 0:
            break
        yield struck_at
    assert struck_at > 100


@pytest.fixture
def swallowed(monkeypatch):
    """Interrupts that Python could only print. A generator that is dropped half-way runs too; it gives nothing back."""
    found = []

    def look(each):
        if each.exc_type is KeyboardInterrupt and not isinstance(each.object, GeneratorType):
            found.append(each)

    monkeypatch.setattr(sys, "unraisablehook", look)
    return found


@pytest.mark.parametrize("end", ["release", "drop", "buffer"])
def test_an_interrupt_anywhere_is_raised_and_the_range_is_back(swallowed, end):
    """Python swallows what is raised in a destructor: the range stayed out as long as the store, Ctrl-C was lost."""
    ends = {"release": lambda contig: contig.release(), "drop": lambda contig: None, "buffer": np.asarray}
    with tmemstore.open("2MiB", codec="none", storage=tmemstore.CostModel()) as tm:
        kept = []

        def use():
            kept.append(tm.alloc_contig("1MiB"))
            ends[end](kept[0].view if end == "buffer" else kept[0])
            del kept[:]

        for struck_at in strike(use):
            if kept and not kept[0].released:
                kept.pop().release()
            del kept[:]
            assert tm.frame_counts().allocated == 0, struck_at
    assert swallowed == []


def test_an_interrupt_anywhere_leaves_no_store_behind(swallowed, tmp_path):
    """One that struck as the core returned left the region's memory taken and the spill file locked."""
    path = tmp_path / "spill.img"

    def use():
        tmemstore.TmemStore(tmemstore.Region("1MiB"), spill=path)

    for _ in strike(use):
        tmemstore.TmemStore(tmemstore.Region("1MiB"), spill=path).close()
    assert swallowed == []


def test_of_two_threads_that_release_a_range_one_is_told_that_it_was_released():
    told = []

    def release(contig, start):
        start.wait()
        try:
            contig.release()
        except tmemstore.PoolError as error:
            told.append(str(error))

    with tmemstore.open("2MiB", codec="none", storage=tmemstore.CostModel()) as tm:
        for count in range(1, 101):
            contig, start = tm.alloc_contig("1MiB"), threading.Barrier(2)
            threads = [threading.Thread(target=release, args=(contig, start)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(told) == count
            assert "released before" in told[-1]
            assert tm.frame_counts().allocated == 0
