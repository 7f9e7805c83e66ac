"""Bad input: a typed exception, a sentence that says what to do, and nothing lost.  Pages, keys, sizes, names."""

import numpy as np
import pytest

import tmemstore
from support import PAGE, UUID, get, keys, load, noise, put_pages, refuses, stack, store_pages, text, whole
from tmemstore import Effort

WRONG = (TypeError, ValueError)


class Full:
    """A store in use; afterwards everything must still be there."""

    def __init__(self, tm):
        self.tm, self.swap = tm, tm.frontswap(0)
        self.fs = tm.cleancache("rootfs", inclusive=True)
        store_pages(self.swap, {offset: noise(offset) for offset in range(20)})
        put_pages(self.fs, 1, {index: text(index) for index in range(20)})
        self.counts = tm.frame_counts()

    def check(self):
        assert self.tm.frame_counts() == self.counts
        assert [load(self.swap, offset) for offset in range(20)] == [noise(offset) for offset in range(20)]
        assert [get(self.fs, 1, index) for index in range(20)] == [text(index) for index in range(20)]
        self.tm.verify()


@pytest.fixture
def full(opened):
    store = Full(opened(spill=True))
    yield store
    store.check()


# ---- pages ---------------------------------------------------------------------------------------------

BAD_PAGES = {
    "empty": b"",
    "short": bytes(PAGE - 1),
    "long": bytes(PAGE + 1),
    "two pages": bytes(2 * PAGE),
    "short array": np.zeros(511, np.uint64),
    "every other byte": np.zeros(2 * PAGE, np.uint8)[::2],
    "a column": np.zeros((PAGE, 2), np.uint8)[:, 0],
    "reversed": np.zeros(PAGE, np.uint8)[::-1],
}


@pytest.mark.parametrize("page", BAD_PAGES.values(), ids=BAD_PAGES)
def test_a_page_of_the_wrong_length_or_layout_is_a_value_error(full, page):
    """And the key keeps what it held: a wrong argument is no refused put."""
    hints = [] if memoryview(page).nbytes == PAGE else ["4096"]
    with refuses(ValueError, *hints):
        full.swap.store(1, page)
    with refuses(ValueError, *hints):
        full.fs.put_page(1, 1, page)
    with refuses(ValueError, *hints):
        full.tm.store.put(full.tm.store.new_pool(persistent=True), 1, 1, page)


@pytest.mark.parametrize(
    "out",
    [bytearray(PAGE - 1), bytearray(PAGE + 1), np.zeros(2 * PAGE, np.uint8)[::2]],
    ids=["short", "long", "every other byte"],
)
def test_an_out_buffer_of_the_wrong_length_or_layout_is_a_value_error(full, out):
    before = bytes(memoryview(out).tobytes())
    with refuses(ValueError):
        full.swap.load(1, out)
    with refuses(ValueError):
        full.fs.get_page(1, 1, out)
    assert memoryview(out).tobytes() == before


@pytest.mark.parametrize(
    "page", [None, "x" * PAGE, 4096, [0] * PAGE, 1.5, object()], ids=lambda page: type(page).__name__
)
def test_what_is_no_buffer_is_a_type_error(full, page):
    with refuses(TypeError):
        full.swap.store(1, page)
    with refuses(TypeError):
        full.fs.put_page(1, 1, page)
    with refuses(TypeError):
        full.swap.load(1, page)
    with refuses(TypeError):
        full.fs.get_page(1, 1, page)


def test_a_read_only_out_buffer_is_a_type_error(full):
    frozen = np.zeros(PAGE, np.uint8)
    frozen.flags.writeable = False
    for out in (bytes(PAGE), memoryview(bytes(PAGE)), frozen):
        with refuses(TypeError, "writ"):
            full.swap.load(1, out)
        with refuses(TypeError, "writ"):
            full.fs.get_page(1, 1, out)
    assert not any(frozen)


# ---- keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 2**64, 2**100, -(2**63)])
def test_an_inode_or_offset_out_of_range_is_a_value_error(full, number):
    out = bytearray(PAGE)
    for verb in (
        lambda: full.swap.store(number, noise(1)),
        lambda: full.swap.load(number, out),
        lambda: full.swap.invalidate_page(number),
        lambda: full.fs.put_page(number, 1, noise(1)),
        lambda: full.fs.get_page(number, 1, out),
        lambda: full.fs.invalidate_page(number, 1),
        lambda: full.fs.invalidate_inode(number),
    ):
        with refuses(ValueError):
            verb()


@pytest.mark.parametrize("index", [-1, 2**32, 2**64, -(2**31)])
def test_an_index_out_of_range_is_a_value_error(full, index):
    for verb in (
        lambda: full.fs.put_page(1, index, noise(1)),
        lambda: full.fs.get_page(1, index, bytearray(PAGE)),
        lambda: full.fs.invalidate_page(1, index),
    ):
        with refuses(ValueError):
            verb()


