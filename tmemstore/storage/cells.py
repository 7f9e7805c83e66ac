"""Measuring one cell of the grid: so many requests of one size, from threads that each have one under way."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import mmap
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tmemstore.errors import SpillError
from tmemstore.quantiles import nearest_rank
from tmemstore.storage.plan import CellPlan
from tmemstore.storage.profile import SMALL_BYTES
from tmemstore.storage.target import PROBE_BYTES, Target
from tmemstore.units import format_size

_DATA_BYTES: Final = 4 << 20
_PATIENCE_NS: Final = 30_000_000_000
"""A request that takes longer than this beyond the cell's time is an error, as in the store."""
_NAP_S: Final = 0.05
SEED: Final = 1

_Serve = Callable[[int, int], int]
"""Serves one request by descriptor and number; returns the ns it took."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as it was measured. `latencies_ns`: of its requests, ascending; `elapsed_ns`: of all of them."""

    plan: CellPlan
    latencies_ns: tuple[int, ...]
    elapsed_ns: int

    @property
    def moved_bytes(self) -> int:
        """The bytes that were read or written."""
        return len(self.latencies_ns) * self.plan.block_bytes

    @property
    def shares_ns(self) -> tuple[float, ...]:
        """What each request added to the time of all: of several under way at once each counts for its part.

        How many really were under way, on average, the sum of their latencies tells.
        """
        depth = min(float(self.plan.depth), max(1.0, sum(self.latencies_ns) / max(1, self.elapsed_ns)))
        return tuple(latency_ns / depth for latency_ns in self.latencies_ns)

    def to_document(self) -> dict[str, Any]:
        """The cell as it stands among the measurements; latencies are those of single requests."""
        per_s = 10**9 / max(1, self.elapsed_ns)
        return {
            "pattern": self.plan.pattern,
            "block_bytes": self.plan.block_bytes,
            "depth": self.plan.depth,
            "requests": len(self.latencies_ns),
            "bytes": self.moved_bytes,
            "elapsed_ns": self.elapsed_ns,
            "bytes_per_s": round(self.moved_bytes * per_s),
            "iops": round(len(self.latencies_ns) * per_s),
            "p50_ns": nearest_rank(self.latencies_ns, 0.5),
            "p99_ns": nearest_rank(self.latencies_ns, 0.99),
            "p999_ns": nearest_rank(self.latencies_ns, 0.999),
            "max_ns": self.latencies_ns[-1],
        }


