"""A reserved contiguous memory area, lent to cleancache and frontswap pages only.

    import tmemstore

    with tmemstore.open(region="256MiB", spill="spill.img") as tm:
        swap = tm.frontswap(0)
        swap.store(0, page)
        with tm.alloc_contig("64MiB", deadline="500ms") as contig:
            contig.view[:5] = b"hello"

See `tmemstore.open`, and README.md for a whole session.
"""

from tmemstore.codecs import codec_advice, codec_origins
from tmemstore.controller.contract import Contract, ContractError, ContractState
from tmemstore.controller.controller import Controller
from tmemstore.controller.cost import CostModel
from tmemstore.controller.opening import open  # noqa: A004 - tmemstore.open, as gzip.open
from tmemstore.controller.planner import Estimate
from tmemstore.controller.policy import Ratio
from tmemstore.errors import (
    AllocationAborted,
    AllocationRefused,
    ConfigError,
    EnvironmentLacks,
    PoolError,
    ProfileError,
    SpillError,
    TmemError,
    TraceError,
    VerifyError,
)
from tmemstore.region import ContigRange, Region
from tmemstore.stats import (
    Effort,
    Ending,
    FaultSite,
    FrameCounts,
    Place,
    ReclaimReport,
    SpillInfo,
    Stats,
    Window,
)
from tmemstore.storage.emulated import EmulatedDevice, Episode
from tmemstore.storage.profile import StorageProfile
from tmemstore.stores.buffers import PageBuffer
from tmemstore.stores.cleancache import Cleancache
from tmemstore.stores.frontswap import Frontswap
from tmemstore.stores.tmem import TmemStore

__all__ = [
    "AllocationAborted",
    "AllocationRefused",
    "Cleancache",
    "ConfigError",
    "ContigRange",
    "Contract",
    "ContractError",
    "ContractState",
    "Controller",
    "CostModel",
    "Effort",
    "EmulatedDevice",
    "Ending",
    "EnvironmentLacks",
    "Episode",
    "Estimate",
    "FaultSite",
    "FrameCounts",
    "Frontswap",
    "PageBuffer",
    "Place",
    "PoolError",
    "ProfileError",
    "Ratio",
    "ReclaimReport",
    "Region",
    "SpillError",
    "SpillInfo",
    "Stats",
    "StorageProfile",
    "TmemError",
    "TmemStore",
    "TraceError",
    "VerifyError",
    "Window",
    "codec_advice",
    "codec_origins",
    "open",
]
