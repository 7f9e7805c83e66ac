"""Many replays of one trace: jobs as JSON, on any executor, their rows kept as they come, so that none is run twice."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

from tmemstore.controller.contract import Contract, ContractError
from tmemstore.errors import EnvironmentLacks, ProfileError, TraceError
from tmemstore.storage.emulated import PREFIX
from tmemstore.storage.presets import PRESETS
from tmemstore.trace.format import open_trace
from tmemstore.trace.outcome import replay
from tmemstore.trace.schedule import Allocate
from tmemstore.trace.settings import Settings
from tmemstore.tuning.executors import interrupts_held

STATE_SCHEMA: Final = "tmemstore.sweep/1"
TUNED: Final = ("frontswap_percent", "writeback", "codec", "eviction", "admission_filter")
"""The fields of `Settings` that a row is told apart by."""

Row = dict[str, Any]
"""What became of one job; the same for the same trace, settings and program, wherever it ran."""
Show = Callable[[str, float], None]
"""Called with what is being done and the fraction of it that is behind."""


@dataclass(frozen=True, slots=True)
class Source:
    """A trace file as every worker must find it. `digest`: SHA-256 of its bytes, in hex."""

    path: str
    size_bytes: int
    digest: str

    @classmethod
    def of(cls, path: Path | str) -> Self:
        """Looks at the file. Raises `TraceError` for one that is no trace."""
        with open_trace(path):
            pass
        try:
            with Path(path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return cls(str(Path(path).resolve()), file.tell(), digest)
        except OSError as error:
            raise TraceError(f"{path} cannot be read ({error.strerror or error})") from error


# ---- one job ---------------------------------------------------------------------------------------------


def job_text(source: Source, settings: Settings) -> str:
    """A job as it travels: one JSON object. Raises `ProfileError` for a storage profile that is broken."""
    values = settings.arguments() | {"spill": settings.spill}
    if _is_file(settings.storage):
        values["storage"] = str(Path(settings.storage).resolve())
    if settings.contract is not None:
        values["contract"]["zero"] = settings.contract.zero
    job = {
        "trace": source.path,
        "size_bytes": source.size_bytes,
        "version": _version(),
        "profile": _digest(settings.profile().to_document()),
        "settings": values,
    }
    return json.dumps(job, sort_keys=True)


def _is_file(storage: str) -> bool:
    return storage not in PRESETS and not storage.startswith(PREFIX)


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def run_job(text: str) -> str:
    """Runs a job of `job_text` and gives its row, as JSON.

    Raises `TraceError` where the trace is not the one that was meant, `ProfileError` where the storage profile is not,
    `EnvironmentLacks` on a worker with another version of tmemstore.
    """
    job = json.loads(text)
    if job["version"] != _version():
        raise EnvironmentLacks(
            f"a worker has tmemstore {_version()}, and the sweep needs {job['version']}; install the same version there"
        )
    settings = settings_of(job["settings"])
    if _digest(settings.profile().to_document()) != job["profile"]:
        raise ProfileError(f"{settings.storage} is another profile where a worker runs; all need the same one there")
    row: Row = {name: getattr(settings, name) for name in TUNED}
    with open_trace(job["trace"]) as trace:
        if Path(job["trace"]).stat().st_size != job["size_bytes"]:
            raise TraceError(f"{job['trace']} is another file where a worker runs; all need the same one at that path")
        try:
            row |= {"impossible": None} | _figures(replay(trace.blocks, settings, origin=trace.header.origin))
        except ContractError as error:
            row["impossible"] = str(error)
    return json.dumps(row)


def settings_of(values: Mapping[str, Any]) -> Settings:
    """`Settings` from what `job_text` made of them."""
    contract, allocate = values["contract"], values["allocate"]
    told = dict(values)
    if contract is not None:
        told["contract"] = Contract(
            contract["size_bytes"],
            contract["deadline_ns"],
            kind=contract["kind"],
            confidence=contract["confidence"],
            zero=contract["zero"],
        )
    told["allocate"] = None if allocate is None else Allocate(**allocate)
    return Settings(**told)


def _figures(document: Mapping[str, Any]) -> Row:
    """Of a replay what a row needs: times in ns, sizes in bytes, shares in [0, 1]."""
    allocations = document["allocations"]
    clean, swap, spill = document["cleancache"], document["frontswap"], document["spill"]
    return {
        "percent_in_force": document["percent_in_force"],
        "operations": document["operations"],
        "trace_ns": document["trace_ns"],
        "allocations": {name: allocations[name] for name in ("count", "met", "refused", "aborted", "late", "reasons")},
        "elapsed": allocations["elapsed"],
        "predicted": allocations["predicted"],
        "bound": allocations["bound"],
        "cleancache": {name: clean[name] for name in ("gets", "hits", "hit_ratio")},
        "frontswap": {
            name: swap[name] for name in ("stores", "refused", "loads", "hits_region", "hits_spill", "hit_ratio")
        },
        "saved_ns": document["device"]["saved_ns"],
        "bytes_written": spill["bytes_written"],
        "bytes_written_a_day": spill["bytes_written_a_day"],
        "thrash": document["thrash"],
    }


def _version() -> str:
    return importlib.metadata.version("tmemstore")


# ---- what is behind --------------------------------------------------------------------------------------


class State:
    """Rows of a sweep that are done, in a file of JSON lines; a context manager.

    A line that was cut off, by a power failure or kill -9, is passed over: its job runs again. `program`: what a row
    depends on besides trace and settings, say a commit; rows of another one are not used.
    """

    def __init__(self, path: Path, program: str = "") -> None:
        self.path = path
        self._program = f"{_version()} {program}"
        self._rows: dict[str, Row] = {}
        self._file: TextIO | None = None
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
            self._read(line)

    def _read(self, line: str) -> None:
        try:
            entry = json.loads(line)
            if entry["schema"] == STATE_SCHEMA:
                self._rows[entry["key"]] = entry["row"]
        except (ValueError, TypeError, KeyError):
            return

    def _key(self, source: Source, job: str) -> str:
        values = json.loads(job) | {"trace": source.digest, "program": self._program}
        return _digest(values)

    def get(self, source: Source, job: str) -> Row | None:
        """The row of a job that is done, or None."""
        return self._rows.get(self._key(source, job))

    def add(self, source: Source, job: str, row: Row) -> None:
        """Keeps a row; it is in the file when this returns. Raises `EnvironmentLacks` where there is no room for it."""
        key = self._key(source, job)
        self._rows[key] = row
        try:
            if self._file is None:
                self._file = self.path.open("a", encoding="utf-8")
                self._file.write("\n" if self._file.tell() else "")  # whatever was cut off ends here
            self._file.write(json.dumps({"schema": STATE_SCHEMA, "key": key, "row": row}) + "\n")
            self._file.flush()
        except OSError as error:
            raise EnvironmentLacks(
                f"{self.path} cannot be written to ({error.strerror or error}); make room and start it again: rows "
                "that are in it are kept"
            ) from error

    def remove(self) -> None:
        """Deletes the file: the sweep is complete."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # `add` has said so
                self._file.close()


