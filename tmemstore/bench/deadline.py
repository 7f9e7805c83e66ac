"""The benchmark of the promise: allocations of mixed sizes come and go while a load runs, and each is held to its end.

In virtual time one thread drives load, allocations and clock in turn, and a hundred thousand allocations take an hour
instead of days; in real time the load has threads of its own, and the way back into Python is measured as well.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

import tmemstore
from tmemstore.bench import machine, supply
from tmemstore.bench.arena import PAGE
from tmemstore.bench.load import BATCH, Load
from tmemstore.bench.outcome import Outcome
from tmemstore.bench.pages import LIVE, open_pages

SCHEMA = "tmemstore.bench.deadline/1"
SCENARIOS = ("steady", "slower", "stalls", "pairs", "capacity", "unbound")
PAIR_GAPS_MS = (0, 10, 100)

_CHUNK = 2 << 20
_KEYS_PER_FRAME = 3
_SAMPLE_PAGES = 4096
_SLOWER = 10
_STALL_NS = 120_000_000
_FIXED_SHARE = 0.5
"""Of the allocations that name their window; the others take the cheapest."""
_GAP_FACTOR = 1.5
"""Between two allocations passes this times what the device needs to drain what the first moved."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What to run, fully resolved.  Sizes in bytes, times in ns.  Raises ValueError, naming the argument."""

    scenario: str = "steady"
    allocations: int = 1000
    region_bytes: int = 256 << 20
    contract_bytes: int = 64 << 20
    deadline_ns: int = 50_000_000
    kind: str = "hard"
    confidence: float = 0.999
    escape_bytes: int = 16 << 20
    codec: str = "lz4"
    writeback: str = "behind"
    storage: str = "emulate:emmc5.1"
    virtual: bool = True
    threads: int = 4
    seed: int = 1
    pages: str = LIVE
    gap_ms: int | None = None

    def __post_init__(self) -> None:
        if self.scenario not in SCENARIOS:
            raise ValueError(f"--scenario {self.scenario!r} is none of {', '.join(SCENARIOS)}")
        if self.allocations < 1:
            raise ValueError(f"--allocations is {self.allocations}; it must be at least 1")
        if self.virtual and not self.storage.startswith("emulate:"):
            raise ValueError("in virtual time the device must be emulated: --storage emulate:PRESET, or --real")
        if not 1 <= self.threads <= 64:  # noqa: PLR2004
            raise ValueError(f"--threads is {self.threads}; it must be from 1 to 64")


