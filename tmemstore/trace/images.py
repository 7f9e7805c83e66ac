"""Page images for a replay in real memory: contents that compress to any size that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import lz4.block
import numpy as np
import numpy.typing as npt

from tmemstore.units import PAGE_SIZE

_IMAGES: Final = 256
_WORDS: Final = PAGE_SIZE // 8


@dataclass(frozen=True, slots=True)
class Images:
    """`pages`: uint8[n, 4096], the first one same-filled. `of_size`: uint32[4097], for each compressed size a page."""

    pages: npt.NDArray[np.uint8]
    of_size: npt.NDArray[Any]


def make(seed: int) -> Images:
    """Pages of which a part is random and the rest a repeated word, so that lz4's sizes go from a few bytes to all."""
    random = np.random.default_rng(seed)
    pages = np.zeros((_IMAGES + 1, PAGE_SIZE), np.uint8)
    words = pages.view("<u8")
    words[1:] = random.integers(1, 2**62, (_IMAGES, 1), dtype=np.uint64)
    for i, page in enumerate(words[1:], 1):
        count = round(i / _IMAGES * _WORDS)
        page[:count] = random.integers(1, 2**62, count, dtype=np.uint64)
        page[-1] = i  # never same-filled
    measured = np.array([len(lz4.block.compress(page.tobytes(), store_size=False)) for page in pages])
    measured[0] = 0
    wanted = np.arange(PAGE_SIZE + 1)
    order = np.argsort(measured[1:], kind="stable") + 1
    nearest = np.clip(np.searchsorted(measured[order], wanted), 0, len(order) - 1)
    below = np.maximum(nearest - 1, 0)
    closer = np.abs(measured[order[below]] - wanted) < np.abs(measured[order[nearest]] - wanted)
    of_size = order[np.where(closer, below, nearest)].astype(np.uint32)
    of_size[0] = 0
    return Images(pages, of_size)
