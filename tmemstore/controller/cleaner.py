"""The cleaner: background writes, on a thread of its own in real time, between two moments in virtual time.

What it does, in this order: empties the escape reserve, so that it is free for the next allocation; pages out what
exceeds the frontswap share; gives pages a spill copy, so that they become droppable: first where a chunk is above its
ceilings, then cold ones.  How much, the controller's policy says; each step in the core begins at most one write, and
none while an allocation is under way.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final

from tmemstore.controller.model import Model
from tmemstore.errors import PoolError
from tmemstore.stores import background
from tmemstore.stores.background import CleanRequest
from tmemstore.stores.tmem import TmemStore

_WAIT_S: Final = 0.05
"""Where nothing may be written."""
_CALL_S: Final = 0.01
"""Between two calls to come back, where it is to end."""
_STEPS: Final = 256
"""Steps in a row before samples are looked at."""
_CORE_NS: Final = 100_000_000
_DRAIN_NS: Final = 500_000_000
"""In the core, until samples are looked at, and that long while it empties the reserve: a thread that comes back waits
for the interpreter, and the device for the thread."""
_SLICE_NS: Final = 1_000_000
_SAMPLE_PERIOD_NS: Final = 250_000_000
"""A few cold pages are compressed on trial so often: less than a thousandth of a core."""
_DAY_NS: Final = 86_400 * 10**9
_DAY_PARTS: Final = 24


class WriteBudget:
    """Bytes that may be written a day, over the last 24 hours (up to 25, in whole ones); None: no limit."""

    def __init__(self, bytes_a_day: int | None) -> None:
        self._limit = bytes_a_day
        self._parts: deque[tuple[int, int]] = deque(maxlen=_DAY_PARTS + 1)
        self._written = 0

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self._limit is not None

    def note(self, now_ns: int, written_bytes: int) -> None:
        """`written_bytes`: all that was written since the store was opened."""
        part = now_ns // (_DAY_NS // _DAY_PARTS)
        more = written_bytes - self._written
        self._written = written_bytes
        if self._parts and self._parts[-1][0] == part:
            more += self._parts.pop()[1]
        self._parts.append((part, more))

    def is_exhausted(self, now_ns: int) -> bool:
        """Whether the last 24 hours took all that was allowed."""
        if self._limit is None:
            return False
        first = now_ns // (_DAY_NS // _DAY_PARTS) - _DAY_PARTS
        return sum(size for part, size in self._parts if part >= first) >= self._limit


class Policy:
    """What the cleaner is to do now; the controller replaces it. `on_change`: called when the model has changed.

    `is_stale`: an allocation has changed it, or was refused for what the ceilings may not know of yet.

    `look_again_after`: accesses until an adaptive knob is to be looked at again; None: there is none.

    It keeps nothing alive that it is called on: the cleaner holds the policy nearly all the time.
    """

    def __init__(self, on_change: Callable[[], None], adapt: Callable[[], int | None], budget: WriteBudget) -> None:
        self.request: CleanRequest | None = None
        self.look_again_after: int | None = None
        self._on_change = weakref.WeakMethod(on_change)
        self._adapt = weakref.WeakMethod(adapt)
        self.next_sample_ns = 0
        self.is_stale = False
        self.budget = budget

    def on_change(self) -> None:
        """The model has changed."""
        changed = self._on_change()
        if changed is not None:
            changed()

    def adapt(self) -> None:
        """Lets an adaptive knob move."""
        adapt = self._adapt()
        self.look_again_after = adapt() if adapt is not None else None


def learn(store: TmemStore, model: Model, policy: Policy) -> None:
    """Learns from completed writes; what policy makes of them is in force then."""
    now_ns = background.now_ns(store)
    if now_ns >= policy.next_sample_ns:
        began_ns = time.thread_time_ns()
        sample = background.sample_denser(store)
        model.learn_denser(*sample, time.thread_time_ns() - began_ns)
        policy.next_sample_ns = now_ns + _SAMPLE_PERIOD_NS
    samples = background.writes_served(store, model.writes_seen())
    changed = model.learn_writes(samples)
    was_exhausted = policy.request is None
    exhausted = False
    if policy.budget.limited:
        written = store.stats().written_by_cause
        policy.budget.note(now_ns, sum(written.values()) - written["measure"])
        exhausted = policy.budget.is_exhausted(now_ns)
    is_stale, policy.is_stale = policy.is_stale, False
    if changed or is_stale or exhausted != was_exhausted:
        policy.on_change()
    policy.adapt()


def step(store: TmemStore, model: Model, policy: Policy, *, wait_ns: int = 0, drain_ns: int = 0) -> int:
    """Learns from completed writes, and begins as many as may be begun. The state of the last step in the core."""
    learn(store, model, policy)
    if policy.request is None:
        return int(background.IDLE)
    return background.clean(store, policy.request, steps=_STEPS, wait_ns=wait_ns, drain_ns=drain_ns)


class Cleaner:
    """The thread. It holds store and policy only while it works: a store that nobody can reach goes, and it with it."""

    def __init__(self, store: TmemStore, model: Model, policy: Policy) -> None:
        self._store = weakref.ref(store)
        self._model = model
        self._policy = weakref.ref(policy)  # which knows the store
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tmemstore-cleaner", daemon=True)
        self._thread.start()

    def look_again(self) -> None:
        """What is to be done has changed."""
        store = self._store()
        if store is not None and not store.closed:
            background.interrupt_clean(store)

    def stop(self) -> None:
        """Ends the thread, which is never in a system call on the device."""
        self._stopped.set()
        self.look_again()
        # It may have been on its way into the core when it was called back: then it is called again.
        while self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(_CALL_S)
            self.look_again()

    def _run(self) -> None:
        self._model.costs()  # the first takes long: no allocation shall be the first
        while not self._stopped.is_set():
            store, policy = self._store(), self._policy()
            if store is None or store.closed or policy is None:
                return
            try:
                step(store, self._model, policy, wait_ns=_CORE_NS, drain_ns=_DRAIN_NS)
                waits_here = policy.request is None
            except PoolError:  # closed meanwhile
                return
            finally:
                del store, policy
            if waits_here:
                self._stopped.wait(_WAIT_S)


def advance(store: TmemStore, model: Model, policy: Policy, time_ns: int) -> None:
    """Lets virtual time pass, the cleaner at work in it."""
    left_ns = time_ns
    while left_ns > 0:
        state = step(store, model, policy)
        # What a completed transfer makes room for is begun at once; a busy cleaner looks again after a while.
        most_ns = min(left_ns, _SLICE_NS) if state == background.BUSY else left_ns
        left_ns -= background.advance_to_event(store, most_ns)
    step(store, model, policy)
