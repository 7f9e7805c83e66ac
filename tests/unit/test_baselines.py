"""The baselines of the eviction bench: what their cards promise, on pages and pins that are made up."""

import json

import numpy as np
import pytest

from tmemstore.bench.baselines import cma, cma_walk, device, figures, gcma, pins, run
from tmemstore.bench.baselines.copies import Copies
from tmemstore.bench.baselines.pins import Pins, PinSetting
from tmemstore.cli.main import main
from tmemstore.report.baselines import baselines_table

MIB = 1 << 20
REGION = 16 * MIB
FRAMES = REGION // 4096
DEVICE = device.Device(read_page_ns=90_000, write_page_ns=77_000, source="made up")
EMULATED = "emulate:emmc5.1"


@pytest.fixture(scope="module")
def model():
    pages = np.random.default_rng(1).integers(0, 256, (512, 4096), dtype=np.uint8)
    return cma.Model(REGION, Copies(pages, 1 << 14, 1), DEVICE)


def measured(model, pin_setting, percent=30, size=4 * MIB, **more):
    more = {"writeback_permille": 0, "calls": 20} | more
    return model.measure(cma.Setting(pin_setting, **more), percent, size)


def permanent(pages):
    return Pins(np.array(pages, np.int64), np.full(len(pages), 2**62))


