"""Anonymous pages of processes that the bench starts: Python children that dump themselves, and other programs.

Owns every process it starts: ``close`` kills them all and waits, whatever happened before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

from tmemstore.bench import foreign
from tmemstore.bench.anonymous_child import BLOCK, sources
from tmemstore.bench.arena import PAGE, Arena, Pages

_CHILD = Path(__file__).with_name("anonymous_child.py")
_MOST_CHILDREN = 4
_SILENT_SECONDS = 60.0
_FOREIGN_SHARE = 8
"""At most one page in so many comes from each program other than Python."""
_TEXTS = 150
"""Source files the other programs read."""


class _Dumper:
    """A Python child and the part of a block that has arrived from it."""

    def __init__(self, shard: int, shards: int) -> None:
        # -P: this folder must not come before the standard library.
        self.process = subprocess.Popen(  # noqa: S603 - this interpreter, with a script of this package
            [sys.executable, "-P", str(_CHILD), str(shard), str(shards)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=foreign.environment() | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            process_group=0,
        )
        if self.process.stdout is None:
            message = "the process was started without a pipe"
            raise ValueError(message)
        self.pipe = self.process.stdout.fileno()
        fcntl.fcntl(self.pipe, getattr(fcntl, "F_SETPIPE_SZ", 1031), BLOCK)
        self._block: Pages = np.empty((BLOCK // PAGE, PAGE), dtype=np.uint8)
        self._view = self._block.reshape(-1).data
        self._filled = 0

    def receive(self) -> Pages | None:
        """Read once.  Returns the whole pages that are complete now (maybe none), or None at the end."""
        got = os.readv(self.pipe, [self._view[self._filled :]])
        if got == 0:
            return None
        self._filled += got
        if self._filled < BLOCK:
            return self._block[:0]
        self._filled = 0
        return self._block

    def close(self) -> None:
        self.process.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back: a process that was started must be noted before anything else happens.

    Blocking the signals would not do: another thread would take them.
    """
    arrived: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, _frame: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


class AnonymousPages:
    """Anonymous pages of live processes, as many as are asked for.

    ``expected`` is how many pages will be asked for in all: it limits what the other programs contribute.
    """

    def __init__(self, arena: Arena, expected: int) -> None:
        self.arena = arena
        self.origins: Counter[str] = Counter()
        self.notes: list[str] = []
        self._foreign: list[foreign.Foreign] = []
        self._dumpers: list[_Dumper] = []
        self._selector = selectors.DefaultSelector()
        self._expected = expected

    def __enter__(self) -> Self:
        try:
            with _undisturbed():
                self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        children = max(1, min(_MOST_CHILDREN, len(os.sched_getaffinity(0))))
        for shard in range(children):
            dumper = _Dumper(shard, children)
            self._dumpers.append(dumper)
            self._selector.register(dumper.pipe, selectors.EVENT_READ, dumper)
        texts = [str(path) for path in islice(sources(), _TEXTS)]
        for program in foreign.start(texts):
            self._foreign.append(program)

    def close(self) -> None:
        """Kill every process that is left."""
        self._selector.close()
        for program in self._foreign:
            program.close()
        for dumper in self._dumpers:
            dumper.close()
        self._foreign.clear()
        self._dumpers.clear()

    def collect(self, wanted: int, *, wait: bool) -> bool:
        """Add what has arrived, unless the arena holds ``wanted`` pages already; False: no more will come.

        The first call reads the other programs, before they are done.  ``wait`` sleeps until something arrives.
        """
        if self.arena.count >= wanted:
            return True
        self._read_foreign()
        if not self._selector.get_map():
            return False
        ready = self._selector.select(_SILENT_SECONDS if wait else 0)
        if wait and not ready:
            self.notes.append(f"the Python processes gave no page for {_SILENT_SECONDS:.0f} s and were left out")
            return False
        for key, _ in ready:
            block = key.data.receive()
            if block is None:
                self._selector.unregister(key.fileobj)
            else:
                self.origins["python"] += self.arena.add(block)
        return True

    def _read_foreign(self) -> None:
        while self._foreign:
            program = self._foreign.pop()
            gave = False
            try:
                for block in program.snapshots(self._expected // _FOREIGN_SHARE):
                    self.origins[program.name] += self.arena.add(block)
                    gave = True
                if not gave:
                    self.notes.append(f"{program.name} ended before its memory could be read")
            except OSError as error:
                self.notes.append(f"the memory of {program.name} could not be read: {error.strerror or error}")
            finally:
                program.close()
