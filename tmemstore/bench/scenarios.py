"""The scenarios of the deadline bench: a load, allocations of mixed sizes, and what happens to the device meanwhile.

In virtual time one thread drives load, allocations and clock in turn; in real time the load has threads of its own.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np

import tmemstore
from tmemstore.bench.arena import PAGE, Pages
from tmemstore.bench.deadline_arguments import CHUNK, Arguments
from tmemstore.bench.load import BATCH, Load
from tmemstore.bench.outcome import Outcome, ceilings_filled, store_facts

_KEYS_PER_FRAME = 3
_SLOWER = 10
_STALL_NS = 120_000_000
_EVER_NS = 2**62
_FIXED_SHARE = 0.5
"""Of the allocations that name their window; the others take the cheapest."""
_GAP_FACTOR = 1.5
"""Between two allocations passes this times what the device needs to drain what the first moved."""
_PATIENCE_NS = 1_000_000_000
"""How long, at least, a refused allocation is tried again."""
_REFILL = 16 * BATCH
"""Clean pages that a thread puts at most in a turn, where frames are free."""
_TICKS = 100
_TICK_NS = 10_000_000
"""A second of steady load, in parts."""
_LOOK_EVERY = 16
"""Allocations from one look at how full the ceilings are to the next."""
_AFTER_PAIR_NS = 400_000_000
"""A pair finds a store in which nothing is left of the one before."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the whole that is behind."""