class Bench:
    """Runs cells on a target; keeps the data that is written, which no device can compress, and counts it.

    `written_bytes`: all that was written, when the target was opened too. `filled_bytes`: the part of the target that
    holds data; requests of cells lie in it, since a device answers at once for what was never written.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._data = mmap.mmap(-1, _DATA_BYTES)
        self._data[:] = os.urandom(_DATA_BYTES)
        self._sync = threading.Lock()
        self.written_bytes = PROBE_BYTES
        self.filled_bytes = 0

    def fill(self, plan: CellPlan, budget_ns: int) -> None:
        """Writes the area once from its start, as far as the time goes. `SpillError` as for `run`."""
        self.filled_bytes = plan.requests * plan.block_bytes
        self.filled_bytes = self._measure(plan, budget_ns).moved_bytes

    def run(self, plan: CellPlan, budget_ns: int) -> Cell | None:
        """Measures a cell for at most so long, and a request of each thread beyond.

        None where there is no room for it: no request was planned, or the block is larger than what is filled.
        `SpillError` if a request fails, or does not end within 30 s.
        """
        if not plan.requests or plan.block_bytes > self.filled_bytes:
            return None
        if not self._target.direct and not plan.writes:
            os.posix_fadvise(self._target.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return self._measure(plan, budget_ns)

    def syncs(self, count: int, budget_ns: int) -> list[int]:
        """The times of up to so many fdatasyncs, each after one write of 4 KiB, ascending; ns."""
        if not count or not self.filled_bytes:
            return []
        start = self._target.start_bytes
        last = self.filled_bytes // SMALL_BYTES

        def write_and_sync(fd: int, number: int) -> int:
            self._write(fd, SMALL_BYTES, start + number * SMALL_BYTES % (last * SMALL_BYTES), number)
            begin = time.perf_counter_ns()
            os.fdatasync(fd)
            return time.perf_counter_ns() - begin

        with _buffered(self._target):
            return self._threads(CellPlan("write", SMALL_BYTES, 1, count), budget_ns, lambda: write_and_sync)

    def _measure(self, plan: CellPlan, budget_ns: int) -> Cell:
        offsets = self._offsets(plan)

        def timed(transfer: Callable[[int, int], None]) -> _Serve:
            def one(fd: int, number: int) -> int:
                begin = time.perf_counter_ns()
                transfer(fd, number)
                return time.perf_counter_ns() - begin

            return one

        def writer() -> _Serve:
            return timed(lambda fd, number: self._write(fd, plan.block_bytes, offsets(number), number, durable=True))

        def reader() -> _Serve:
            buffer = mmap.mmap(-1, plan.block_bytes)
            return timed(lambda fd, number: _read(fd, buffer, offsets(number)))

        begin = time.perf_counter_ns()
        latencies = self._threads(plan, budget_ns, writer if plan.writes else reader)
        return Cell(plan, tuple(latencies), time.perf_counter_ns() - begin)

    def _offsets(self, plan: CellPlan) -> Callable[[int], int]:
        blocks = self.filled_bytes // plan.block_bytes
        start, size = self._target.start_bytes, plan.block_bytes
        if not plan.random:
            return lambda number: start + number % blocks * size
        draw = random.Random(SEED)  # noqa: S311 - places on a disk, no secrets
        places = [start + draw.randrange(blocks) * size for _ in range(plan.requests)]
        return places.__getitem__

    def _threads(self, plan: CellPlan, budget_ns: int, prepare: Callable[[], _Serve]) -> list[int]:
        """Lets each thread serve requests, by number, until there are none left or the time is up."""
        numbers = itertools.count()
        end_ns = time.perf_counter_ns() + budget_ns
        stop = threading.Event()
        took: list[int] = []
        failed: list[OSError] = []

        def work(serve: _Serve, fd: int) -> None:
            try:
                while (number := next(numbers)) < plan.requests:
                    took.append(serve(fd, number))
                    if stop.is_set() or time.perf_counter_ns() >= end_ns:
                        return
            except OSError as error:
                failed.append(error)
                stop.set()
            finally:
                os.close(fd)

        # Each has a descriptor of its own: one that is left behind can never write to what took over its number.
        arguments = [(prepare(), os.dup(self._target.fd)) for _ in range(plan.depth)]
        self._wait([threading.Thread(target=work, args=those, daemon=True) for those in arguments], end_ns, stop)
        if plan.writes:
            self.written_bytes += len(took) * plan.block_bytes
        if failed:
            reason = failed[0].strerror or failed[0]
            raise SpillError(f"{self._target.path}: {plan} failed: {reason}; look after the device, or choose another")
        return sorted(took)

    def _wait(self, threads: list[threading.Thread], end_ns: int, stop: threading.Event) -> None:
        """Runs the threads to their ends. One that hangs in the kernel is left there: it is a daemon."""
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_NAP_S)
                    if time.perf_counter_ns() > end_ns + _PATIENCE_NS:
                        raise SpillError(f"{self._target.path} does not answer; look after the device")
        finally:
            stop.set()

    def _write(self, fd: int, size: int, offset: int, number: int, *, durable: bool = False) -> None:
        # Each request takes another part of the data.
        at = number * SMALL_BYTES % (_DATA_BYTES - size + SMALL_BYTES)
        with memoryview(self._data)[at : at + size] as data:
            moved = os.pwrite(fd, data, offset)
        if moved != size:
            raise OSError(errno.ENOSPC, f"only {format_size(moved)} of {format_size(size)} were written")
        if durable and not self._target.direct:
            with self._sync:
                os.fdatasync(fd)


def _read(fd: int, buffer: mmap.mmap, offset: int) -> None:
    moved = os.preadv(fd, [buffer], offset)
    if moved != len(buffer):
        raise OSError(errno.EIO, f"only {format_size(moved)} of {format_size(len(buffer))} were read")


@contextlib.contextmanager
def _buffered(target: Target) -> Iterator[None]:
    """Without O_DIRECT for a while: an fdatasync then has the page to write as well, as where the store needs it."""
    flags = fcntl.fcntl(target.fd, fcntl.F_GETFL)
    fcntl.fcntl(target.fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
    try:
        yield
    finally:
        fcntl.fcntl(target.fd, fcntl.F_SETFL, flags)
