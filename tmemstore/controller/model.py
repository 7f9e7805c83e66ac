"""What is known of this device and this CPU, and what follows for the time of an allocation, at any confidence.

A `Model` starts from a storage profile, or from nothing but the first writes, and follows what it sees: every write of
the store is a sample of the device, every allocation one of the CPU and of the bound itself.

Three corrections, each for what the one before cannot see:

1. The device lane is the quantile of a *sum* of write times drawn from the sample (`convolve`).
2. The CPU's coefficients, which are medians, are multiplied by the quantile of used / predicted time (`cpu_times`).
3. The bound's allowance for interruptions and locks is the quantile of what allocations so far took beyond the lanes
   (split conformal prediction: V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World, 2005).  It is
   a time, not a factor: an interruption does not depend on the window, and a factor learned from windows that the CPU
   bounds would stretch the device lane of the others.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tmemstore.controller.convolve import sum_quantiles
from tmemstore.controller.cost import SPREAD_BYTES, CostModel, Costs
from tmemstore.controller.cpu_times import CpuTimes, spare_rank
from tmemstore.controller.pace import DrainPace
from tmemstore.stats import Ending, ReclaimReport
from tmemstore.storage.profile import Lane
from tmemstore.stores.background import WriteServed

DEFAULT_CONFIDENCE: Final = 0.999

_DEVICE_SAMPLES: Final = 4096
_ALLOCATIONS: Final = 4096
_REFRESH_SAMPLES: Final = 64
"""New device samples until the quantiles are computed again: a few ms of work each time."""
_SMALLEST_BYTES: Final = 16 << 10
"""Of a write that counts as a sample: smaller ones say more about a request than about its bytes."""
_ENOUGH: Final = 32
"""Samples from which a quantile means anything."""
_RECENT: Final = 8
_CHANGE: Final = 1.5
"""If the median of the recent samples is off by this factor the device has changed: older samples say nothing now."""
_MEDIAN: Final = 0.5
_FIRST_SPREAD: Final = 1.5
"""Of bound against expectation, for the device, until there are samples to learn from."""
_ALLOWANCE_NS: Final = 500_000
_VIRTUAL_ALLOWANCE_NS: Final = 50_000
"""What a bound allows for an interruption or a lock until there are enough allocations to learn it from."""
_ALLOWANCE_MIN_NS: Final = 20_000
_ALLOWANCE_MAX_NS: Final = 10_000_000
"""Beyond this it is no interruption: a thread that is kept off the CPU so long makes its allocation starved."""
_ALLOWANCE_SHARE: Final = 10
_RARER: Final = 1.5
"""The allowance is learned for a miss this many times rarer than asked for: until it is learned there are more."""
_SAFER: Final = 4
"""Ceilings are computed for a miss this many times rarer than the contract allows."""

_RELEARN: Final = 32
"""Allocations until the quantiles of what they showed are looked up again."""
_P99: Final = 0.99
_ANSWERS: Final = 32
"""Kept at a time: of callers who ask for a confidence or a deadline of their own each time."""

_DENSER_SAMPLES: Final = 64
_DENSER_MIN: Final = 64
"""Pages tried until their mean is believed, with this margin."""
_DENSER_MARGIN_PERMILLE: Final = 100


def _quantile(sample: Sequence[float], confidence: float) -> float:
    return sorted(sample)[spare_rank(len(sample), confidence) - 1]


def _spread_tables(
    excess_ns: Sequence[int], batch_bytes: int, confidences: Sequence[float]
) -> dict[float, tuple[int, ...]]:
    """What writes of `SPREAD_BYTES`, in batches, take beyond the linear part, at each confidence."""
    if not confidences or not any(excess_ns):
        return dict.fromkeys(confidences, ())
    by_terms: dict[int, list[float]] = {}
    spread: list[list[int]] = [[] for _ in confidences]
    for size in SPREAD_BYTES:
        terms = -(-size // batch_bytes)
        if terms not in by_terms:
            by_terms[terms] = sum_quantiles(excess_ns, terms, confidences)
        for table, ns in zip(spread, by_terms[terms], strict=True):
            table.append(max(0, round(ns), *table[-1:]))
    return dict(zip(confidences, map(tuple, spread), strict=True))


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The device's linear part, a byte, and what the samples took beyond it."""

    byte_ps: int
    batch_bytes: int
    excess_ns: tuple[int, ...]


