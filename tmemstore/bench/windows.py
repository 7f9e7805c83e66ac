"""Which window of a region is the dearest: the one a promise must be made for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tmemstore import CostModel
from tmemstore.bench.fill import CHUNK_FRAMES


def dearest_start(chunks: NDArray[np.void], cost: CostModel, frames: int, region_frames: int) -> int:
    """Return the first frame of the dearest chunk-aligned window of ``frames`` frames that lies in the region.

    ``chunks``: what ``tm.chunks()`` returns, one row a chunk.  The price of a window is that of its chunks by the
    cost model; windows with an allocated frame are passed over.  The first of several equally dear ones is taken.
    Raises ValueError if no window fits or each has an allocated frame.
    """
    count = -(-frames // CHUNK_FRAMES)
    starts = np.arange(0, region_frames - frames + 1, CHUNK_FRAMES) // CHUNK_FRAMES
    column = {name: chunks[name].astype(np.float64) for name in chunks.dtype.names or ()}
    price = (
        column["frames_clean"] * cost.clean_ns
        + (column["objects_copied"] + column["objects_uncopied"]) * cost.drop_ns
        + column["objects_uncopied"] * cost.object_ns
        + column["bytes_uncopied"] * cost.byte_ps / 1000
    )
    totals = np.array([_sums(price, count), _sums(column["frames_allocated"], count)])[:, starts]
    usable = np.flatnonzero(totals[1] == 0)
    if len(usable) == 0:
        raise ValueError(f"no window of {frames} frames without an allocated frame")
    best = usable[np.argmax(totals[0][usable])]
    return int(starts[best]) * CHUNK_FRAMES


def _sums(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Sums over ``count`` neighbours, one for each start; past the end nothing is added."""
    total = np.concatenate(([0.0], np.cumsum(values)))
    ends = np.minimum(np.arange(len(values)) + count, len(values))
    sums: NDArray[np.float64] = total[ends] - total[:-1]
    return sums