# ---- the sweep -------------------------------------------------------------------------------------------


def sweep(
    source: Source,
    settings: Sequence[Settings],
    pool: Executor,
    *,
    state: State | None = None,
    show: Show | None = None,
) -> list[Row]:
    """Runs the trace with each of the settings and gives the rows in their order, whatever order they end in.

    Rows that `state` has are taken from there, the others put there as they end. What a job raises is raised here; the
    jobs that have not begun are left to the pool, and one of `executor` drops them as its context is left.
    """
    jobs = [job_text(source, each) for each in settings]
    rows: list[Row | None] = [state.get(source, job) if state is not None else None for job in jobs]
    with interrupts_held():
        futures = {pool.submit(run_job, jobs[at]): at for at, row in enumerate(rows) if row is None}
    try:
        for done, future in enumerate(as_completed(futures), len(jobs) - len(futures) + 1):
            at = futures[future]
            row = json.loads(future.result())
            rows[at] = row
            if state is not None:
                state.add(source, jobs[at], row)
            if show is not None:
                show(f"{done} of {len(jobs)} settings", done / len(jobs))
    except BrokenExecutor as error:
        raise EnvironmentLacks(
            "a worker of the sweep ended, perhaps for want of memory; run fewer at a time (rows that are done are kept)"
        ) from error
    return [row for row in rows if row is not None]
