"""Where a sweep runs: processes of this machine, threads, or a Dask cluster; workers that end when their owner does."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Final

from tmemstore.errors import EnvironmentLacks

PROCESSES: Final = "processes"
THREADS: Final = "threads"
_DASK: Final = re.compile(r"dask://(?P<host>[^/:\s]+|\[[0-9A-Fa-f:]+\]):(?P<port>[0-9]{1,5})")
_CONNECT_S: Final = 10


def check(where: str) -> None:
    """Raises `ValueError` unless it is "processes", "threads" or "dask://HOST:PORT"."""
    if where not in {PROCESSES, THREADS} and not _DASK.fullmatch(where):
        raise ValueError(f"{where!r} is no executor; name {PROCESSES}, {THREADS} or dask://HOST:PORT")


@contextlib.contextmanager
def executor(where: str, jobs: int | None = None) -> Iterator[Executor]:
    """An executor, ended with the context: after its work, or at once if an error or an interrupt leaves the context.

    At once: jobs that have not begun are dropped; those that run end first on threads and on a cluster.
    `where`: as for `check`. `jobs`: how many at a time, by default as many as cores may be used; a Dask cluster decides
    itself. Raises `ValueError`, and `EnvironmentLacks` for a cluster that cannot be reached.
    """
    check(where)
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is a whole number of at least 1, not {jobs}")
    jobs = jobs or len(os.sched_getaffinity(0))
    cluster = _DASK.fullmatch(where)
    if cluster:
        with _dask(f"tcp://{cluster['host']}:{cluster['port']}", where) as pool:
            yield pool
    elif where == THREADS:
        with _threads(jobs) as pool:
            yield pool
    else:
        with _processes(jobs) as pool:
            yield pool


@contextlib.contextmanager
def _threads(jobs: int) -> Iterator[Executor]:
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown(wait=True)


@contextlib.contextmanager
def _processes(jobs: int) -> Iterator[Executor]:
    """Spawned, not forked: a fork of a process with threads may hang, and takes their locks along.

    The workers watch a pipe whose other end only this process holds. They end when it closes: after an error or an
    interrupt, where a job would otherwise run to its end first, and when this process was killed. Nobody else may
    cancel what waits in the pool: it would come upon such a job as it breaks, and its thread die of that (Python 3.11).
    """
    context = multiprocessing.get_context("spawn")
    watched, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with, initargs=(watched,))
    try:
        yield pool
    except BaseException:
        with _deaf():
            held.close()
            pool.shutdown(wait=True, cancel_futures=True)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        held.close()
        watched.close()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C and SIGTERM are passed over: what they ask for is under way, and soon over.

    A mask would not do: they go to some thread that has none.
    """
    ours = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not None]
    before = {}
    with contextlib.suppress(ValueError):  # not the main thread, which is where they strike
        before = {each: signal.signal(each, signal.SIG_IGN) for each in ours}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _end_with(watched: Connection) -> None:
    threading.Thread(target=_watch, args=(watched,), daemon=True).start()


def _watch(watched: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        watched.recv_bytes()
    os._exit(1)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the context is left, and never comes to processes that are started in it.

    A terminal sends it to all of them, and each would print where it was.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _dask(address: str, where: str) -> Iterator[Executor]:
    try:
        import distributed
    except ImportError as error:
        raise EnvironmentLacks(
            f"{where} needs Dask's distributed; install it with: pip install 'tmemstore[dask]'"
        ) from error
    untyped: Any = distributed
    try:
        client = untyped.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EnvironmentLacks(f"{where}: no Dask scheduler answers there; start one with: dask scheduler") from error
    with client:
        # The same job may be asked for again, after an error: it is not to be taken from the cluster's memory.
        pool: Executor = client.get_executor(pure=False)
        yield pool