class Bench(ABC):
    """What both kinds of time share: which allocation comes next, and how its ending is taken down."""

    loads = 1
    """How many there are, each driven by one thread."""

    def __init__(self, tm: tmemstore.Controller, arguments: Arguments, files: Pages, anon: Pages) -> None:
        self.tm = tm
        self.arguments = arguments
        self.random = np.random.default_rng(arguments.seed)
        self.outcome = Outcome(arguments.confidence)
        keys = tm.region.frames * _KEYS_PER_FRAME // self.loads
        self.load = [
            Load(tm, files, anon, keys=keys, first=i * keys, inode=i << 32, seed=arguments.seed + i)
            for i in range(self.loads)
        ]

    @abstractmethod
    def now_ns(self) -> int:
        """The time, in ns, that allocations and the device see."""

    @abstractmethod
    def pass_ns(self, duration_ns: int) -> None:
        """Let so much time pass."""

    @abstractmethod
    def after_pair(self) -> None:
        """Load goes on until nothing is left of a pair."""

    def counts(self) -> dict[str, int]:
        """Sums over the loads."""
        total: Counter[str] = Counter()
        for load in self.load:
            total.update(asdict(load.counts))
        return dict(total)

    def check_all(self) -> int:
        """Compare every page that is held with what went in."""
        return sum(load.check_all() for load in self.load)

    def fill(self, load: Load) -> None:
        """Bring the store to its ceilings, or the load once around its keys; fill what is free with clean pages."""
        for _ in range(0, load.keys, 8 * BATCH):
            if load.store(8 * BATCH) < 8 * BATCH:
                break
        load.put(self.tm.frame_counts().free)

    def sizes(self) -> Iterator[int]:
        """Powers of two of a chunk up to the contract, each half as often as the one before."""
        sizes = [CHUNK << i for i in range(32) if CHUNK << i <= self.arguments.contract_bytes]
        weights = np.array([1 / size for size in sizes])
        while True:
            yield int(self.random.choice(sizes, p=weights / weights.sum()))

    def start_pfn(self, size: int) -> int | None:
        """A random chunk-aligned window, or None for the cheapest."""
        if self.random.random() >= _FIXED_SHARE:
            return None
        last = (self.arguments.region_bytes - size) // CHUNK
        return int(self.random.integers(0, last + 1)) * (CHUNK // PAGE)

    def allocate(self, size: int, start_pfn: int | None) -> tmemstore.ReclaimReport:
        """One allocation, released at once; its report, and in real time what the way back took."""
        if sum(self.outcome.endings.values()) % _LOOK_EVERY == 0:
            self.outcome.ceilings_filled += ceilings_filled(self.tm)
        called_ns = time.perf_counter_ns()
        bound = self.arguments.scenario != "unbound"
        try:
            contig = self.tm.alloc_contig(
                size,
                deadline=self.arguments.deadline_ns if bound else None,
                start_pfn=start_pfn,
                confidence=self.arguments.confidence,
            )
            back_ns = time.perf_counter_ns()
            report = contig.report
            contig.release()
        except (tmemstore.AllocationRefused, tmemstore.AllocationAborted) as error:
            back_ns = time.perf_counter_ns()
            report = error.report
        self.outcome.take(report, None if self.arguments.virtual else back_ns - called_ns)
        return report

    def gap_ns(self, report: tmemstore.ReclaimReport) -> int:
        """How long until the next allocation: the device drains what this one moved, and some more."""
        if self.arguments.gap_ns is not None:
            return self.arguments.gap_ns
        moved = report.window.bytes_uncopied if report.migrated_reserve else 0
        return int(self.random.exponential(2_000_000)) + int(_GAP_FACTOR * self.tm.cost.device_ns(moved))

    def pairs(self, say: Progress) -> Outcome:
        """Two allocations of the contract's size, a moment apart; a refused one is tried again until it is met."""
        size = self.arguments.contract_bytes
        self.after_pair()  # the first one finds what the others find
        for number in range(self.arguments.allocations):
            if number % 32 == 0:
                say(f"pair {number} of {self.arguments.allocations}", number / self.arguments.allocations)
            # Each pair begins with a window at its ceiling.
            self.allocate(size, self._window(number))
            self.pass_ns(self.arguments.gap_ns or 0)
            second = self._window(number + 2)
            report = self.allocate(size, second)
            self.outcome.take_second(report)
            if report.reason == "recovering":
                said_ns = report.recovery_ns or 0
                self.outcome.recoveries.append((said_ns, self._recover(size, second, said_ns)))
            self.after_pair()
        return self.outcome

    def _window(self, number: int) -> int:
        windows = self.arguments.region_bytes // self.arguments.contract_bytes
        return number % windows * (self.arguments.contract_bytes // PAGE)

    def _recover(self, size: int, start_pfn: int, said_ns: int) -> int:
        """How long it really takes until the same allocation would be begun."""
        began_ns = self.now_ns()
        while self.now_ns() - began_ns < max(10 * said_ns, _PATIENCE_NS):
            estimate = self.tm.estimate(
                size,
                deadline=self.arguments.deadline_ns,
                start_pfn=start_pfn,
                confidence=self.arguments.confidence,
            )
            if estimate.feasible:
                break
            self.pass_ns(max(100_000, said_ns // 100))
        return self.now_ns() - began_ns

    def capacity(self, say: Progress) -> Outcome:
        """Stores at half the device's write rate, after compression, and clean pages; nothing may be refused."""
        rate = 10**12 / self.tm.cost.byte_ps / 2
        for number in range(self.arguments.allocations):
            say(f"second {number} of {self.arguments.allocations}", number / self.arguments.allocations)
            before = self.counts()["refused"]
            for tick in range(_TICKS):
                load = self.load[tick % self.loads]
                tick_ends_ns = self.now_ns() + _TICK_NS
                stats = self.tm.stats()
                each = max(256, stats.bytes_kept // max(1, stats.pages_swap - stats.pages_spilled - stats.pages_fill))
                load.store(int(rate * _TICK_NS / 1e9 / each))
                load.put(256)
                self.pass_ns(max(0, tick_ends_ns - self.now_ns()))
            facts = store_facts(self.tm)
            self.outcome.capacity.append(
                {name: facts[name] for name in ("frames_in_use_percent", "frontswap_percent", "contracts")}
                | {"refused": self.counts()["refused"] - before}
            )
        return self.outcome


class Virtual(Bench):
    """One thread drives everything; time passes in ``advance`` and in the core."""

    def now_ns(self) -> int:
        """The time of the model."""
        return self.tm.now_ns

    def pass_ns(self, duration_ns: int) -> None:
        """Advance it."""
        self.tm.advance(duration_ns)

    def after_pair(self) -> None:
        """Drive the load in between."""
        self._work(_AFTER_PAIR_NS)

    def run(self, say: Progress) -> Outcome:
        """Run the scenario."""
        total = self.arguments.allocations
        self.fill(self.load[0])
        self.tm.advance("200ms")
        self.fill(self.load[0])
        if self.arguments.scenario == "capacity":
            return self.capacity(say)
        if self.arguments.scenario == "pairs":
            return self.pairs(say)
        sizes = self.sizes()
        for number in range(total):
            if number % 128 == 0:
                say(f"allocation {number} of {total}", number / total)
            self._disturb(number)
            size = next(sizes)
            report = self.allocate(size, self.start_pfn(size))
            self._work(self.gap_ns(report))
        return self.outcome

    def _disturb(self, number: int) -> None:
        """Make the device bad, as the scenario says."""
        half = self.arguments.allocations // 2
        if self.arguments.scenario == "slower" and number == half:
            self.tm.disturb_device(slow=_SLOWER, duration=_EVER_NS)
        if self.arguments.scenario == "stalls":
            # By turns it begins well before, just before and in the middle of an allocation.
            after_ns = (0, 0, 200_000)[number % 3]
            self.tm.disturb_device(duration=_STALL_NS, after=after_ns)
            if number % 3 == 0:
                self.tm.advance(_STALL_NS // 4)

    def _work(self, gap_ns: int) -> None:
        """The load between two allocations, in a few bursts: pages are loaded, forgotten, stored, put."""
        load = self.load[0]
        for _ in range(4):
            load.load(8)
            load.get(8)
            load.invalidate(4)
            self.tm.advance(gap_ns // 4)
        self.fill(load)


class Real(Bench):
    """The load runs on threads of its own; this thread allocates."""

    def __init__(self, tm: tmemstore.Controller, arguments: Arguments, files: Pages, anon: Pages) -> None:
        self.loads = arguments.threads
        super().__init__(tm, arguments, files, anon)
        self._stop = threading.Event()

    def now_ns(self) -> int:
        """The time of the machine."""
        return time.monotonic_ns()

    def pass_ns(self, duration_ns: int) -> None:
        """Sleep."""
        time.sleep(duration_ns / 1e9)

    def after_pair(self) -> None:
        """Sleep; the load has threads of its own."""
        self.pass_ns(_AFTER_PAIR_NS)

    def run(self, say: Progress) -> Outcome:
        """Run the scenario."""
        for load in self.load:
            self.fill(load)
        if self.arguments.scenario == "capacity":
            return self.capacity(say)
        total = self.arguments.allocations
        with self._threads():
            if self.arguments.scenario == "pairs":
                return self.pairs(say)
            sizes = self.sizes()
            for number in range(total):
                if number % 16 == 0:
                    say(f"allocation {number} of {total}", number / total)
                if self.arguments.scenario == "slower" and number == total // 2:
                    self.tm.disturb_device(slow=_SLOWER, duration=_EVER_NS)
                if self.arguments.scenario == "stalls":
                    self.tm.disturb_device(duration=_STALL_NS, after=(0, 0, 1_000_000)[number % 3])
                    if number % 3 == 0:
                        self.pass_ns(_STALL_NS // 4)
                size = next(sizes)
                report = self.allocate(size, self.start_pfn(size))
                time.sleep(self.gap_ns(report) / 1e9)
        return self.outcome

    @contextmanager
    def _threads(self) -> Iterator[None]:
        failed: list[BaseException] = []
        threads = [threading.Thread(target=self._work, args=(load, failed)) for load in self.load]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if failed:
            raise failed[0]

    def _work(self, load: Load, failed: list[BaseException]) -> None:
        try:
            while not self._stop.is_set():
                refused = load.store(BATCH) < BATCH
                # What the allocations emptied is to be full again, as it is in virtual time.
                load.put(max(BATCH, min(_REFILL, self.tm.frame_counts().free // self.loads)))
                load.get(16)
                load.load(16)
                load.invalidate(4)
                if refused:
                    time.sleep(0.002)
        except BaseException as error:  # noqa: BLE001 - raised again where it can be seen
            failed.append(error)
