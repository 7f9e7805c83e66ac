"""Bad input, lifetimes: closed stores, released ranges, and arrays that outlive both."""

import gc
import sys
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import tmemstore
from support import (
    PAGE,
    assert_all_back,
    keys,
    noise,
    page_everything_out,
    put_pages,
    run_child,
    scribble,
    stack,
    store_pages,
    whole,
)
from tmemstore import Contract, PoolError

ONE, BATCH = keys([1]), stack([noise(1)])
VERBS = {
    "put_page": lambda s: s.fs.put_page(1, 1, noise(1)),
    "get_page": lambda s: s.fs.get_page(1, 1, bytearray(PAGE)),
    "fs.invalidate_page": lambda s: s.fs.invalidate_page(1, 1),
    "invalidate_inode": lambda s: s.fs.invalidate_inode(1),
    "invalidate_fs": lambda s: s.fs.invalidate_fs(),
    "put_page_many": lambda s: s.fs.put_page_many(ONE, ONE, BATCH),
    "get_page_many": lambda s: s.fs.get_page_many(ONE, ONE, BATCH.copy()),
    "fs.where_many": lambda s: s.fs.where_many(ONE, ONE),
    "store": lambda s: s.swap.store(1, noise(1)),
    "load": lambda s: s.swap.load(1, bytearray(PAGE)),
    "swap.invalidate_page": lambda s: s.swap.invalidate_page(1),
    "invalidate_area": lambda s: s.swap.invalidate_area(),
    "store_many": lambda s: s.swap.store_many(ONE, BATCH),
    "load_many": lambda s: s.swap.load_many(ONE, BATCH.copy()),
    "where_many": lambda s: s.swap.where_many(ONE),
    "cleancache": lambda s: s.tm.cleancache("x"),
    "frontswap": lambda s: s.tm.frontswap(9),
    "alloc_contig": lambda s: s.tm.alloc_contig(PAGE),
    "propose": lambda s: s.tm.propose(PAGE),
    "stats": lambda s: s.tm.stats(),
    "chunks": lambda s: s.tm.chunks(),
    "frame_counts": lambda s: s.tm.frame_counts(),
    "verify": lambda s: s.tm.verify(),
    "enable": lambda s: setattr(s.tm, "enabled", False),
    "new_pool": lambda s: s.tm.store.new_pool(),
    "put": lambda s: s.tm.store.put(1, 1, 1, noise(1)),
    "get": lambda s: s.tm.store.get(1, 1, 1, bytearray(PAGE)),
    "flush_page": lambda s: s.tm.store.flush_page(1, 1, 1),
    "flush_object": lambda s: s.tm.store.flush_object(1, 1),
    "flush_pool": lambda s: s.tm.store.flush_pool(1),
    "destroy_pool": lambda s: s.tm.store.destroy_pool(1),
    "authorize_shared": lambda s: s.tm.store.authorize_shared(bytes(16)),
    "pool_is_shared": lambda s: s.tm.store.pool_is_shared(1),
    "arm_fault": lambda s: s.tm.store.arm_fault(tmemstore.FaultSite.WRITE),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("spill", [True, None], ids=["spill", "no spill"])
def test_every_verb_of_a_closed_store_is_a_pool_error(opened, verb, spill):
    tm = opened(spill=spill)
    fs, swap = tm.cleancache("rootfs"), tm.frontswap(0)
    store_pages(swap, {1: noise(1)})
    assert not tm.closed
    tm.close()
    assert tm.closed
    with pytest.raises(PoolError) as error:
        VERBS[verb](SimpleNamespace(tm=tm, fs=fs, swap=swap))
    assert "closed" in str(error.value)


def test_closing_twice_is_fine(opened):
    tm = opened(spill=True)
    with tm:
        pass
    assert tm.closed
    tm.close()
    tm.close()


def test_the_context_manager_closes_though_the_body_raises(tmp_path):
    with pytest.raises(KeyError), tmemstore.open("1MiB", tmp_path / "spill.img") as tm:
        raise KeyError
    assert tm.closed
    tmemstore.open("1MiB", tmp_path / "spill.img").close()  # the lock is gone


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # warning about it is fine, failing is not
def test_a_store_that_is_never_closed_goes_quietly(tmp_path):
    path = tmp_path / "spill.img"
    tm = tmemstore.open("1MiB", path)
    store_pages(tm.frontswap(0), {1: noise(1)})
    contig = tm.alloc_contig(PAGE)
    array = np.frombuffer(contig.view, np.uint8)
    del tm, contig
    gc.collect()
    array[:] = 7
    assert (array == 7).all()
    del array
    gc.collect()


@pytest.mark.parametrize("refused_before", [False, True], ids=["at once", "after a refusal"])
def test_a_range_is_released_though_a_profiler_keeps_every_frame(opened, refused_before):
    """A frame keeps what its function held, long after it returned: samplers and debuggers keep frames."""
    tm, frames = opened(spill=None), []
    sys.setprofile(lambda frame, _event, _argument: frames.append(frame))
    try:
        contig = tm.alloc_contig(PAGE)
        if refused_before:
            array = np.frombuffer(contig.view, np.uint8)
            with pytest.raises(PoolError, match="delete them"):
                contig.release()
            del array
        contig.release()
    finally:
        sys.setprofile(None)
    assert contig.released
    assert frames
    assert tm.alloc_contig(whole(tm)).size_bytes == whole(tm)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # warning about it is fine, failing is not
def test_the_cleaner_does_not_keep_a_store_that_nobody_can_reach(tmp_path):
    tm = tmemstore.open("1MiB", tmp_path / "spill.img", contract=Contract("128KiB", "1s"))
    gone = weakref.ref(tm)
    cleaners = [thread for thread in threading.enumerate() if thread.name == "tmemstore-cleaner"]
    assert cleaners
    del tm
    for _ in range(1000):  # the thread may be holding it for one step just now
        gc.collect()
        if gone() is None and not any(thread.is_alive() for thread in cleaners):
            break
        cleaners[-1].join(0.05)
    assert gone() is None
    assert not any(thread.is_alive() for thread in cleaners)
    tmemstore.open("1MiB", tmp_path / "spill.img").close()  # the lock is gone


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # warning about it is fine, failing is not
def test_handles_keep_the_store_alive():
    swap = tmemstore.open("1MiB").frontswap(0)
    gc.collect()
    assert swap.store(1, noise(1))
    out = bytearray(PAGE)
    assert swap.load(1, out)
    assert out == noise(1)


# ---- ranges -----------------------------------------------------------------------------------------------


def test_releasing_twice_is_a_pool_error(opened):
    tm = opened()
    contig = tm.alloc_contig(PAGE)
    contig.release()
    other = tm.alloc_contig(PAGE)  # the same frames, another range: it must not be hit
    for again in (contig.release, lambda: tm.release(contig)):
        with pytest.raises(PoolError) as error:
            again()
        assert len(str(error.value).split()) >= 4
    assert not other.released
    assert tm.frame_counts().allocated == 1
    scribble(other)
    tm.verify()
    other.release()


def test_using_a_range_after_release_is_a_pool_error(opened):
    contig = opened().alloc_contig(PAGE)
    contig.release()
    assert contig.released
    with pytest.raises(PoolError) as error:
        _ = contig.view
    assert "release" in str(error.value)
    with pytest.raises(PoolError), contig:
        pass
    assert contig.report.ending == tmemstore.Ending.MET, "the report stays readable"


def test_the_context_manager_releases_though_the_body_raises(opened):
    tm = opened()
    with pytest.raises(KeyError), tm.alloc_contig(PAGE) as contig:
        raise KeyError
    assert contig.released
    assert tm.frame_counts().allocated == 0


def test_releasing_inside_the_with_block_is_fine_or_a_pool_error_but_never_worse(opened):
    tm = opened()
    try:
        with tm.alloc_contig(PAGE) as contig:
            contig.release()
    except PoolError:
        pass
    assert contig.released
    assert tm.frame_counts().allocated == 0
    tm.verify()


BUFFERS = {
    "array": lambda view: np.frombuffer(view, np.uint8),
    "array of words": lambda view: np.frombuffer(view, np.uint64),
    "asarray": np.asarray,
    "slice of an array": lambda view: np.frombuffer(view, np.uint8)[10:20],
    "memoryview of it": memoryview,
    "slice of it": lambda view: view[100:200],
    "cast": lambda view: view.cast("Q"),
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_release_while_a_buffer_of_the_view_lives_is_a_pool_error_and_keeps_the_range(opened, kind):
    tm = opened(spill=True)
    swap = tm.frontswap(0)
    contig = tm.alloc_contig("512KiB")
    buffer = BUFFERS[kind](contig.view)
    for release in (contig.release, lambda: tm.release(contig)):
        with pytest.raises(PoolError) as error:
            release()
        assert len(str(error.value).split()) >= 4
    assert not contig.released
    assert tm.frame_counts().allocated == 128
    pages = {offset: noise(offset) for offset in range(200)}
    for offset in list(pages):  # pressure: nobody may come into the range
        if not swap.store(offset, pages[offset]):
            del pages[offset]
    scribble(contig, 0x11)
    assert bytes(buffer[:1])[0] == 0x11, "the buffer is no longer the range"
    assert_all_back(swap, pages)
    tm.verify()
    del buffer, error
    gc.collect()
    contig.release()
    assert contig.released
    assert tm.frame_counts().allocated == 0


def test_a_view_kept_over_a_release_never_reaches_the_frames(opened):
    """Either the release is refused while it lives, or the view is dead afterwards."""
    tm = opened()
    contig = tm.alloc_contig(whole(tm))
    view = contig.view
    try:
        contig.release()
    except PoolError:
        assert not contig.released
        view[:1] = b"x"
        return
    swap = tm.frontswap(0)
    pages = {offset: noise(offset) for offset in range(200)}
    store_pages(swap, pages)
    with pytest.raises(ValueError, match="released"):
        view[:1] = b"x"
    assert_all_back(swap, pages)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # warning about it is fine, failing is not
def test_arrays_that_outlive_the_store_stay_readable_and_writable(opened):
    tm = opened("4MiB", spill=True)
    store_pages(tm.frontswap(0), {offset: noise(offset) for offset in range(300)})
    page_everything_out(tm)
    contig, other = tm.alloc_contig("1MiB"), tm.alloc_contig("1MiB")
    array, words = np.frombuffer(contig.view, np.uint8), np.frombuffer(other.view, np.uint64)
    array[:] = 42
    words[:] = 2**40
    tm.close()
    assert tm.closed
    with pytest.raises(PoolError):
        contig.release()
    assert (array == 42).all()
    array[:] = 43
    assert (words == 2**40).all()
    del contig, other, tm
    gc.collect()
    assert (array == 43).all()
    words[:] = 5
    noise_elsewhere = [bytearray(1 << 20) for _ in range(16)]
    assert (words == 5).all()
    assert (array == 43).all()
    del array, words, noise_elsewhere
    gc.collect()


CYCLE = """
import gc, sys
import tmemstore

class Holder:
    def __init__(self, **held):
        self.__dict__.update(held, me=self)

class User(Holder):
    def __del__(self):
        for use in uses:
            use(self)
        print("used")

uses = {
    "nothing": [],
    "view": [lambda held: held.view.__setitem__(slice(0, 3), b"abc")],
    "range": [lambda held: held.view.release(), lambda held: held.contig.release(), lambda held: held.tm.verify()],
    "store": [lambda held: held.tm.stats(), lambda held: held.tm.alloc_contig(4096), lambda held: held.tm.close()],
}[sys.argv[1]]
for _ in range(20):
    tm = tmemstore.open("1MiB", codec="none", storage=tmemstore.CostModel())
    contig = tm.alloc_contig("512KiB")
    User(tm=tm, contig=contig, view=contig.view[:8])
    Holder(tm=tm, contig=contig)
    del tm, contig
    gc.collect()
"""


@pytest.mark.parametrize("used", ["nothing", "view", "range", "store"])
def test_a_cycle_that_is_collected_ends_the_range_before_its_store_and_whoever_uses_them_before(used):
    """The collector ended the region first, and what came after it read freed memory."""
    assert run_child(CYCLE, used) == 20 * "used\n"


def test_a_range_is_in_use_for_a_del_whose_garbage_holds_a_slice_of_it(opened):
    """The collector clears weak references into a cycle first: they told nothing of who has the memory."""
    tm, told = opened(), []

    class User:
        def __init__(self, contig):
            self.contig, self.piece, self.me = contig, contig.view[:8], self

        def __del__(self):
            try:
                self.contig.release()
            except PoolError as error:
                told.append(str(error))
            told.append(tm.frame_counts().allocated)
            self.piece[:3] = b"abc"

    User(tm.alloc_contig(whole(tm)))
    gc.collect()
    assert len(told) == 2
    assert "delete them" in told[0]
    assert told[1] == whole(tm) // PAGE
    assert tm.frame_counts().allocated == 0
    tm.alloc_contig(whole(tm)).release()


def test_no_page_is_dropped_for_a_range_in_a_region_that_is_closed(opened):
    tm = opened()
    fs = tm.cleancache("rootfs")
    put_pages(fs, 1, {index: noise(index) for index in range(whole(tm) // PAGE)})
    tm.region.close()
    with pytest.raises(PoolError, match="the region is closed"):
        tm.alloc_contig(whole(tm))
    assert tm.frame_counts().free == 0
    assert tm.stats().allocs_met == 0


@pytest.mark.parametrize("thing", [None, 1, "range"], ids=str)
def test_releasing_what_is_no_range_is_refused(opened, thing):
    with pytest.raises((TypeError, PoolError)):
        opened().release(thing)


@pytest.mark.parametrize("verb", ["put_page_many", "get_page_many"])
def test_a_batch_that_is_under_way_when_the_store_closes_ends_well(opened, verb):
    """Its pages are copied without the store's lock; the memory they lie in stays until it is done."""
    pages = np.random.default_rng(1).integers(0, 256, (256, PAGE), np.uint8)
    inodes, indexes = np.zeros(256, np.uint64), np.arange(256, dtype=np.uint64)
    ended = []

    def go_on(fs, out):
        while True:
            getattr(fs, verb)(inodes, indexes, out)
            fs.put_page_many(inodes, indexes, pages)

    def use(fs, ready):
        out = pages.copy()
        ready.set()
        with pytest.raises(PoolError):
            go_on(fs, out)
        ended.append(True)

    for _ in range(30):
        tm = opened()
        ready = threading.Event()
        thread = threading.Thread(target=use, args=(tm.cleancache("x", inclusive=True), ready))
        thread.start()
        ready.wait()
        tm.close()
        del tm
        thread.join()
    assert len(ended) == 30
