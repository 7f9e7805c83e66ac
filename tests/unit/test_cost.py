"""The cost model: its formula, its measurement, and how reclaims move it."""

import time

import pytest

import tmemstore
from support import noise
from tmemstore import CostModel, Effort


def predicted_ns(cost, window):
    """The formula of the docstring, for a window whose pages are all to be written."""
    drops = window.objects_copied + window.objects_uncopied
    cpu_ns = window.objects_uncopied * cost.object_ns
    device_ns = window.bytes_uncopied * cost.byte_ps // 1000
    # The device begins once the first batch of 512 KiB is full.
    device_ns += min(window.objects_uncopied, (512 << 10) // 4096) * cost.object_ns
    pages_ns = window.frames_clean * cost.clean_ns + drops * cost.drop_ns
    return cost.t0_ns + window.frames * cost.frame_ns + pages_ns + max(cpu_ns, device_ns)


@pytest.mark.parametrize("object_ns", [77, 77_000])
def test_the_core_predicts_the_formula(tmp_path, object_ns):
    cost = CostModel(
        t0_ns=111, frame_ns=3, clean_ns=7, drop_ns=55, object_ns=object_ns, byte_ps=1234, compress_permille=1000
    )
    with tmemstore.open("4MiB", tmp_path / "spill.img", storage=cost, codec="none", writeback="back") as tm:
        swap, fs = tm.frontswap(0), tm.cleancache("rootfs")
        for number in range(300):
            assert swap.store(number, noise(number))  # which the denser codec, on trial, gains nothing on
            assert fs.put_page(number, 0, noise(number))
        for size in ("4MiB", "64KiB"):
            proposed = tm.propose(size, effort=Effort.PAGE_OUT)
            if proposed.to_page_out == proposed.objects_uncopied and not proposed.to_compress:
                assert proposed.predicted_ns == predicted_ns(cost, proposed)
            else:
                assert size == "64KiB", "nothing lies outside the region that pages could be moved to"


def test_the_times_of_the_cpu_are_scaled_and_rounded_up_and_the_device_is_not():
    scaled = CostModel(t0_ns=3, drop_ns=100, byte_ps=7, compress_permille=900).cpu_scaled(1.5)
    assert (scaled.t0_ns, scaled.drop_ns, scaled.byte_ps, scaled.compress_permille) == (5, 150, 7, 900)


def test_the_device_lane_of_the_core_has_an_inverse():
    cost = CostModel(byte_ps=8000, spread_ns=tuple(1000 * i for i in range(16)))
    for size in (1, 4096, 65_536, 1_000_000, 64 << 20):
        assert cost.device_bytes(cost.device_ns(size)) >= size
        assert cost.device_ns(cost.device_bytes(cost.device_ns(size))) <= cost.device_ns(size)


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
    with pytest.raises(TypeError, match="StorageProfile"):
        tmemstore.open("1MiB", storage=17)


def test_reclaims_move_the_coefficients_towards_what_was_seen(tmp_path):
    far_off = CostModel(drop_ns=10**6, byte_ps=10**9)
    with tmemstore.open("8MiB", tmp_path / "spill.img", storage=far_off, codec="none", writeback="back") as tm:
        swap = tm.frontswap(0)
        give_up = time.monotonic() + 60
        # No single allocation makes a coefficient, and one that the machine kept off the CPU teaches nothing.
        while tm.cost.drop_ns == far_off.drop_ns:
            assert time.monotonic() < give_up
            for number in range(1024):
                assert swap.store(number, number.to_bytes(2, "little") + bytes(4093) + b"!")
            with tm.alloc_contig("8MiB", effort=Effort.PAGE_OUT) as contig:
                assert contig.report.paged_out == 1024
        assert tm.cost.drop_ns < far_off.drop_ns
        while tm.cost.byte_ps == far_off.byte_ps:  # the cleaner's thread learns it
            assert time.monotonic() < give_up
            time.sleep(0.01)
        assert tm.cost.byte_ps < far_off.byte_ps
        assert tm.cost.source == "measured"
