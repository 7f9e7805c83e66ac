"""What a reclaim costs this machine's CPU: drops, moves, zeroing, compressing again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from tmemstore.quantiles import nearest_rank
from tmemstore.region import Region
from tmemstore.stats import Effort, ReclaimReport
from tmemstore.storage.profile import CpuProfile
from tmemstore.storage.sample import permille_of, thinned
from tmemstore.stores.contig import Request, allocate
from tmemstore.stores.tmem import TmemStore
from tmemstore.units import PAGE_SIZE

_FRAMES: Final = 1024
_MIGRATED: Final = _FRAMES // 2
_CHECKSUM_NS: Final = 350
"""The checksum of a page that is gathered into a write, as seen on a 2-core EPYC: an estimate, not measured here."""
_SMALL_BYTES: Final = PAGE_SIZE // 8
"""The smaller piece that is copied, to tell the time of a copy from that of its bytes."""
_CACHES: Final = Path("/sys/devices/system/cpu/cpu0/cache")
_UNKNOWN_CACHE_BYTES: Final = 16 << 20
_NO_CODEC_NS: Final = 20_000
_HEAP: Final = 0x7F12_0000_0000
SEED: Final = 1

Times = list[int]


@dataclass(frozen=True, slots=True)
class _Effort:
    """How much is measured.

    `passes`, `drops`: allocations of each kind. `copies`: rounds of so many `pieces` from a buffer of at most
    `buffer_bytes`. `pages`: to compress.
    """

    passes: int
    drops: int
    copies: int
    pieces: int
    buffer_bytes: int
    pages: int


_QUICK: Final = _Effort(passes=7, drops=5, copies=7, pieces=256, buffer_bytes=16 << 20, pages=48)
_FULL: Final = _Effort(passes=150, drops=40, copies=150, pieces=1024, buffer_bytes=128 << 20, pages=384)


def measure_cpu(*, quick: bool = False) -> CpuProfile:
    """The CPU's figures, measured in about a second; `quick` in less than 60 ms, with a sample of a few values.

    Raises `EnvironmentLacks` or `MemoryError` where there is no memory for the buffers (up to 140 MiB, quick 24 MiB).
    """
    effort = _QUICK if quick else _FULL
    single, empty, vacated, dropped, zeroed, migrated = _measure_region(effort)
    small, whole = _measure_copies(effort)
    codecs = _measure_codecs(effort)
    t0_ns, empty_ns = _median(single), _median(empty)
    copied_ns = _median(whole)
    move_ps = max(0, round((copied_ns - _median(small)) * 1000 / (PAGE_SIZE - _SMALL_BYTES)))
    moved_ns = max(_median(migrated) // _MIGRATED, copied_ns)
    return CpuProfile(
        t0_ns=max(1, t0_ns),
        frame_ns=max(1, (empty_ns - t0_ns) // _FRAMES),
        clean_ns=max(1, (_median(vacated) - empty_ns) // _FRAMES),
        drop_ns=max(1, _median(dropped) // _FRAMES),
        move_ns=max(0, moved_ns - PAGE_SIZE * move_ps // 1000),
        move_ps=move_ps,
        pack_ns=codecs.pack_ns,
        pack_permille=codecs.pack_permille,
        compress_ns=codecs.compress_ns,
        compress_permille=codecs.compress_permille,
        object_ns=copied_ns + _CHECKSUM_NS,
        zero_ns=max(1, _median(zeroed) // _FRAMES),
        spread_permille=thinned(
            permille for times in (empty, dropped, zeroed, migrated) for permille in permille_of(times, _median(times))
        ),
    )


def _median(times: Sequence[int]) -> int:
    return nearest_rank(sorted(times), 0.5)


def _measure_region(effort: _Effort) -> tuple[Times, Times, Times, Times, Times, Times]:
    """Allocations on a scratch region, in ns.

    Of one free frame, of a free region, of clean pages; dropping frontswap pages, zeroing, migrating them alone.
    """
    scratch = Region(_FRAMES * PAGE_SIZE)
    store = TmemStore(scratch, codec="none")
    try:
        vacated = []
        for _ in range(effort.drops):
            _fill(store)
            vacated.append(_allocation(store, _FRAMES).elapsed_ns)
        dropped = [_drops_ns(store) for _ in range(effort.drops)]
        passes = range(effort.passes)
        single = [_allocation(store, 1).elapsed_ns for _ in passes]
        empty = [_allocation(store, _FRAMES).elapsed_ns for _ in passes]
        zeroed = [_allocation(store, _FRAMES, zero=True).zero_ns for _ in passes]
        migrated = [_migration_ns(store) for _ in range(effort.drops)]
    finally:
        store.close()
        scratch.close()
    return single, empty, vacated, dropped, zeroed, migrated


def _fill(store: TmemStore, pages: int = _FRAMES, *, persistent: bool = False) -> int:
    pool = store.new_pool(persistent=persistent)
    page = bytearray(PAGE_SIZE)
    page[-1] = 1  # not same-filled
    for number in range(pages):
        store.put(pool, number, 0, page)
    return pool


def _drops_ns(store: TmemStore) -> int:
    """Forgetting frontswap pages, which costs about what giving up the frames of copied ones does."""
    pool = _fill(store, persistent=True)
    began_ns = time.perf_counter_ns()
    store.destroy_pool(pool)
    return time.perf_counter_ns() - began_ns


def _migration_ns(store: TmemStore) -> int:
    """Frontswap pages fill the lower half of the free region, and leave it for the upper one, as a window left that."""
    _fill(store)
    _allocation(store, _FRAMES)
    pool = _fill(store, _MIGRATED, persistent=True)
    request = Request(frames=_MIGRATED, costs=_NoCost(), effort=Effort.MIGRATE, start_pfn=0)
    with allocate(store, request) as contig:
        taken_ns = contig.report.write_ns
    store.destroy_pool(pool)
    return taken_ns


class _NoCost:
    """A model that predicts nothing: these allocations are there to learn the figures."""

    def fill(self, request: Any) -> None:
        """Leaves all coefficients zero."""


def _allocation(store: TmemStore, frames: int, *, zero: bool = False) -> ReclaimReport:
    """One allocation at effort DROP, given back at once."""
    request = Request(frames=frames, costs=_NoCost(), effort=Effort.DROP, zero=zero)
    with allocate(store, request) as contig:
        return contig.report


def _measure_copies(effort: _Effort) -> tuple[Times, Times]:
    """Copies from random places of a buffer larger than the cache: ns for each small and each 4 KiB piece.

    What Python adds to a copy, which copies of nothing show, is taken off.
    """
    source = memoryview(bytearray(min(effort.buffer_bytes, 2 * _cache_bytes())))
    source[:: PAGE_SIZE // 2] = b"\1" * -(-len(source) // (PAGE_SIZE // 2))  # all of it is there, not a page of zeroes
    target = memoryview(bytearray(effort.pieces * PAGE_SIZE))
    target[::PAGE_SIZE] = bytes(effort.pieces)
    draw = random.Random(SEED)  # noqa: S311 - places in memory, no secrets

    def each_ns(size: int) -> int:
        starts = range(0, len(target), PAGE_SIZE)
        froms = [draw.randrange(len(source) // PAGE_SIZE) * PAGE_SIZE for _ in starts]
        pairs = [(target[to : to + size], source[at : at + size]) for to, at in zip(starts, froms, strict=True)]
        begin = time.perf_counter_ns()
        for into, piece in pairs:
            into[:] = piece
        return (time.perf_counter_ns() - begin) // len(pairs)

    rounds = [(each_ns(0), each_ns(_SMALL_BYTES), each_ns(PAGE_SIZE)) for _ in range(effort.copies)]
    overhead_ns = _median([nothing for nothing, _, _ in rounds])
    return (
        [max(1, small - overhead_ns) for _, small, _ in rounds],
        [max(1, whole - overhead_ns) for _, _, whole in rounds],
    )


def _cache_bytes() -> int:
    """The largest cache as the kernel lists it: "32768K"; a guess where it lists none."""
    sizes = []
    for file in _CACHES.glob("index*/size"):
        text = file.read_text(encoding="ascii").strip()
        if text.endswith("K") and text[:-1].isdecimal():
            sizes.append(int(text[:-1]) << 10)
    return max(sizes, default=_UNKNOWN_CACHE_BYTES)


class _Codecs(NamedTuple):
    """Compressing a raw page with lz4, and what is kept as lz4 again with zstd: ns a page, permille that stay."""

    pack_ns: int
    pack_permille: int
    compress_ns: int
    compress_permille: int


def _measure_codecs(effort: _Effort) -> _Codecs:
    """Where the Python packages of the codecs are not there, compressing is taken to save nothing."""
    try:
        import lz4.block
        import zstandard
    except ImportError:
        return _Codecs(_NO_CODEC_NS, 1000, _NO_CODEC_NS, 1000)
    kept, pack_times = [], []
    for page in _pages(effort.pages):
        begin = time.perf_counter_ns()
        kept.append(lz4.block.compress(page, store_size=False))
        pack_times.append(time.perf_counter_ns() - begin)
    dense = zstandard.ZstdCompressor(level=1)
    sizes: list[tuple[int, int]] = []
    times = []
    for page in kept:
        begin = time.perf_counter_ns()
        again = dense.compress(lz4.block.decompress(page, uncompressed_size=PAGE_SIZE))
        times.append(time.perf_counter_ns() - begin)
        sizes.append((len(page), len(again)))
    before, after = (sum(column) for column in zip(*sizes, strict=True))
    return _Codecs(
        pack_ns=max(1, _median(pack_times)),
        pack_permille=-(-before * 1000 // (PAGE_SIZE * len(kept))),
        compress_ns=max(1, _median(times)),
        compress_permille=-(-after * 1000 // before),
    )


def _pages(count: int) -> Iterator[bytes]:
    """Pages that compress to about half, as memory does: words of a text, addresses, noise, zeroes."""
    draw = random.Random(SEED)  # noqa: S311 - the same pages each time, no secrets
    words = [bytes(draw.choices(range(ord("a"), ord("z") + 1), k=7)) for _ in range(256)]
    ranks = [1 / rank for rank in range(1, len(words) + 1)]
    part = PAGE_SIZE // 4
    for _ in range(count):
        text = b" ".join(draw.choices(words, ranks, k=part // 8))
        addresses = b"".join((_HEAP + draw.randrange(1 << 24)).to_bytes(8, "little") for _ in range(part // 8))
        yield (text + addresses + draw.randbytes(part)).ljust(PAGE_SIZE, b"\0")