class Model:
    """Coefficients that follow what is measured. Thread-safe.

    `write`: the device as a profile has it, for requests of `batch_bytes`; None: what the first writes show.
    `virtual`: the CPU's work takes what the model says, and is never interrupted.
    """

    def __init__(self, cost: CostModel, write: Lane | None, *, batch_bytes: int, virtual: bool = False) -> None:
        self._lock = threading.Lock()
        self._virtual = virtual
        self._first_allowance_ns = _VIRTUAL_ALLOWANCE_NS if virtual else _ALLOWANCE_NS
        self._cost = cost
        self._batch_bytes = batch_bytes
        self._lane = write
        self._excess_ns: deque[int] = deque(maxlen=_DEVICE_SAMPLES)
        self._seen = 0
        self._pace = DrainPace()
        self._fresh = 0
        self._cpu = CpuTimes()
        self._denser: deque[tuple[int, int, int]] = deque(maxlen=_DENSER_SAMPLES)
        self._denser_ns: deque[int] = deque(maxlen=_DENSER_SAMPLES)
        self._beyond_ns: dict[float, deque[int]] = {}
        self._allowances_ns: dict[float, int] = {}
        self._learned = 0
        self._tables: dict[float, tuple[int, ...]] = {}
        self._answers: dict[tuple[float, int], Costs] = {}
        if write is not None:
            fitted_ns = write.request_time_ns(batch_bytes)
            self._excess_ns.extend(fitted_ns * permille // 1000 - fitted_ns for permille in write.spread_permille)
            self._refit()

    # ---- asking ----------------------------------------------------------------------------------------

    @property
    def cost(self) -> CostModel:
        """The expected coefficients now."""
        return self._cost

    @property
    def drain(self) -> CostModel:
        """The same with the pace at which the cleaner empties the reserve."""
        return self._cost.changed({"byte_ps": self._pace.byte_ps or self._cost.byte_ps})

    def set_batch_bytes(self, batch_bytes: int) -> None:
        """From now on writes are of this size; what larger or smaller ones took beyond the fit stays as it is."""
        with self._lock:
            if batch_bytes == self._batch_bytes:
                return
            self._batch_bytes = batch_bytes
        self._refit()

    def costs(self, confidence: float = DEFAULT_CONFIDENCE, deadline_ns: int = 2**63) -> Costs:
        """The coefficients at the three levels; 0.5 < confidence < 1.

        No more is allowed for interruptions than a tenth of the deadline: one allocation that was held up longer shall
        not have those after it refused, from which nothing else would be learned.
        """
        with self._lock:
            made = self._costs(confidence, _ALLOWANCE_MAX_NS)
            most_ns = self._most_allowed_ns(deadline_ns)
            if max(made.p99_allowance_ns, made.allowance_ns) <= most_ns:
                return made
            return self._costs(confidence, most_ns)

    def _costs(self, confidence: float, most_ns: int) -> Costs:
        """Made once for as long as nothing is learned; `_answers` is emptied by all that changes them."""
        answer = self._answers.get((confidence, most_ns))
        if answer is None:
            if len(self._answers) >= _ANSWERS:
                self._answers.clear()
            answer = self._answers[confidence, most_ns] = self._made(confidence, most_ns)
        return answer

    def _made(self, confidence: float, most_ns: int) -> Costs:
        p99_ns, bound_ns = (min(most_ns, self._allowance_ns(level)) for level in (_P99, confidence))
        p99, bound = self._bound(_P99, p99_ns), self._bound(confidence, bound_ns)
        return Costs(self._level(_MEDIAN), p99, bound, confidence, p99_ns, bound_ns)

    def ceiling_cost(self, confidence: float, deadline_ns: int) -> CostModel:
        """What the ceilings of a contract are computed by: on the safe side of its bound."""
        with self._lock:
            allowance_ns = min(self._allowance_ns(confidence), self._most_allowed_ns(deadline_ns))
            allowance_ns = max(self._first_allowance_ns, allowance_ns)
            return self._bound(1 - (1 - confidence) / _SAFER, allowance_ns)

    def _bound(self, confidence: float, allowance_ns: int) -> CostModel:
        bound = self._level(confidence)
        return bound.changed({"t0_ns": bound.t0_ns + allowance_ns, "compress_permille": self._bound_permille()})

    def _level(self, confidence: float) -> CostModel:
        level = self._cost.changed({"spread_ns": self._spread(confidence)})
        if confidence <= _MEDIAN:
            return level
        if len(self._excess_ns) < _ENOUGH:
            level = level.changed({"byte_ps": round(level.byte_ps * _FIRST_SPREAD)})
        return level if self._virtual else level.cpu_scaled(self._cpu.factor(self._cost, confidence))

    def _most_allowed_ns(self, deadline_ns: int) -> int:
        return max(self._first_allowance_ns, deadline_ns // _ALLOWANCE_SHARE)

    def _allowance_ns(self, confidence: float) -> int:
        if confidence not in self._allowances_ns:
            beyond_ns = self._beyond_ns.get(confidence, ())
            rarer = 1 - (1 - confidence) / _RARER
            least_ns = _ALLOWANCE_MIN_NS if len(beyond_ns) * (1 - rarer) >= 1 else self._first_allowance_ns
            seen_ns = _quantile(beyond_ns, rarer) if beyond_ns else 0
            self._allowances_ns[confidence] = round(min(_ALLOWANCE_MAX_NS, max(least_ns, seen_ns)))
        return self._allowances_ns[confidence]

    def _spread(self, confidence: float) -> tuple[int, ...]:
        """What writes of `SPREAD_BYTES` take beyond the linear part."""
        if confidence not in self._tables:
            self._tables |= _spread_tables(tuple(self._excess_ns), self._batch_bytes, [confidence])
        return self._tables[confidence]

    # ---- learning --------------------------------------------------------------------------------------

    def writes_seen(self) -> int:
        """The number of the last device sample that was taken in."""
        return self._seen

    def learn_writes(self, samples: Sequence[WriteServed]) -> bool:
        """Takes in writes. True: the coefficients have changed.

        That takes some ms then, during which the model answers as before: the cleaner's work, not an allocation's.
        """
        with self._lock:
            if not samples:
                return False
            self._seen = samples[-1].number
            self._pace.learn(samples)
            smallest = min(_SMALLEST_BYTES, self._batch_bytes // 2)
            large = [(each.payload_bytes, each.service_ns) for each in samples if each.payload_bytes >= smallest]
            if not large:
                return False
            if self._lane is None:
                self._lane = Lane(0, max(1, sum(ns for _, ns in large) * 1000 // sum(size for size, _ in large)))
            self._excess_ns.extend(ns - self._lane.request_time_ns(size) for size, ns in large)
            self._fresh += len(large)
            changed = self._has_changed()
            if not changed and self._fresh < _REFRESH_SAMPLES and len(self._excess_ns) > 2 * _ENOUGH:
                return False
        self._refit()
        return True

    def _refit(self) -> None:
        with self._lock:
            fitted = self._fit()
            wanted = tuple(self._tables)
        if fitted is None:
            return
        tables = _spread_tables(fitted.excess_ns, fitted.batch_bytes, wanted)
        with self._lock:
            if fitted.batch_bytes != self._batch_bytes:
                return  # whoever changed it fits anew
            self._tables.update(tables)
            self._cost = self._cost.changed({"byte_ps": fitted.byte_ps})
            self._answers.clear()

    def _fitted_ns(self) -> int:
        return max(1, self._lane.request_time_ns(self._batch_bytes)) if self._lane else 1

    def _has_changed(self) -> bool:
        if len(self._excess_ns) < 2 * _RECENT:
            return False
        recent = sorted(list(self._excess_ns)[-_RECENT:])
        factor = 1 + recent[_RECENT // 2] / self._fitted_ns()
        if 1 / _CHANGE <= factor <= _CHANGE:
            return False
        self._excess_ns = deque(recent, maxlen=_DEVICE_SAMPLES)
        self._pace.forget()
        self._beyond_ns.clear()
        self._allowances_ns.clear()
        return True

    def _fit(self) -> _Fitted | None:
        """Moves the linear part to the median of the sample, and the sample with it."""
        if self._lane is None or not self._excess_ns:
            return None
        middle = sorted(self._excess_ns)[len(self._excess_ns) // 2]
        fitted_ns = max(1, self._fitted_ns() + middle)
        moved = fitted_ns - self._fitted_ns()
        request_ns = min(self._lane.request_ns, fitted_ns - 1)
        self._lane = Lane(request_ns, max(1, (fitted_ns - request_ns) * 1000 // self._batch_bytes))
        self._excess_ns = deque((value - moved for value in self._excess_ns), maxlen=_DEVICE_SAMPLES)
        self._fresh = 0
        byte_ps = max(1, fitted_ns * 1000 // self._batch_bytes)
        return _Fitted(byte_ps, self._batch_bytes, tuple(self._excess_ns))

    def learn_denser(self, objects: int, bytes_before: int, bytes_after: int, cpu_ns: int) -> None:
        """Takes in what the denser codec left of a few pages on trial, and the time that took."""
        if not objects:
            return
        with self._lock:
            self._denser.append((objects, bytes_before, bytes_after))
            self._denser_ns.append(cpu_ns // objects)
            before, after = (sum(column) for column in list(zip(*self._denser, strict=True))[1:])
            changes = {"compress_permille": -(-1000 * after // before)}
            if not self._virtual:
                changes["compress_ns"] = max(1, sorted(self._denser_ns)[len(self._denser_ns) // 2])
            self._cost = self._cost.changed(changes)
            self._answers.clear()

    def _bound_permille(self) -> int:
        """How well the next pages compress is promised only on the strength of those that were tried."""
        if sum(objects for objects, _, _ in self._denser) < _DENSER_MIN:
            return 1000
        return min(1000, self._cost.compress_permille + _DENSER_MARGIN_PERMILLE)

    def learn(self, report: ReclaimReport, costs: Costs) -> None:
        """Takes in an allocation that ran, with the coefficients that it was bounded by."""
        if report.ending is Ending.REFUSED or report.starved:
            return
        with self._lock:
            beyond_ns = {
                _P99: report.elapsed_ns - (report.window.p99_ns - costs.p99_allowance_ns),
                costs.confidence: report.elapsed_ns - (report.window.bound_ns - costs.allowance_ns),
            }
            for confidence, ns in beyond_ns.items():
                self._beyond_ns.setdefault(confidence, deque(maxlen=_ALLOCATIONS)).append(ns)
            known = self._cost
            # In virtual time the CPU takes what it is said to take.
            if report.ending is Ending.MET and not self._virtual:
                self._cost = self._cpu.learn(report, known)
            self._learned += 1
            looks_again = self._learned % _RELEARN == 0 or self._learned < _RELEARN
            if looks_again:
                self._allowances_ns.clear()
                self._cpu.look_again()
            if looks_again or self._cost is not known:
                self._answers.clear()