@pytest.mark.parametrize("key", [True, 1.0, "1", None, b"1", [1]], ids=str)
def test_a_key_that_is_no_integer_is_refused(full, key):
    for verb in (
        lambda: full.swap.store(key, noise(1)),
        lambda: full.swap.load(key, bytearray(PAGE)),
        lambda: full.swap.invalidate_page(key),
        lambda: full.fs.put_page(key, 1, noise(1)),
        lambda: full.fs.put_page(1, key, noise(1)),
        lambda: full.fs.get_page(1, key, bytearray(PAGE)),
        lambda: full.fs.invalidate_inode(key),
    ):
        with refuses(WRONG):
            verb()


@pytest.mark.parametrize("swap_type", [-1, 1.5, "0", None], ids=str)
def test_a_wrong_swap_type_is_refused(full, swap_type):
    with refuses(WRONG):
        full.tm.frontswap(swap_type)


@pytest.mark.parametrize("uuid", [b"", b"short", bytes(17), "0123456789abcdef", 7], ids=str)
def test_a_wrong_uuid_is_refused(full, uuid):
    for verb in (
        lambda: full.tm.cleancache("x", uuid=uuid),
        lambda: full.tm.store.new_pool(shared_uuid=uuid),
        lambda: full.tm.store.authorize_shared(uuid),
    ):
        with refuses(WRONG):
            verb()


def test_a_shared_persistent_pool_is_refused(full):
    with refuses(ValueError):
        full.tm.store.new_pool(persistent=True, shared_uuid=UUID)


@pytest.mark.parametrize("pool", [0, -1, 2**31, 2**40, 99])
def test_a_pool_that_never_was_is_a_pool_error_or_a_value_error(full, pool):
    with refuses((tmemstore.PoolError, ValueError)):
        full.tm.store.put(pool, 1, 1, noise(1))


# ---- batches -------------------------------------------------------------------------------------------

GOOD = keys(range(3)), stack(noise(number) for number in range(3))
BAD_BATCHES = {
    "fewer keys": (keys(range(2)), GOOD[1]),
    "more keys": (keys(range(4)), GOOD[1]),
    "signed keys": (np.array([-1, 0, 1], np.int64), GOOD[1]),
    "float keys": (np.zeros(3, np.float64), GOOD[1]),
    "keys in two dimensions": (keys(range(3)).reshape(3, 1), GOOD[1]),
    "pages in one dimension": (GOOD[0], GOOD[1].reshape(-1)),
    "pages of words": (GOOD[0], GOOD[1].view(np.uint64)),
    "short pages": (GOOD[0], GOOD[1][:, :-1]),
    "long pages": (GOOD[0], np.zeros((3, PAGE + 1), np.uint8)),
    "float pages": (GOOD[0], np.zeros((3, PAGE), np.float64)),
    "pages with gaps": (GOOD[0], np.zeros((6, PAGE), np.uint8)[::2]),
    "transposed pages": (GOOD[0], np.zeros((PAGE, 3), np.uint8).T),
    "no pages": (GOOD[0], None),
    "no keys": (None, GOOD[1]),
    "pages as text": (GOOD[0], "pages"),
}