def run(arguments: Arguments, progress: Progress | None = None) -> dict[str, Any]:
    """Run, and return the result document (schema ``tmemstore.bench.deadline/1``)."""
    say = progress or (lambda _text, _fraction: None)
    with open_pages(arguments.pages, _SAMPLE_PAGES, _SAMPLE_PAGES, seed=arguments.seed) as source:
        source.need(_SAMPLE_PAGES // 2, _SAMPLE_PAGES)
        files, anon = np.ascontiguousarray(source.file_pages), np.ascontiguousarray(source.anon_pages)
    began_ns = time.perf_counter_ns()
    with ExitStack() as stack:
        tm = stack.enter_context(_open(arguments, stack))
        bench = (_Virtual if arguments.virtual else _Real)(tm, arguments, files, anon)
        outcome = bench.run(say)
        tm.verify()
        checked = bench.check_all()
        document = {
            "schema": SCHEMA,
            "machine": machine.describe(),
            "arguments": asdict(arguments),
            "pages": source.describe(),
            "pages_verified": checked,
            "load": bench.counts(),
            "outcome": outcome.to_document(),
            "store": _store_facts(tm),
            "wall_ns": time.perf_counter_ns() - began_ns,
        }
    say("done", 1.0)
    return document


def _open(arguments: Arguments, stack: ExitStack) -> tmemstore.Controller:
    contract = tmemstore.Contract(
        arguments.contract_bytes, arguments.deadline_ns, kind=arguments.kind, confidence=arguments.confidence
    )
    emulated = arguments.storage.startswith("emulate:")
    spill = None if emulated else stack.enter_context(supply.spill_file(None, "."))[0]
    return tmemstore.open(
        arguments.region_bytes,
        spill,
        storage=None if arguments.storage == "real" else arguments.storage,
        contract=None if arguments.scenario == "unbound" else contract,
        escape=arguments.escape_bytes,
        codec=arguments.codec,
        writeback=arguments.writeback,
        virtual_time=arguments.virtual,
    )


def _store_facts(tm: tmemstore.Controller) -> dict[str, Any]:
    stats = tm.stats()
    return {
        "frames_in_use_percent": round(100 * (1 - stats.frames_free / stats.frames), 2),
        "frontswap_percent": round(100 * stats.frames_frontswap / stats.frames, 2),
        "uncopied_bytes": stats.uncopied_bytes,
        "written_by_cause": stats.written_by_cause,
        "stores_refused": stats.swap_rejects,
        "allocs_run": stats.allocs_run,
        "within_p50": stats.allocs_within_p50,
        "within_p99": stats.allocs_within_p99,
        "within_bound": stats.allocs_within_bound,
        "ratio": str(tm.ratio),
        "contracts": [
            {"contract": str(state.contract), "state": state.state, "recovery_ns": state.recovery_ns}
            for state in stats.contracts
        ],
    }


class _Bench:
    """What both kinds of time share: which allocation comes next, and how its ending is taken down."""

    def __init__(self, tm: tmemstore.Controller, arguments: Arguments, files: Any, anon: Any) -> None:
        self.tm = tm
        self.arguments = arguments
        self.random = np.random.default_rng(arguments.seed)
        self.outcome = Outcome(arguments.confidence)
        self.refused_ns: int | None = None
        keys = tm.region.frames * _KEYS_PER_FRAME // self.loads
        self.load = [
            Load(tm, files, anon, keys=keys, first=i * keys, inode=i << 32, seed=arguments.seed + i)
            for i in range(self.loads)
        ]

    loads = 1

    def counts(self) -> dict[str, int]:
        """Sums over the loads."""
        total: Counter[str] = Counter()
        for load in self.load:
            total.update({name: value for name, value in asdict(load.counts).items() if isinstance(value, int)})
        return dict(total)

    def check_all(self) -> int:
        """Compare every page that is held with what went in."""
        return sum(load.check_all() for load in self.load)

    def fill(self, load: Load) -> None:
        """Bring the store to its ceilings, and fill what is free with clean pages."""
        while load.store(8 * BATCH) == 8 * BATCH:
            pass
        load.put(self.tm.frame_counts().free)

    def sizes(self) -> Iterator[int]:
        """Powers of two of a chunk up to the contract, each half as often as the one before."""
        sizes = [_CHUNK << i for i in range(32) if _CHUNK << i <= self.arguments.contract_bytes]
        weights = np.array([1 / size for size in sizes])
        while True:
            yield int(self.random.choice(sizes, p=weights / weights.sum()))

    def start_pfn(self, size: int) -> int | None:
        """A random chunk-aligned window, or None for the cheapest."""
        if self.random.random() >= _FIXED_SHARE:
            return None
        last = (self.arguments.region_bytes - size) // _CHUNK
        return int(self.random.integers(0, last + 1)) * (_CHUNK // PAGE)

    def allocate(self, size: int, start_pfn: int | None) -> tmemstore.ReclaimReport:
        """One allocation, released at once; its report, and in real time what the way back took."""
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
        if self.arguments.gap_ms is not None:
            return self.arguments.gap_ms * 1_000_000
        moved = report.window.bytes_uncopied if report.migrated_reserve else 0
        return int(self.random.exponential(2_000_000)) + int(_GAP_FACTOR * self.tm.cost.device_ns(moved))


class _Virtual(_Bench):
    """One thread drives everything; time passes in ``advance`` and in the core."""

    def run(self, say: Progress) -> Outcome:
        """Run the scenario."""
        total = self.arguments.allocations
        self.fill(self.load[0])
        self.tm.advance("200ms")
        self.fill(self.load[0])
        if self.arguments.scenario == "capacity":
            return self._capacity(say)
        if self.arguments.scenario == "pairs":
            return self._pairs(say)
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
            self.tm.disturb_device(slow=_SLOWER, duration=2**62)
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

    def _pairs(self, say: Progress) -> Outcome:
        """Two allocations of the contract's size, a moment apart; a refused one is tried again until it is met."""
        size = self.arguments.contract_bytes
        for number in range(self.arguments.allocations):
            if number % 32 == 0:
                say(f"pair {number} of {self.arguments.allocations}", number / self.arguments.allocations)
            # Each pair begins with a window at its ceiling.
            self.allocate(size, self._window(number))
            self.tm.advance((self.arguments.gap_ms or 0) * 1_000_000)
            second = self._window(number + 2)
            report = self.allocate(size, second)
            if report.reason == "recovering" and report.recovery_ns:
                self.outcome.recoveries.append((report.recovery_ns, self._recover(size, second, report.recovery_ns)))
            self._work(400_000_000)
        return self.outcome

    def _window(self, number: int) -> int:
        windows = self.arguments.region_bytes // self.arguments.contract_bytes
        return number % windows * (self.arguments.contract_bytes // PAGE)

    def _recover(self, size: int, start_pfn: int, said_ns: int) -> int:
        """How long it really takes until the same allocation would be begun."""
        began_ns = self.tm.now_ns
        while self.tm.now_ns - began_ns < 10 * said_ns:
            estimate = self.tm.estimate(
                size,
                deadline=self.arguments.deadline_ns,
                start_pfn=start_pfn,
                confidence=self.arguments.confidence,
            )
            if estimate.feasible:
                break
            self.tm.advance(max(100_000, said_ns // 100))
        return self.tm.now_ns - began_ns

    def _capacity(self, say: Progress) -> Outcome:
        """Stores at half the device's write rate, after compression, and clean pages; nothing may be refused."""
        load = self.load[0]
        rate = 10**12 / self.tm.cost.byte_ps / 2
        for number in range(self.arguments.allocations):
            say(f"second {number} of {self.arguments.allocations}", number / self.arguments.allocations)
            before = load.counts.refused
            for _ in range(100):
                stats = self.tm.stats()
                each = max(256, stats.bytes_kept // max(1, stats.pages_swap - stats.pages_spilled - stats.pages_fill))
                load.store(int(rate * 0.01 / each))
                load.put(256)
                self.tm.advance("10ms")
            facts = _store_facts(self.tm)
            self.outcome.capacity.append(
                {name: facts[name] for name in ("frames_in_use_percent", "frontswap_percent", "contracts")}
                | {"refused": load.counts.refused - before}
            )
        return self.outcome


class _Real(_Bench):
    """The load runs on threads of its own; this thread allocates."""

    def __init__(self, tm: tmemstore.Controller, arguments: Arguments, files: Any, anon: Any) -> None:
        self.loads = arguments.threads
        super().__init__(tm, arguments, files, anon)
        self._stop = threading.Event()

    def run(self, say: Progress) -> Outcome:
        """Run the scenario."""
        for load in self.load:
            self.fill(load)
        total = self.arguments.allocations
        with self._threads():
            sizes = self.sizes()
            for number in range(total):
                if number % 16 == 0:
                    say(f"allocation {number} of {total}", number / total)
                if self.arguments.scenario == "slower" and number == total // 2:
                    self.tm.disturb_device(slow=_SLOWER, duration=2**62)
                if self.arguments.scenario == "stalls":
                    self.tm.disturb_device(duration=_STALL_NS, after=(0, 0, 1_000_000)[number % 3])
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
                load.put(BATCH)
                load.get(16)
                load.load(16)
                load.invalidate(4)
                if refused:
                    time.sleep(0.002)
        except BaseException as error:  # noqa: BLE001 - raised again where it can be seen
            failed.append(error)


def scenario(name: str, **changes: Any) -> Arguments:
    """Arguments of a named row of the soak."""
    return replace(Arguments(), scenario=name, **changes)