def area(percent, frames=FRAMES):
    moves = np.zeros(frames, np.bool_)
    moves[np.random.default_rng(2).permutation(frames)[: frames * percent // 100]] = True
    return cma_walk.Area(moves)


class TestCma:
    def test_clean_pages_cost_120_ns_each_and_nothing_is_copied(self, model):
        for calls in measured(model, PinSetting(), percent=0):
            assert calls.latency_ns == [1024 * 120] * 20
            assert calls.bytes_copied == 0
            assert calls.pages_dropped == 20 * 1024
            assert calls.row(DEVICE)["refault_ns_per_mib"] == 256 * 90_000

    def test_other_pages_are_copied_for_real_and_dearer_at_each_cost(self, model):
        low, middle, high = measured(model, PinSetting(), percent=100)
        assert low.bytes_copied == low.bytes_copied_really == 20 * 4 * MIB
        assert low.pages_dropped == 0
        # The copies are the same, so what the costs add is exact: 3 and 4 plain copies more, and a shootdown of 1 us.
        plain_ns = model.describe(cma.Setting(PinSetting()), cma.COSTS[0])["plain_copy_ns"]
        for cheap_ns, usual_ns, dear_ns in zip(low.latency_ns, middle.latency_ns, high.latency_ns, strict=True):
            assert cheap_ns > 4 * 1024 * plain_ns
            assert usual_ns - cheap_ns == 1024 * (3 * plain_ns + 1000)
            assert dear_ns - usual_ns == 1024 * (4 * plain_ns + 1000)

    def test_copies_beyond_what_a_call_copies_for_real_count_as_plain_ones(self):
        copies = Copies(np.zeros((64, 4096), np.uint8), 10, 1)
        assert copies.took_ns(1000) >= 990 * copies.plain_ns
        assert copies.really == 10

    @pytest.mark.parametrize(("cost", "each_ns"), [(0, 4 * 300), (1, 7 * 300 + 1000), (2, 11 * 300 + 2000)])
    def test_a_pinned_page_is_tried_five_times_for_what_a_migration_takes_beyond_its_copy(self, cost, each_ns):
        nothing = np.empty(0, np.int64)
        clock = cma.Clock(cma.COSTS[cost], cma.Setting(PinSetting()), DEVICE, (nothing, nothing))
        clock.add(cma_walk.Round(0, nothing, nothing, nothing, 0, 0, tried=2, met=False), 0, 300)
        assert clock.ns == 2 * 5 * each_ns
        clock.add(cma_walk.Round(1, nothing, nothing, nothing, 7, 0, tried=0, met=True), 0, 300)
        assert clock.ns == 2 * 5 * each_ns + 20_000_000 + 7 * 120

    def test_dirty_file_pages_are_copied_too(self, model):
        low, *_ = measured(model, PinSetting(), percent=0, dirty_permille=1000)
        assert (low.pages_dropped, low.bytes_copied) == (0, 20 * 4 * MIB)

    def test_pages_under_writeback_are_waited_for_at_the_speed_of_the_device(self, model):
        low, *_ = measured(model, PinSetting(), percent=100, size=REGION, writeback_permille=1000)
        assert min(low.latency_ns) >= FRAMES * DEVICE.write_page_ns
        clean, *_ = measured(model, PinSetting(), percent=0, size=REGION, writeback_permille=1000)
        assert max(clean.latency_ns) == FRAMES * 120

    def test_memory_that_is_short_outside_costs_a_write_for_each_page(self, model):
        enough, *_ = measured(model, PinSetting(), percent=100, outside_free_pages=1024)
        assert enough.bytes_written == 0
        short, *_ = measured(model, PinSetting(), percent=100, outside_free_pages=1000)
        assert short.bytes_written == 20 * 24 * 4096
        assert min(short.latency_ns) > 24 * DEVICE.write_page_ns

    def test_what_is_free_outside_is_used_up_over_the_rounds(self):
        one, three = np.ones(1, np.int64), np.full(1, 3, np.int64)
        clock = cma.Clock(cma.COSTS[0], cma.Setting(PinSetting(), outside_free_pages=4), DEVICE, (one[:0], one[:0]))
        for number in range(2):
            clock.add(cma_walk.Round(number, one, one * 0, three, 0, 3, tried=0, met=False), 0, 0)
        assert clock.reclaimed == 2

    def test_a_permanent_pin_in_every_window_fails_all_calls_and_what_was_dropped_is_destroyed(self, model):
        for calls in measured(model, PinSetting(2048, permanent=True), size=8 * MIB):
            assert calls.latency_ns == []
            assert len(calls.failed_ns) == 20
            assert min(calls.failed_ns) >= 10 * 20_000_000
            assert calls.pages_destroyed == calls.pages_dropped > 0
            row = calls.row(DEVICE)
            assert (row["failed"], row["calls"]) == (20, 20)
            assert row["bytes_copied_per_mib"] is None

    def test_the_same_seed_gives_the_same_counts_and_another_others(self, model):
        def counts(seed):
            low, *_ = measured(model, PinSetting(32), writeback_permille=5, seed=seed)
            return low.pages_dropped, low.pages_destroyed, low.bytes_copied, len(low.failed_ns)

        assert counts(1) == counts(1)
        assert counts(1) != counts(2)


class TestWalk:
    def test_a_pinned_page_ends_a_window_at_its_batch_and_the_next_is_a_mebibyte_on(self):
        (only,) = cma_walk.walk(area(0), 1024, permanent([40]))
        assert only.met
        assert only.tried == 1
        # Batches 0 and 1 of the refused window, less the pinned page; then a window from page 256 on.
        assert only.batches.tolist() == [0, 1, *range(8, 40)]
        assert only.pages_dropped == 63 + 1024

    def test_a_window_without_a_pin_needs_no_retry(self):
        rounds = list(cma_walk.walk(area(50), 1024, permanent([])))
        assert [work.met for work in rounds] == [True]
        assert rounds[0].pages_dropped + rounds[0].pages_copied == 1024

    def test_a_pin_that_ends_before_the_retry_lets_the_retry_succeed(self):
        soon = Pins(np.array([100]), np.array([19_999_999]))
        first, second = cma_walk.walk(area(0), FRAMES, soon)
        assert (first.met, second.met) == (False, True)
        assert first.pages_dropped == 127
        assert second.pages_dropped == FRAMES - 127

    def test_a_pin_that_ends_later_is_met_by_later_retries_and_never_after_the_tenth(self):
        late = Pins(np.array([100]), np.array([60_000_000]))
        assert len(list(cma_walk.walk(area(0), FRAMES, late))) == 4
        never = list(cma_walk.walk(area(0), FRAMES, Pins(np.array([100]), np.array([200_000_001]))))
        assert len(never) == 11
        assert not any(work.met for work in never)
        assert sum(work.pages_dropped for work in never) == 127
        assert [work.tried for work in never] == [1] * 11

    def test_what_has_left_stays_away(self):
        ends = Pins(np.array([100, 3000]), np.array([10_000_000, 30_000_000]))
        rounds = list(cma_walk.walk(area(40), FRAMES, ends))
        assert len(rounds) == 3
        assert sum(work.pages_dropped + work.pages_copied for work in rounds) == FRAMES


class TestPins:
    @pytest.mark.parametrize("grouped", [False, True])
    @pytest.mark.parametrize("count", [2, 32, 512])
    def test_there_are_as_many_as_asked_for_on_average(self, grouped, count):
        random = np.random.default_rng(3)
        drawn = [len(pins.draw(PinSetting(count, grouped), FRAMES, random).pages) for _ in range(400)]
        assert np.mean(drawn) == pytest.approx(count * FRAMES / 32768, abs=0.1)

    def test_grouped_pins_block_fewer_windows_than_scattered_ones(self):
        random, map_ = np.random.default_rng(4), area(0)

        def refused(grouped):
            drawn = (pins.draw(PinSetting(512, grouped, permanent=True), FRAMES, random) for _ in range(50))
            return sum(not list(cma_walk.walk(map_, 1024, some))[-1].met for some in drawn)

        assert refused(grouped=True) < refused(grouped=False)

    def test_a_group_lies_together_and_is_released_as_a_whole(self):
        drawn = pins.draw(PinSetting(512, grouped=True), FRAMES, np.random.default_rng(5))
        assert len(drawn.pages) == 64
        for begin in (0, 32):
            assert np.diff(drawn.pages[begin : begin + 32]).tolist() == [1] * 31
            assert len(set(drawn.until_ns[begin : begin + 32].tolist())) == 1

    def test_half_of_the_transient_ones_hold_longer_than_the_median(self):
        held = [pins.draw(PinSetting(512), FRAMES, np.random.default_rng(seed)).until_ns for seed in range(50)]
        assert (np.concatenate(held) > pins.HOLD_MEDIAN_NS).mean() == pytest.approx(0.5, abs=0.05)

    def test_every_setting_of_the_sweep_is_there_once(self):
        assert len(set(map(str, pins.settings()))) == 1 + 5 * 2 * 2
        with pytest.raises(ValueError, match="fewer than no pins"):
            PinSetting(-1)


class TestGcma:
    def test_everything_is_dropped_and_every_swap_page_was_written(self):
        elements = list(gcma.elements([30], [4 * MIB], DEVICE))
        assert [element["settings"]["drop_page_ns"] for element in elements] == [1000, 2000, 4000]
        for element in elements:
            (row,) = element["rows"]
            assert row["latency_ns"]["max"] == 1024 * element["settings"]["drop_page_ns"]
            # One call stands for all.
            assert row["latency_ns"]["p50"] == row["latency_ns"]["p999"] == row["latency_ns"]["max"]
            assert row["quantiles_carried"] == ["p50", "p99", "p999", "max"]
            assert row["failed"] == 0
            assert row["pages_dropped_per_mib"] == 256
            assert row["bytes_written_per_mib"] == 307 * 4096 / 4
            assert row["refaults_of_frontswap"] == 307
            assert row["refaults_of_frontswap_ns"] == 307 * 90_000
            assert row["refault_ns_per_mib"] == 256 * 90_000


class TestFigures:
    @pytest.mark.parametrize(
        ("count", "names"),
        [(0, []), (2, ["p50", "max"]), (100, ["p50", "p99", "max"]), (1000, ["p50", "p99", "p999", "max"])],
    )
    def test_quantiles_are_there_where_the_calls_that_got_a_range_suffice(self, count, names):
        calls = figures.Calls(0, MIB, latency_ns=list(range(1, count + 1)), failed_ns=[5] * 2000)
        row = calls.row(DEVICE)
        assert row["quantiles_carried"] == names
        assert [name for name, value in row["latency_ns"].items() if value is not None] == names
        assert row["failed_ns"]["p999"] == 5
        if count == 1000:
            assert (row["latency_ns"]["p99"], row["latency_ns"]["p999"]) == (990, 999)

    def test_at_most_two_hundred_samples_are_kept_sorted_with_both_ends(self):
        kept = figures.thinned(list(range(5000, 0, -1)))
        assert (len(kept), kept[0], kept[-1]) == (200, 1, 5000)
        assert kept == [1 + number * 4999 // 199 for number in range(200)]
        assert figures.thinned([2, 1]) == [1, 2]

    def test_an_unknown_device_gives_no_refault_time(self):
        calls = figures.Calls(0, MIB, latency_ns=[1], pages_dropped=256)
        assert calls.row(device.Device(None, 1, ""))["refault_ns_per_mib"] is None

    def test_ours_counts_what_was_aborted_or_refused_as_failed(self):
        row = {"frontswap_percent": 10, "size_bytes": MIB, "elapsed_samples_ns": [9, 5, 30]}
        row |= {"endings": {"met": 2, "refused": 1, "aborted": 1}, "bytes_written": 8192}
        row |= {"pages_dropped": 200, "pages_paged_out": 100}
        (ours,) = run.measure([], [row], REGION, np.zeros((1, 4096), np.uint8), DEVICE, seed=1)
        (figure,) = ours["rows"]
        assert figure["latency_samples_ns"] == [5, 9]
        assert (figure["calls"], figure["failed"], figure["failed_ns"]["max"]) == (4, 2, 30)
        assert figure["pages_dropped_per_mib"] == 200
        assert figure["refault_ns_per_mib"] == 300 * 90_000


class TestDevice:
    def test_an_emulated_device_and_its_preset_read_as_the_data_sheet_says(self):
        for storage in (EMULATED, "emmc5.1"):
            found = device.of_run(storage, None, None, 1)
            assert found.read_page_ns == pytest.approx(1e9 / 11_000, rel=0.001)
            assert found.write_page_ns == pytest.approx(1e9 / 13_000, rel=0.001)

    def test_a_spill_file_is_read_and_one_without_pages_tells_nothing(self, tmp_path):
        class Cost:
            byte_ps = 1000

        path = tmp_path / "spill"
        path.write_bytes(b"")
        assert device.of_run(None, str(path), Cost, 1).read_page_ns is None
        assert device.of_run("measure", str(tmp_path / "none"), Cost, 1).read_page_ns is None
        assert device.of_run(None, None, Cost, 1).write_page_ns == 4096
        with path.open("wb") as file:
            file.write(bytes(1 << 20))
            file.truncate(1 << 24)
        found = device.of_run(None, str(path), Cost, 1)
        # tmpfs may not be read past the page cache.
        assert found.read_page_ns is None or found.read_page_ns > 0
        assert ("no reads" in found.source) == (found.read_page_ns is None)


def run_cli(tmp_path, *more):
    path = tmp_path / "pages.npy"
    np.save(path, np.random.default_rng(6).integers(0, 256, (2500, 4096), dtype=np.uint8))
    arguments = ["--region", "4MiB", "--size", "1MiB,2MiB", "--ratios", "0,30", "--repeats", "1", "--storage", EMULATED]
    return main(["bench", "eviction", *arguments, "--pages", str(path), "--out", str(tmp_path / "out"), "-q", *more])


def test_the_document_holds_each_system_and_setting_with_its_card(tmp_path, capfd):
    assert run_cli(tmp_path, "--baseline", "cma,gcma", "--baseline-calls", "2", "--format", "json") == 0
    document = json.loads(capfd.readouterr().out)
    assert document["arguments"]["baselines"] == ["cma", "gcma"]
    assert document["arguments"]["baseline_calls"] == 2
    elements = document["baselines"]
    systems = [element["system"] for element in elements]
    assert {name: systems.count(name) for name in set(systems)} == {"tmemstore": 1, "gcma": 3, "cma": 63}
    assert len({(element["system"], element["setting"]) for element in elements}) == len(elements)
    for element in elements:
        assert element["card"]["models"]
        assert element["card"]["leaves_out"]
        assert element["settings"]["device"]["read_page_ns"] > 0
        cells = [(row["frontswap_percent"], row["size_bytes"]) for row in element["rows"]]
        assert cells == [(0, MIB), (0, 2 * MIB), (30, MIB), (30, 2 * MIB)]
        for row in element["rows"]:
            assert row["latency_count"] + row["failed"] == row["calls"]
            assert row["calls"] == {"cma": 2}.get(element["system"], 1)
            assert all(type(sample) is int for sample in row["latency_samples_ns"])
    table = baselines_table(document)
    assert max(len(line) for line in table.splitlines()) <= 80
    assert "\n  512 grouped permanent" in table


def test_one_baseline_alone_and_its_table_below_ours(tmp_path, capfd):
    assert run_cli(tmp_path, "--baseline", "gcma") == 0
    table = capfd.readouterr().out
    assert table.index("Predicted is") < table.index("gcma, middle cost")
    assert "cma, no pins" not in table.replace("gcma", "")


def test_without_the_option_there_is_nothing_of_it(tmp_path, capfd):
    assert run_cli(tmp_path, "--format", "json") == 0
    document = json.loads(capfd.readouterr().out)
    assert "baselines" not in document
    assert not {"baselines", "baseline_calls"} & set(document["arguments"])


def test_an_unknown_name_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as exited:
        run_cli(tmp_path, "--baseline", "cma,zswap")
    assert exited.value.code == 2
    assert "'zswap' is no baseline; choose from cma, gcma, zram" in capsys.readouterr().err