@pytest.mark.parametrize(("numbers", "pages"), BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_a_batch_of_wrong_types_shapes_or_lengths_is_refused_whole(full, numbers, pages):
    one = keys([1] * 3)
    for verb in (
        lambda: full.swap.store_many(numbers, pages),
        lambda: full.swap.load_many(numbers, pages),
        lambda: full.fs.put_page_many(one, numbers, pages),
        lambda: full.fs.get_page_many(one, numbers, pages),
        lambda: full.fs.put_page_many(numbers, one, pages),
    ):
        with refuses(WRONG):
            verb()


def test_a_batch_into_a_read_only_array_is_refused(full):
    out = np.zeros((3, PAGE), np.uint8)
    out.flags.writeable = False
    with refuses(WRONG, "writ"):
        full.swap.load_many(keys(range(3)), out)
    assert not out.any()


def test_a_batch_with_one_index_out_of_range_is_refused_whole(full):
    with refuses(ValueError):
        full.fs.put_page_many(keys([1, 1, 1]), keys([0, 2**32, 1]), GOOD[1])
    with refuses(ValueError):
        full.fs.get_page_many(keys([1, 1, 1]), keys([0, 2**32, 1]), np.zeros((3, PAGE), np.uint8))


def test_batches_without_keys_are_fine(full):
    none = np.zeros(0, np.uint64)
    empty = np.zeros((0, PAGE), np.uint8)
    for answer in (
        full.swap.store_many(none, empty),
        full.swap.load_many(none, empty),
        full.fs.put_page_many(none, none, empty),
        full.fs.get_page_many(none, none, empty),
    ):
        assert (answer.shape, answer.dtype) == ((0,), np.bool_)


# ---- allocations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -PAGE, 1, PAGE + 1, "1000", (1 << 20) + PAGE, "2MiB", 2**64, 2**70, "0"], ids=str)
def test_an_allocation_size_that_cannot_be_is_a_value_error(full, size):
    for verb in (full.tm.alloc_contig, full.tm.propose):
        with refuses(ValueError):
            verb(size)


@pytest.mark.parametrize("size", ["64MB", "64KB", "64kb"])
def test_decimal_units_are_refused_with_a_hint(full, size):
    with refuses(ValueError, "iB"):
        full.tm.alloc_contig(size)
    with refuses(ValueError, "iB"):
        tmemstore.open(size)


@pytest.mark.parametrize("size", ["", "lots", "MiB", "1.5.5MiB", "64 Mib ytes", "0x1000", "-1MiB", "1MiB2"])
def test_a_size_that_cannot_be_read_is_a_value_error(full, size):
    with refuses(ValueError):
        full.tm.alloc_contig(size)


@pytest.mark.parametrize("size", [None, 4096.0, b"4096", [4096], True], ids=str)
def test_a_size_of_the_wrong_type_is_refused(full, size):
    with refuses(WRONG):
        full.tm.alloc_contig(size)
    with refuses(WRONG):
        tmemstore.open(size)


@pytest.mark.parametrize("deadline", [-1, "-5ms", "soon", "5 parsecs", "50", "", 1.5, b"5ms", "5"], ids=repr)
def test_a_deadline_that_cannot_be_read_is_refused(full, deadline):
    with refuses(WRONG):
        full.tm.alloc_contig(PAGE, deadline=deadline)


@pytest.mark.parametrize("align", [0, -4096, 1, 2048, 4095, 3 * PAGE, "12KiB", "4KB", None, 1.0], ids=str)
def test_an_alignment_that_is_no_power_of_two_pages_is_refused(full, align):
    with refuses(WRONG):
        full.tm.alloc_contig(PAGE, align=align)


@pytest.mark.parametrize("start", [-1, 256, 255, 2**32, 2**64, 1.0, "0"], ids=str)
def test_a_start_outside_of_the_region_is_refused(full, start):
    """255 is the last frame: two pages from there reach past the end."""
    with refuses(WRONG):
        full.tm.alloc_contig(2 * PAGE, start_pfn=start)


@pytest.mark.parametrize("effort", [-1, 5, 99, "page_out", None, 1.5], ids=str)
def test_an_unknown_effort_is_refused_and_the_known_ones_are_named(full, effort):
    with refuses(WRONG, "Effort.FREE", "Effort.PAGE_OUT"):
        full.tm.alloc_contig(PAGE, effort=effort)


# ---- open ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", [0, -1, 4096, "512KiB", (1 << 20) - PAGE, (1 << 20) + 1, "1000001", 2**64], ids=str)
def test_a_region_size_that_cannot_be_is_refused(region):
    with refuses((ValueError, tmemstore.EnvironmentLacks)):
        tmemstore.open(region)
    with refuses((ValueError, tmemstore.EnvironmentLacks)):
        tmemstore.Region(region)


@pytest.mark.parametrize("codec", ["lzo", "", "LZ4 ", None, 1], ids=repr)
def test_an_unknown_codec_is_refused_and_the_known_ones_are_named(codec):
    with refuses(WRONG, "lz4", "zstd", "none"):
        tmemstore.open("1MiB", codec=codec)


@pytest.mark.parametrize("eviction", ["random", "", None, 2], ids=repr)
def test_an_unknown_eviction_is_refused_and_the_known_ones_are_named(eviction):
    with refuses(WRONG, "fifo", "lru", "sieve"):
        tmemstore.open("1MiB", eviction=eviction)


@pytest.mark.parametrize(
    "options",
    [
        {"io_timeout": "0ms"},
        {"io_timeout": "-1s"},
        {"io_timeout": "never"},
        {"io_timeout": 2**63},
        {"io_timeout": "99999999999999999999s"},
        {"storage": "no such thing"},
        {"storage": 5},
        {"spill_limit": -1},
        {"spill_limit": "1KB"},
        {"spill_limit": 2**63},
        {"spill_limit": "99999999999999999999GiB"},
    ],
    ids=str,
)
def test_other_wrong_options_are_refused(tmp_path, options):
    with refuses(WRONG):
        tmemstore.open("1MiB", tmp_path / "spill.img", **options)


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError):
        tmemstore.open("1MiB", contracts=[])


def test_a_wrong_fault_site_is_refused(full):
    for site in (-1, 99, "WRITE", None):
        with refuses(WRONG):
            full.tm.store.arm_fault(site)


@pytest.mark.parametrize("name", ["skip", "count", "error", "delay_ns"])
def test_what_a_fault_cannot_be_armed_with_is_refused(full, name):
    for value in (-1, 2**64, 1.5, "1"):
        with refuses(WRONG, name):
            full.tm.store.arm_fault(tmemstore.FaultSite.READ, **{name: value})


def test_every_error_is_a_tmem_error():
    names = ("AllocationRefused", "AllocationAborted", "SpillError", "PoolError", "EnvironmentLacks", "VerifyError")
    assert all(issubclass(getattr(tmemstore, name), tmemstore.TmemError) for name in names)
    assert issubclass(tmemstore.TmemError, Exception)


def test_the_largest_allocation_is_the_region(full):
    assert full.tm.propose(whole(full.tm), effort=Effort.PAGE_OUT).frames == full.tm.region.frames
