"""The benchmark of the promise: allocations of mixed sizes come and go while a load runs, and each is held to its end.

In virtual time a hundred thousand allocations take an hour instead of days; in real time the way back into Python is
measured as well.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import numpy as np

import tmemstore
from tmemstore.bench import machine, supply
from tmemstore.bench.deadline_arguments import EMULATED, REAL_DEVICE, Arguments
from tmemstore.bench.outcome import store_facts
from tmemstore.bench.pages import open_pages
from tmemstore.bench.scenarios import Progress, Real, Virtual

SCHEMA = "tmemstore.bench.deadline/1"

_SAMPLE_PAGES = 4096


def run(arguments: Arguments, progress: Progress | None = None) -> dict[str, Any]:
    """Run, and return the result document (schema ``tmemstore.bench.deadline/1``).

    Raises ContractError for a contract that cannot be kept here, PagesFileError, NotEnoughPages, SpillError or
    EnvironmentLacks with what to do; LoadError or VerifyError mean a defect of tmemstore.
    """
    say = progress or (lambda _text, _fraction: None)
    before, commit = machine.condition(), machine.commit()
    say("collecting pages", 0.0)
    with open_pages(arguments.pages, _SAMPLE_PAGES, _SAMPLE_PAGES, seed=arguments.seed) as source:
        source.need(_SAMPLE_PAGES // 2, _SAMPLE_PAGES)
        files, anon = np.ascontiguousarray(source.file_pages), np.ascontiguousarray(source.anon_pages)
    began_ns = time.perf_counter_ns()
    with ExitStack() as stack:
        tm = stack.enter_context(_open(arguments, stack))
        bench = (Virtual if arguments.virtual else Real)(tm, arguments, files, anon)
        outcome = bench.run(say)
        tm.verify()
        checked = bench.check_all()
        document = {
            "schema": SCHEMA,
            "machine": machine.describe() | before | {"spill": _device(arguments, tm)},
            "arguments": {name: value for name, value in asdict(arguments).items() if name != "near"},
            "pages": source.describe(),
            "pages_verified": checked,
            "load": bench.counts(),
            "outcome": outcome.to_document(),
            "store": store_facts(tm),
            "cost": asdict(tm.cost),
            "wall_ns": time.perf_counter_ns() - began_ns,
            "commit": commit,
            "remarks": machine.remarks(before),
        }
    say("done", 1.0)
    return document


def _device(arguments: Arguments, tm: tmemstore.Controller) -> dict[str, object]:
    emulated = arguments.storage.startswith(EMULATED)
    facts = machine.storage_facts(None if emulated else arguments.near)
    return facts | {"direct": tm.spill is not None and tm.spill.direct}


def _open(arguments: Arguments, stack: ExitStack) -> tmemstore.Controller:
    contract = tmemstore.Contract(
        arguments.contract_bytes, arguments.deadline_ns, kind=arguments.kind, confidence=arguments.confidence
    )
    emulated = arguments.storage.startswith(EMULATED)
    spill = None if emulated else stack.enter_context(supply.spill_file(None, arguments.near))[0]
    return tmemstore.open(
        arguments.region_bytes,
        spill,
        storage=None if arguments.storage == REAL_DEVICE else arguments.storage,
        contract=None if arguments.scenario == "unbound" else contract,
        escape=arguments.escape_bytes,
        codec=arguments.codec,
        writeback=arguments.writeback,
        virtual_time=arguments.virtual,
        admission_filter=False,  # the area is to be full
    )
