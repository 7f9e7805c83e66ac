"""Programs at work, other than Python, whose anonymous memory the bench reads while they are stopped.

A compiler (through ``cc``), perl and node, whichever are there.  Reading needs a kernel that lets a parent look into
its descendants; where it does not, the program is left out with a note.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from tmemstore.bench.anonymous_child import BLOCK, touched_blocks
from tmemstore.bench.arena import PAGE, Pages

_READY_SECONDS = 8.0
_PERL = (
    "my %seen; for my $f (@ARGV) { open(my $h, '<', $f) or next; "
    "while (my $l = <$h>) { for my $w (split /\\W+/, $l) { $seen{$w}{count}++; push @{$seen{$w}{at}}, $.; } } } "
    "$| = 1; print qq(ready\\n); <STDIN>;"
)
_NODE = (
    "const fs = require('fs'); const seen = new Map(); for (const f of process.argv.slice(1)) { let n = 0; "
    "for (const line of fs.readFileSync(f, 'latin1').split('\\n')) { n += 1; for (const w of line.split(/\\W+/)) { "
    "if (!seen.has(w)) seen.set(w, {count: 0, at: []}); const e = seen.get(w); e.count += 1; "
    "e.at.push({file: f, line: n}); } } } process.stdout.write('ready\\n'); process.stdin.resume();"
)
_HEADERS = "assert ctype errno fcntl inttypes limits locale math pthread regex signal stdio stdlib string time unistd"


class Foreign:
    """One program at work; ``name`` is what the user sees."""

    def __init__(self, name: str, command: list[str], source: bytes | None) -> None:
        self.name = name
        self._announces = source is None
        self._process = subprocess.Popen(  # noqa: S603 - an interpreter or compiler from the PATH, with our arguments
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            process_group=0,
        )
        if source is not None:
            with _pipe(self._process.stdin) as pipe, contextlib.suppress(BrokenPipeError):
                pipe.write(source)

    def snapshots(self, most: int) -> Iterator[Pages]:
        """Yield blocks (uint8[n, 4096]) of the program's memory, about ``most`` pages in all.

        Raises OSError where the kernel refuses the look.
        """
        left = most
        for _ in self._moments():
            for block in self._look():
                yield block
                left -= len(block)
                if left <= 0:
                    return

    def close(self) -> None:
        """Kill the program, and the helpers it started, and wait for it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()

    def _moments(self) -> Iterator[None]:
        """Pause when the program is worth a look: once it says it is ready, or several times while it runs."""
        end = time.monotonic() + _READY_SECONDS
        if self._announces:
            with _pipe(self._process.stdout) as pipe:
                os.set_blocking(pipe.fileno(), False)
                while time.monotonic() < end and self._process.poll() is None:
                    if pipe.read(1):
                        yield
                        return
                    time.sleep(0.01)
            return
        looked_at = 0
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError, IndexError):
                size = int(Path(f"/proc/{deepest(self._process.pid)}/statm").read_text("ascii").split()[1]) * PAGE
                if size > 2 * looked_at + (8 << 20):
                    looked_at = size
                    yield
            time.sleep(0.005)

    def _look(self) -> Iterator[Pages]:
        target = deepest(self._process.pid)
        memory = -1
        buffer = np.empty((BLOCK // PAGE, PAGE), dtype=np.uint8)
        view = buffer.reshape(-1).data
        os.kill(target, signal.SIGSTOP)
        try:
            _await_stop(target)
            memory = os.open(f"/proc/{target}/mem", os.O_RDONLY | os.O_CLOEXEC)
            for start, stop in touched_blocks(str(target)):
                try:
                    got = os.preadv(memory, [view[: stop - start]], start) // PAGE
                except OSError:
                    continue
                yield buffer[:got]
        finally:
            if memory >= 0:
                os.close(memory)
            with contextlib.suppress(ProcessLookupError):
                os.kill(target, signal.SIGCONT)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        message = "the process was started without this pipe"
        raise ValueError(message)
    return pipe


def environment() -> dict[str, str]:
    """Return the environment of the programs: ours, without libraries that are preloaded into us."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def deepest(pid: int) -> int:
    """Follow the first child of ``pid`` down: a compiler driver is not the compiler."""
    while True:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        except OSError:
            return pid
        if not children:
            return pid
        pid = int(children[0])


def _await_stop(pid: int) -> None:
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[0]
        if state in "tT":
            return
        time.sleep(0.001)


def _unit() -> bytes:
    """Return a C source that makes a compiler work on the headers that are there."""
    names = [f"{name}.h" for name in _HEADERS.split()] + ["immintrin.h", "arm_neon.h", "Python.h"]
    lines = [f"#if __has_include(<{name}>)\n#include <{name}>\n#endif" for name in names]
    return "\n".join(["#define _GNU_SOURCE 1", *lines, "int main(void) { return 0; }", ""]).encode()


def start(texts: list[str]) -> Iterator[Foreign]:
    """Start each program that is there; ``texts`` are text files for the interpreters to read.

    The compiler comes last and is to be looked at first: it does not wait.
    """
    for name, flag, script in (("perl", "-e", _PERL), ("node", "-e", _NODE)):
        interpreter = shutil.which(name)
        if interpreter:
            yield Foreign(name, [interpreter, flag, script, *texts], None)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler:
        include = f"-I{sysconfig.get_path('include')}"
        options = ["-S", "-O1", "-g", "-fkeep-inline-functions", "-w", include, "-x", "c", "-", "-o", os.devnull]
        yield Foreign(Path(compiler).name, [compiler, *options], _unit())
