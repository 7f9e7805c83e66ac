"""Quantiles of a sum of write times, from a sample of single ones.

A window is written as a number of batches.  Their times are drawn from the sample independently of each other, so that
the distribution of the sum is the sample's, convolved with itself: rare pauses add up as they do on the device,
instead of each batch being charged its worst case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BINS: Final = 512
_EXACT: Final = 64
"""Sums of more terms than this spread like the root of their number (the central limit theorem)."""


def sum_quantiles(sample_ns: Sequence[int], terms: int, confidences: Sequence[float]) -> list[float]:
    """The quantiles of a sum of `terms` independent draws from the sample, in ns; values may be negative."""
    import numpy as np

    values = np.asarray(sample_ns, dtype=np.float64)
    exact = min(terms, _EXACT)
    low, high = float(values.min()), float(values.max())
    step = max((high - low) / (_BINS - 1), 1.0)
    single = np.bincount(np.ceil((values - low) / step).astype(np.int64), minlength=_BINS) / len(values)
    cumulated = np.cumsum(_power(single, exact))
    found = [exact * low + step * float(np.searchsorted(cumulated, c - 1e-12)) for c in confidences]
    if terms == exact:
        return found
    mean = float(values.mean())
    spread = (terms / exact) ** 0.5
    return [terms * mean + (value - exact * mean) * spread for value in found]


def _power(single: npt.NDArray[Any], terms: int) -> npt.NDArray[Any]:
    import numpy as np

    if terms == 1:
        return single
    length = len(single) * terms
    size = 1 << (length - 1).bit_length()
    spectrum: npt.NDArray[np.complex128] = np.fft.rfft(single, size)
    return np.maximum(np.fft.irfft(spectrum**terms, size)[:length], 0)
