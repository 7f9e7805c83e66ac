"""Page images for a replay in real memory: contents that compress to any size that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import lz4.block
import numpy as np
import numpy.typing as npt
import zstandard

from tmemstore.units import PAGE_SIZE

_IMAGES: Final = 1024
_SYMBOLS: Final = {"none": 28, "lz4": 28, "zstd": 256}
"""Different bytes in the random part. Of few lz4 shortens nothing and zstd leaves about 65 %, as it does of what lz4
makes of anonymous pages (see `stores.opening`); of all zstd shortens nothing."""
_LONGEST_PART: Final = PAGE_SIZE - 8
_RAW_PERMILLE: Final = 319
"""What lz4 leaves of a raw page, on the mean (see `stores.opening`)."""


@dataclass(frozen=True, slots=True)
class Images:
    """`pages`: uint8[n, 4096], the first one same-filled. `of_size`: uint32[4097], for each compressed size a page."""

    pages: npt.NDArray[np.uint8]
    of_size: npt.NDArray[Any]


def make(seed: int, codec: str) -> Images:
    """Pages of which a part is random and the rest a repeated word: `codec`'s sizes go from a few bytes to all.

    With the codec "none", which keeps every page whole, each is one that lz4 would compress as it does most pages.
    """
    random = np.random.default_rng(seed)
    pages = np.zeros((_IMAGES + 2, PAGE_SIZE), np.uint8)
    pages.view("<u8")[1:] = random.integers(1, 2**62, (_IMAGES + 1, 1), dtype=np.uint64)
    different = _SYMBOLS[codec]
    for page, count in zip(pages[1:-1], np.linspace(0, _LONGEST_PART, _IMAGES).astype(int), strict=True):
        symbols = random.choice(256, different, replace=False)
        page[:count] = symbols[random.integers(0, different, count)]
        page[-1] ^= 1  # never same-filled
    pages[-1] = random.integers(0, 256, PAGE_SIZE)
    compress = _compressor(codec)
    measured = np.array([len(compress(page.tobytes())) for page in pages])
    measured[-1] = max(PAGE_SIZE, measured[-1])
    wanted = np.arange(PAGE_SIZE + 1)
    if codec == "none":
        wanted[:] = PAGE_SIZE * _RAW_PERMILLE // 1000
    of_size = _nearest(measured[1:], wanted) + 1
    of_size[0] = 0
    return Images(pages, of_size.astype(np.uint32))


def _compressor(codec: str) -> Callable[[bytes], bytes]:
    if codec == "zstd":
        return zstandard.ZstdCompressor(level=1).compress
    return lambda page: bytes(lz4.block.compress(page, store_size=False))


def _nearest(values: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """For each wanted value the place of the one that is closest."""
    order = np.argsort(values, kind="stable")
    above = np.clip(np.searchsorted(values[order], wanted), 0, len(order) - 1)
    below = np.maximum(above - 1, 0)
    closer = np.abs(values[order[below]] - wanted) < np.abs(values[order[above]] - wanted)
    return order[np.where(closer, below, above)]
