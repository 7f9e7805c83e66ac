"""Compressed sizes of anonymous pages, for traces that have none."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tmemstore._binding import lib
from tmemstore.units import PAGE_SIZE

FILLED_SHARE: Final = 0.022
"""Same-filled pages among 6000 anonymous pages of gcc, node, PostgreSQL, Python with numpy and with sqlite, from a
Linux 6.18 kernel under memory pressure."""

QUANTILES: Final = {
    "lz4": (
        *(29, 39, 39, 45, 120, 181, 283, 319, 328, 328, 347, 437, 540, 590, 652, 697, 749, 795, 837, 867, 917, 964),
        *(1005, 1039, 1040, 1071, 1112, 1148, 1193, 1204, 1237, 1286, 1308, 1323, 1338, 1363, 1402, 1444, 1461, 1498),
        *(1517, 1521, 1531, 1556, 1588, 1621, 1647, 1689, 1751, 1818, 1892, 1976, 2020, 2029, 2032, 2053, 2104, 2182),
        *(2278, 2369, 2453, 2636, 2967, 4096, 4096),
    ),
    "zstd": (
        *(20, 26, 28, 29, 93, 138, 161, 161, 171, 194, 207, 221, 234, 258, 308, 348, 364, 402, 437, 458, 470, 484),
        *(512, 545, 579, 612, 622, 634, 662, 683, 709, 734, 762, 785, 797, 805, 814, 824, 832, 848, 868, 890, 920, 948),
        *(970, 989, 1007, 1036, 1059, 1102, 1144, 1174, 1200, 1228, 1253, 1306, 1377, 1450, 1548, 1652, 1793, 2054),
        *(2768, 3959, 3979),
    ),
}
"""Of the others, bytes at 0/64, 1/64, ... 64/64, by codec (lz4 1.10's default level, zstd 1.5 level 1)."""


def table(codec: str) -> npt.NDArray[np.uint16]:
    """uint16[1024] sizes in bytes that stand for the distribution, 0 for a same-filled page; whole ones for "none"."""
    count = lib.TMS_REPLAY_SIZES
    filled = round(FILLED_SHARE * count)
    sizes = np.full(count, PAGE_SIZE, np.uint16)
    sizes[:filled] = 0
    if codec in QUANTILES:
        points = QUANTILES[codec]
        at = (np.arange(count - filled) + 0.5) / (count - filled) * (len(points) - 1)
        sizes[filled:] = np.interp(at, np.arange(len(points)), points).astype(np.uint16)
    return sizes
