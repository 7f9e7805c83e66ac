"""Thrash: pages that come back just after they had to go, what that costs, and which ratio would have kept them."""

from __future__ import annotations

from typing import Final, NamedTuple

from tmemstore.controller.adaptive import Curve, share_of
from tmemstore.stores.background import Ghosts

_MUCH: Final = 0.1
"""Refaults a page let in, from which it is called thrash."""
_BETTER: Final = 1.05
"""Times the device time that is saved, from which another ratio is named."""
_ALL: Final = 100


class Thrash(NamedTuple):
    """Refaults within a horizon: gets and loads that the device had to serve, of pages that were there not long ago.

    Not long ago: no more pages of its kind than fill the region were used since. `clean`, `swap`: how many, estimated
    from a sample of the keys. `per_admitted`: both, per page that was let in meanwhile. `lost_ns`: what reading them
    took. `percent`: the frontswap share in force. `best_percent`: the one that would have saved most, as far as the
    sample says; `gain`: so many times as much.
    """

    clean: int
    swap: int
    per_admitted: float
    lost_ns: int
    percent: int
    best_percent: int
    gain: float

    @property
    def warning(self) -> str:
        """A sentence that names the knob; "": there is nothing to warn of."""
        if self.per_admitted < _MUCH:
            return ""
        kind = "cleancache" if self.clean > self.swap else "frontswap"
        told = f"thrash: {self.per_admitted:.2f} refaults a page let in, most of {kind}"
        if self.gain < _BETTER:
            return f"{told}; a larger region would save more, another ratio hardly"
        return f"{told}; frontswap_max_percent={self.best_percent} would save more than {self.percent}"


def thrash_of(seen: Ghosts, *, frames: int, read_ns: int, write_ps: int, percent: int) -> Thrash:
    """What a sample says. `frames`: of the region. `percent`: the knob in force."""
    bins = len(seen.clean) // 2
    rate = max(1, seen.rate_ppb)
    clean, swap = (sum(misses[:bins]) * 10**9 // rate for misses in (seen.clean_misses, seen.swap_misses))
    curve = Curve(len(seen.clean))
    curve.add(seen, None, read_ns, write_ps)
    most = share_of(seen.units_most[1], seen, frames)
    saved = [curve.saved(each, most) for each in range(_ALL + 1)]
    best = max(range(_ALL + 1), key=lambda each: (saved[each], -abs(each - percent)))
    return Thrash(
        clean=clean,
        swap=swap,
        per_admitted=(clean + swap) / seen.let_in if seen.let_in else 0.0,
        lost_ns=(clean + swap) * read_ns,
        percent=percent,
        best_percent=best,
        gain=saved[best] / saved[percent] if saved[percent] else 1.0,
    )
