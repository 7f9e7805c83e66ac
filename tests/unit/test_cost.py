"""The cost model: its formula, its measurement, and how reclaims move it."""

import dataclasses

import pytest

import tmemstore
from tmemstore import CostModel, Effort


def window(**counts):
    empty = {field.name: 0 for field in dataclasses.fields(tmemstore.Window)}
    return tmemstore.Window(**{**empty, **counts})


def test_the_prediction_is_the_formula():
    cost = CostModel(t0_ns=1, frame_ns=10, drop_ns=100, object_ns=1000, byte_ps=2000, zero_ns=7)
    seen = window(frames=5, frames_clean=2, objects_copied=1, objects_uncopied=3, bytes_uncopied=500)
    assert cost.predict_ns(seen) == 1 + 5 * 10 + (2 + 1 + 3) * 100 + 3 * 1000 + 500 * 2
    assert cost.predict_ns(seen, zero=True) == cost.predict_ns(seen) + 5 * 7


def test_the_core_and_the_model_predict_the_same(tmp_path):
    cost = CostModel(t0_ns=111, frame_ns=3, drop_ns=55, object_ns=77, byte_ps=1234)
    with tmemstore.open("4MiB", tmp_path / "spill.img", storage=cost, codec="none") as tm:
        swap, fs = tm.frontswap(0), tm.cleancache("rootfs")
        for number in range(300):
            assert swap.store(number, number.to_bytes(2, "little") + bytes(4093) + b"!")
            assert fs.put_page(number, 0, number.to_bytes(2, "little") + bytes(4093) + b"?")
        for size in ("2MiB", "4MiB", "64KiB"):
            proposed = tm.propose(size)
            assert proposed.predicted_ns == cost.predict_ns(proposed)


@pytest.mark.parametrize(("name", "value"), [("drop_ns", -1), ("byte_ps", 2**48)])
def test_a_coefficient_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        CostModel(**{name: value})


@pytest.mark.parametrize("value", [1.5, None, True, "3"])
def test_a_coefficient_of_another_type_is_refused(value):
    with pytest.raises(TypeError, match="drop_ns"):
        CostModel(drop_ns=value)


def test_what_is_given_is_taken_and_what_is_not_is_measured(tmp_path):
    given = CostModel(byte_ps=5)
    with tmemstore.open("1MiB", storage=given) as tm:
        assert tm.cost == given
    with tmemstore.open("1MiB", tmp_path / "spill.img") as tm:
        assert tm.cost.source == "measured"
        assert min(tm.cost.drop_ns, tm.cost.byte_ps, tm.cost.zero_ns) >= 1
        assert tm.stats().spill_blocks_used == 0, "the measurement keeps nothing"


def test_a_storage_of_another_type_is_refused():
    with pytest.raises(TypeError, match="CostModel"):
        tmemstore.open("1MiB", storage="emmc5.1")


def test_reclaims_move_the_coefficients_towards_what_was_seen(tmp_path):
    far_off = CostModel(drop_ns=10**6, byte_ps=10**9)
    with tmemstore.open("8MiB", tmp_path / "spill.img", storage=far_off, codec="none") as tm:
        swap = tm.frontswap(0)
        for number in range(1024):
            assert swap.store(number, number.to_bytes(2, "little") + bytes(4093) + b"!")
        with tm.alloc_contig("8MiB", effort=Effort.PAGE_OUT) as contig:
            assert contig.report.paged_out == 1024
        assert tm.cost.drop_ns < far_off.drop_ns
        assert tm.cost.byte_ps < far_off.byte_ps
        assert tm.cost.source == "measured"
