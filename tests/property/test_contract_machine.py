"""Seeded random histories with contracts, the reserve, the cleaner and a device that misbehaves, against a shadow.

tm.verify() after every step.  TMEMSTORE_RUN_FACTOR makes them that much longer.
"""

import os
import random
from contextlib import suppress

import pytest

from support import FAMILIES, PAGE, get, noise, scribble, try_alloc
from tmemstore import Contract, ContractError, Effort, Ending, FaultSite, Place, SpillError

FACTOR = float(os.environ.get("TMEMSTORE_RUN_FACTOR", "1"))
STEPS = int(160 * FACTOR)
EIO = 5
CONTRACTS = [
    [],
    [Contract("4MiB", "20ms")],
    [Contract("2MiB", "5ms", "hard")],
    [Contract("4MiB", "20ms", "hard"), Contract("2MiB", "10ms", confidence=0.99)],
]


class History:
    """One store and its shadow: swap must come back, clean may."""

    def __init__(self, opened, codec, seed):
        self.rng = rng = random.Random(f"{codec} {seed}")
        self.settings = {
            "contract": rng.choice(CONTRACTS) or None,
            "writeback": rng.choice(["back", "behind", "behind", "through"]),
            "escape": rng.choice(["512KiB", "2MiB"]),
            "eviction": rng.choice(["fifo", "lru", "sieve"]),
            "codec": codec,
            "io_timeout": "2s",
        }
        region = rng.choice(["8MiB", "6MiB", 2600 * PAGE])
        noise_level = rng.choice(["", ",sigma=0.3", f",pause_every=2MiB,pause=5ms,seed={seed}"])
        self.tm = opened(region, storage=f"emulate:emmc5.1{noise_level}", virtual_time=True, **self.settings)
        self.area, self.fs = self.tm.frontswap(0), self.tm.cleancache("rootfs")
        self.swap, self.clean, self.ranges, self.unsure = {}, {}, [], {}
        self.dead_until, self.endings = 0, set()

    def page(self):
        seed = self.rng.randrange(3000)
        size = self.rng.choice([0, 0, 1366, 2080, 3000])
        return noise(seed)[:size] + bytes(PAGE - size) if size else FAMILIES[self.rng.choice(sorted(FAMILIES))](seed)

    def store(self):
        first, count = self.rng.randrange(2500), self.rng.randrange(1, 250)
        for offset in range(first, first + count):
            page = self.page()
            self.swap.pop(offset, None)
            self.unsure.pop(offset, None)
            try:
                if self.area.store(offset, page):
                    self.swap[offset] = page
                else:
                    assert int(self.area.where_many([offset])[0]) == 0, "refused, but there"
            except SpillError:
                self.unsure[offset] = page  # that page or none
                return

    def load(self):
        for offset in self.rng.sample(sorted(self.swap), min(40, len(self.swap))):
            self.expect(offset)
        for offset in self.rng.sample(range(2500), 10):
            if offset not in self.swap and offset not in self.unsure:
                assert not self.area.load(offset, bytearray(PAGE))

    def expect(self, offset):
        out = bytearray(PAGE)
        try:
            hit = self.area.load(offset, out)
        except SpillError:
            assert self.tm.now_ns <= self.dead_until + 3 * 10**9, "an error of a device that is well"
            assert int(self.area.where_many([offset])[0]) & Place.SPILL
            return
        assert hit, f"page {offset} is lost"
        assert bytes(out) == self.swap[offset], f"page {offset} is another"

    def invalidate(self):
        if self.rng.randrange(8) == 0:
            self.area.invalidate_area()
            self.swap.clear()
            self.unsure.clear()
        for offset in self.rng.sample(sorted(self.swap), len(self.swap) // 3):
            self.area.invalidate_page(offset)
            del self.swap[offset]

    def put(self):
        for index in self.rng.sample(range(1500), 200):
            page = self.page()
            self.clean.pop(index, None)
            if self.fs.put_page(1, index, page):
                self.clean[index] = page

    def get(self):
        for index in self.rng.sample(range(1500), 30):
            got = get(self.fs, 1, index)
            assert got is None or got == self.clean[index]
            self.clean.pop(index, None)

    def allocate(self):
        size = self.rng.choice(["64KiB", "1MiB", "2MiB", "4MiB", "2052KiB"])
        effort = self.rng.choice(list(Effort))
        deadline = self.rng.choice([None, "1us", "100us", "5ms", "20ms", "60ms"])
        contig, report = try_alloc(self.tm, size, effort=effort, deadline=deadline, zero=self.rng.random() < 0.2)
        self.endings.add(report.ending)
        self.holds_contracts(report, effort, deadline)
        if contig is None:
            assert report.ending in (Ending.REFUSED, Ending.ABORTED)
        else:
            assert report.commit_ns <= report.deadline_ns, "late"
            byte = self.rng.randrange(256)
            scribble(contig, byte)
            self.ranges.append((contig, byte))

    def holds_contracts(self, report, effort, deadline):
        taken = [int(row["frames_allocated"]) for row in self.tm.chunks()]
        for contract in self.tm.contracts:
            if contract.kind == "hard" and report.ending != Ending.MET and deadline and effort >= Effort.MIGRATE:
                urgent = report.deadline_ns < contract.deadline_ns
                windows = range(self.tm.region.frames // 512 - contract.chunks + 1)
                there = any(not any(taken[chunk : chunk + contract.chunks]) for chunk in windows)
                larger = report.window.frames > contract.frames if report.window.frames else True
                assert urgent or larger or not there, f"covered, hard: {report}"

    def release(self):
        if self.ranges:
            contig, byte = self.ranges.pop(self.rng.randrange(len(self.ranges)))
            assert bytes(contig.view) == bytes([byte]) * contig.size_bytes, "somebody wrote into a claimed range"
            contig.release()

    def advance(self):
        self.tm.advance(self.rng.choice(["10us", "1ms", "20ms", "500ms"]))

    def disturb(self):
        length, after = self.rng.choice([1, 10, 100, 3000]) * 10**6, self.rng.choice([0, 50_000, 10**6])
        self.dead_until = max(self.dead_until, self.tm.now_ns + after + 30 * length)
        self.tm.disturb_device(duration=length, slow=self.rng.choice([None, None, 3, 20]), after=after)

    def fail(self):
        site = self.rng.choice([FaultSite.WRITE, FaultSite.SHORT_WRITE])
        self.tm.store.arm_fault(site, skip=self.rng.randrange(3), count=self.rng.randrange(1, 4), error=EIO)

    def knob(self):
        with suppress(ContractError):
            self.tm.frontswap_max_percent = self.rng.choice(["auto", 10, 40, 100])

    def run(self):
        weights = {
            self.store: 10,
            self.load: 4,
            self.invalidate: 2,
            self.put: 3,
            self.get: 2,
            self.allocate: 8,
            self.release: 7,
            self.advance: 6,
            self.disturb: 1,
            self.fail: 1,
            self.knob: 1,
        }
        for _ in range(STEPS):
            step = self.rng.choices(list(weights), list(weights.values()))[0]
            step()
            self.tm.verify()
            stats = self.tm.stats()
            if any(contract.kind == "hard" for contract in self.tm.contracts):
                assert stats.uncopied_bytes <= stats.reserve_bytes
            assert stats.reserve_bytes_used <= stats.reserve_bytes

    def finish(self):
        for site in (FaultSite.WRITE, FaultSite.SHORT_WRITE):
            self.tm.store.arm_fault(site, count=0)
        while self.ranges:
            self.release()
        self.tm.advance("200s")
        self.dead_until = -(10**12)
        for offset in self.swap:
            self.expect(offset)
        for offset, page in self.unsure.items():
            out = bytearray(PAGE)
            assert not self.area.load(offset, out) or bytes(out) == page
        self.area.invalidate_area()
        self.fs.invalidate_fs()
        self.tm.advance("10s")
        stats = self.tm.stats()
        assert (stats.pages_swap, stats.objects, stats.reserve_bytes_used, stats.uncopied_bytes) == (0, 0, 0, 0)
        assert self.tm.frame_counts().free == self.tm.region.frames
        with self.tm.alloc_contig(self.tm.region.size_bytes, effort=Effort.FREE):
            self.tm.verify()


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("seed", range(6))
def test_a_random_history_agrees_with_its_shadow(opened, codec, seed):
    history = History(opened, codec, seed)
    history.run()
    history.finish()
    assert Ending.MET in history.endings
