"""`tmemstore.open`: from keyword arguments to a controller."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, Literal

from tmemstore.controller.config import configurable
from tmemstore.controller.contract import Contract, as_contracts
from tmemstore.controller.controller import Controller
from tmemstore.controller.cost import CostModel
from tmemstore.controller.model import Model
from tmemstore.controller.policy import BATCH_BYTES, WRITEBACKS, Percent, Ruler
from tmemstore.region import Region
from tmemstore.storage import choose
from tmemstore.storage.emulated import EmulatedDevice
from tmemstore.storage.profile import CpuProfile, Lane, StorageProfile
from tmemstore.stores import background
from tmemstore.stores.background import WriteServed
from tmemstore.stores.tmem import TmemStore
from tmemstore.units import PAGE_SIZE, format_size, parse_size, parse_time_ns

_SAMPLE_WRITE_BYTES: Final = 16 << 20
_SAMPLE_WRITE_BUDGET_NS: Final = 60_000_000
_MEASURE: Final = "measure"
_REFAULT_NS: Final = 60_000
"""A 4 KiB O_DIRECT read of a virtual NVMe disk, as seen on a 2-core EPYC: 53 us."""
_REFAULT_MAX_NS: Final = 10**12
_PACK_NS: Final = 5_000
"""Of a raw page by lz4, as seen on a 2-core EPYC."""

Storage = StorageProfile | EmulatedDevice | CostModel | str | os.PathLike[str] | None


@configurable
def open(  # noqa: A001 - tmemstore.open, as gzip.open
    region: int | str | Region | None = None,
    spill: str | os.PathLike[str] | None = None,
    *,
    config: str | os.PathLike[str] | None = None,  # noqa: ARG001 - `configurable` has read it
    storage: Storage = None,
    contract: Contract | Sequence[Contract] | None = None,
    escape: int | str = 0,
    codec: str = "lz4",
    eviction: str = "sieve",
    writeback: Literal["back", "behind", "through"] = "behind",
    frontswap_max_percent: Percent = "auto",
    hugetlb: bool = False,
    mlock: bool = False,
    spill_overwrite: bool = False,
    spill_direct: bool = True,
    spill_limit: int | str | None = None,
    spill_write_limit: int | str | None = None,
    io_timeout: int | str = "30s",
    virtual_time: bool = False,
    admission_filter: bool = True,
    refault: int | str | None = None,
) -> Controller:
    """Reserves a region of that size and opens a store in it.

    `config`: a TOML file of these arguments, such as `tmemstore tune` writes (see `config.read`); what the call gives
    overrides what the file says. `region` may be left out where the file has one.

    `region`: "256MiB" or bytes, a page multiple; or a `Region`, which is then closed with the store. `spill`: file or
    block device that frontswap pages can be paged out to; it must be empty, new, or an earlier spill file. `storage`:
    what is known of the device. None measures for less than 100 ms, "measure" fully (some seconds; see `tmemstore
    calibrate`); a preset ("emmc5.1"), a `StorageProfile` or the path of one (or of fio's JSON output) is taken as
    given; "emulate:PRESET,..." or an `EmulatedDevice` puts a model in the device's place, its data in `spill` or,
    without one, in RAM; a `CostModel` gives all coefficients. All are refined while running.

    `contract`: one `Contract` or several. `escape`: RAM outside the region that reclaim may fill, a page multiple.
    `codec`: how frontswap pages are kept, "lz4", "zstd" or "none". `writeback`: "back" writes only when asked to
    reclaim, "behind" gives cold pages a spill copy in the background, "through" writes every store.
    `frontswap_max_percent`: the knob (see `Controller`). `spill_write_limit`: bytes a day after which the cleaner
    stops and contracts count on no writes. `virtual_time`: time passes only in the model, and in
    `Controller.advance`. `hugetlb`, `mlock`: as for `Region`; the rest as for `TmemStore`.

    `admission_filter`: clean pages are let in where they are worth their copy (see `Controller`). `refault`: what
    reading a clean page from its file takes, ns or "100us" (default: a random read of the storage that was given, else
    60 us).

    Raises `ValueError`/`TypeError` for wrong arguments (`ContractError`, `ProfileError`, `ConfigError` among them),
    `SpillError` for a spill path that cannot be used, `EnvironmentLacks` for missing memory or a missing codec library.
    """
    if region is None:
        raise ValueError('a store needs a region: name its size, for example "256MiB", or config=FILE that has one')
    contracts = as_contracts(contract)
    refault_ns = None if refault is None else parse_time_ns(refault)
    if refault_ns is not None and not 0 <= refault_ns < _REFAULT_MAX_NS:
        raise ValueError(f"refault is a time from 0 to 1000 s, not {refault}")
    if writeback not in WRITEBACKS:
        raise ValueError(f"unknown writeback {writeback!r}; choose one of {', '.join(WRITEBACKS)}")
    write_limit = None if spill_write_limit is None else _positive(spill_write_limit)
    given = _given(storage, spill, overwrite=spill_overwrite)
    with contextlib.ExitStack() as undo:
        area = _area(region, escape=escape, hugetlb=hugetlb, mlock=mlock)
        undo.callback(area.close)
        store = TmemStore(
            area,
            spill=spill,
            codec=codec,
            eviction=eviction,
            spill_overwrite=spill_overwrite,
            spill_direct=spill_direct,
            spill_limit=spill_limit,
            io_timeout=io_timeout,
            device=given if isinstance(given, EmulatedDevice) else None,
            virtual_time=virtual_time,
            write_through=writeback == "through",
        )
        undo.callback(store.close)
        model = _model(store, given)
        refault_ns = _refault_ns(given) if refault_ns is None else refault_ns
        ruler = Ruler(store, model, writeback=writeback, write_limit_bytes=write_limit, read_ns=refault_ns)
        ruler.set_contracts(contracts)
        ruler.set_percent(frontswap_max_percent)
        undo.pop_all()
    return Controller(
        area,
        store,
        model,
        ruler,
        refault_ns=refault_ns,
        admission_filter=admission_filter,
        notes=_notes(area, store, contracts, writeback),
    )


def _area(region: int | str | Region, **how: Any) -> Region:
    if not isinstance(region, Region):
        return Region(region, **how)
    given = [name for name, value in how.items() if value]
    if given:
        raise ValueError(f"{given[0]} goes to Region(...), where one is given")
    return region


def _refault_ns(given: StorageProfile | EmulatedDevice | CostModel | None) -> int:
    """Of a clean page, if its file lies on storage like the one that was named."""
    profile = given.profile if isinstance(given, EmulatedDevice) else given
    if not isinstance(profile, StorageProfile):
        return _REFAULT_NS
    lane = profile.random_read
    return lane.request_ns + PAGE_SIZE * lane.byte_ps // 1000


def _positive(limit: int | str) -> int:
    limit_bytes = parse_size(limit)
    if limit_bytes <= 0:
        raise ValueError(f"spill_write_limit must be positive, not {limit}; leave it out for no limit")
    return limit_bytes


def _given(
    storage: Storage, spill: str | os.PathLike[str] | None, *, overwrite: bool
) -> StorageProfile | EmulatedDevice | CostModel | None:
    if storage is None or isinstance(storage, CostModel):
        return storage
    if storage == _MEASURE:
        if spill is None:
            raise ValueError('storage="measure" needs a spill file to measure')
        from tmemstore.storage.calibrate import calibrate

        return calibrate(os.fspath(spill), overwrite=overwrite)
    given = choose.storage(storage)
    if isinstance(given, StorageProfile) and given.device is not None and spill is not None:
        given.check_device(os.fspath(spill))
    return given


# ---- the model ---------------------------------------------------------------------------------------------


def _model(store: TmemStore, given: StorageProfile | EmulatedDevice | CostModel | None) -> Model:
    if isinstance(given, CostModel):
        return Model(given, None, batch_bytes=BATCH_BYTES, virtual=store.virtual_time)
    if isinstance(given, StorageProfile):
        cost = _cost(store, given.cpu, given.source)
        return Model(cost, given.write, batch_bytes=BATCH_BYTES, virtual=store.virtual_time)
    cost = _cost(store, given.profile.cpu if given is not None else None, "measured")
    if store.spill is None:
        return Model(cost, None, batch_bytes=BATCH_BYTES, virtual=store.virtual_time)
    return _measured(store, cost)


def _cost(store: TmemStore, cpu: CpuProfile | None, source: str) -> CostModel:
    """Of a profile's CPU, or this one. In virtual time the CPU is a model, so that a seed repeats on any machine.

    What the denser codec gains depends on the pages: nothing, until the cleaner has tried some.
    """
    if cpu is None and store.virtual_time:
        return CostModel(compress_ns=_PACK_NS) if store.codec == "none" else CostModel()
    known = cpu
    if known is None:
        from tmemstore.storage.cpu import measure_cpu

        known = measure_cpu(quick=True)
    names = {field.name for field in fields(CostModel)} & {field.name for field in fields(CpuProfile)}
    values: dict[str, Any] = {name: getattr(known, name) for name in names}
    values["compress_permille"] = 1000
    if store.codec == "none":
        values["compress_ns"] = known.pack_ns  # the compress route takes raw pages then
    return CostModel(**values, source=source)


def _measured(store: TmemStore, cost: CostModel) -> Model:
    """A model of the device from a short measurement; each write of it is a sample."""
    written, elapsed_ns, batches = background.measure_writes(store, _SAMPLE_WRITE_BYTES, _SAMPLE_WRITE_BUDGET_NS)
    if store.virtual_time:  # what is still at the device costs nobody anything
        while store.stats().spill_writes_pending:
            background.advance_to_event(store, _SAMPLE_WRITE_BUDGET_NS)
    samples = background.writes_served(store, 0) if batches else []
    lane = _lane(samples)
    if lane is None and written:  # without a complete batch this is the least that a byte can take
        lane = Lane(0, max(1, elapsed_ns * 1000 // written))
    model = Model(cost, lane, batch_bytes=BATCH_BYTES, virtual=store.virtual_time)
    model.learn_writes(samples)
    return model


def _lane(samples: Sequence[WriteServed]) -> Lane | None:
    """A request's share and a byte's, from writes of two sizes: the measurement begins with a small one."""
    sizes = sorted({each.payload_bytes for each in samples})
    if len(sizes) < 2:  # noqa: PLR2004
        return None
    times = [sorted(s.service_ns for s in samples if s.payload_bytes == wanted) for wanted in (sizes[0], sizes[-1])]
    small_ns, large_ns = (each[len(each) // 2] for each in times)
    byte_ps = max(1, (large_ns - small_ns) * 1000 // (sizes[-1] - sizes[0]))
    return Lane(max(0, small_ns - sizes[0] * byte_ps // 1000), byte_ps)


def _notes(region: Region, store: TmemStore, contracts: Sequence[Contract], writeback: str) -> tuple[str, ...]:
    notes = list(region.notes)
    if store.spill is not None and store.spill.note:
        notes.append(store.spill.note)
    if any(contract.kind == "hard" for contract in contracts) and (writeback == "back" or store.spill is None):
        notes.append(
            f"with a hard contract and no background copies the escape reserve, {format_size(region.escape_bytes)}, "
            'caps all frontswap data; writeback="behind" lets a small reserve carry more'
        )
    return tuple(notes)
