"""The cleaner's thread ends when it is told to, and comes back when something has changed."""

import threading

import tmemstore
from support import plain_report
from tmemstore.controller import cleaner
from tmemstore.stores import background

FOR_EVER_NS = 10**18


def test_a_call_that_comes_while_it_is_on_its_way_into_the_core_is_repeated(monkeypatch, tmp_path):
    """The first call is lost, as one is that comes before the core counts calls."""
    calls = []
    really = background.interrupt_clean

    def lost_at_first(store):
        calls.append(store)
        if len(calls) > 1:
            really(store)

    monkeypatch.setattr(cleaner, "_CORE_NS", FOR_EVER_NS)
    monkeypatch.setattr(background, "interrupt_clean", lost_at_first)
    tm = tmemstore.open("4MiB", tmp_path / "spill.img")
    try:
        closing = threading.Thread(target=tm.close, daemon=True)
        closing.start()
        closing.join(20)
        assert not closing.is_alive()
        assert len(calls) > 1
    finally:
        if not tm.closed:  # the thread that was not called again would stay
            really(tm.store)


def test_a_refusal_calls_it_back_unless_it_empties_the_reserve(monkeypatch, tmp_path):
    contract = tmemstore.Contract("2MiB", "20ms")
    with tmemstore.open(
        "8MiB", tmp_path / "spill.img", escape="1MiB", contract=contract, storage="emulate:emmc5.1"
    ) as tm:
        called = []
        monkeypatch.setattr(tm, "_look_again", lambda: called.append(tm))
        report = plain_report(ending=tmemstore.Ending.REFUSED, reason="recovering")
        refused = tmemstore.AllocationRefused("said for the test", report)
        tm._explained(refused)
        assert called == [tm]
        free = background.headroom(tm.store, 1)
        monkeypatch.setattr(background, "headroom", lambda *_: _with_reserve_used(free))
        tm._explained(refused)
        assert called == [tm]
        assert tm._ruler.policy.is_stale


def _with_reserve_used(head):
    values = {name: getattr(head, name) for name in type(head).__slots__}
    return type(head)(**(values | {"reserve_bytes_free": head.reserve_bytes_free - 4096}))
