"""The laws of the estimate: it touches nothing, and the allocation that follows does what it said."""

import dataclasses

import pytest

from support import assert_all_back, clean_survivors, mixed, noise, scribble, text, try_alloc, whole
from tmemstore import Contract, Effort, Ending

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
DEVICES = pytest.mark.parametrize("device", ["sd-a2", "emmc5.1", "ufs2.1", "ufs3.1", "write=40MB/s,write_iops=2000"])
SLACK_NS = 30_000


def emulated(opened, region="8MiB", device="emmc5.1", **options):
    options.setdefault("writeback", "back")
    tm = opened(region, storage=f"emulate:{device}", virtual_time=True, **options)
    tm.advance("5s")
    return tm


def lend(tm, share, make=noise):
    """Both kinds in every chunk, all frames in use; (swap, pages, fs, clean)."""
    swap, fs, pages, clean = tm.frontswap(0), tm.cleancache("rootfs"), {}, {}
    for number in range(tm.region.frames):
        if number * share % 1 < share:
            pages[number] = make(number)
            assert swap.store(number, pages[number])
        else:
            clean[number] = noise(number)
            assert fs.put_page(1, number, clean[number])
    return swap, pages, fs, clean


@CODECS
@pytest.mark.parametrize("effort", Effort)
@pytest.mark.parametrize("make", [noise, mixed])
def test_an_estimate_touches_nothing(opened, codec, effort, make):
    tm = emulated(opened, escape="512KiB", codec=codec)
    swap, pages, fs, clean = lend(tm, 0.4, make)
    before, chunks, at = dataclasses.asdict(tm.stats()), tm.chunks().tobytes(), tm.now_ns
    for options in ({}, {"start_pfn": 512}, {"deadline": "1us"}, {"zero": True}, {"align": "2MiB", "confidence": 0.99}):
        for size in ("4KiB", "2MiB", "3MiB", whole(tm)):
            if "start_pfn" not in options or size != whole(tm):
                tm.estimate(size, effort=effort, **options)
    assert dataclasses.asdict(tm.stats()) == before
    assert (tm.chunks().tobytes(), tm.now_ns) == (chunks, at)
    tm.verify()
    assert_all_back(swap, pages)
    assert clean_survivors(fs, 1, clean) == len(clean)


@CODECS
@pytest.mark.parametrize("effort", Effort)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_p50_p99_and_bound_are_in_order(opened, codec, effort, share):
    tm = emulated(opened, device="emmc5.1,sigma=0.3", escape="512KiB", codec=codec)
    lend(tm, share)
    for size in ("4KiB", "1MiB", "4MiB"):
        bounds = []
        for confidence in (0.99, 0.999, 0.9999):
            estimate = tm.estimate(size, effort=effort, confidence=confidence)
            if estimate.window is not None:
                assert 0 < estimate.p50_ns <= estimate.p99_ns <= estimate.bound_ns
                bounds.append(estimate.bound_ns)
        assert bounds == sorted(bounds)


@DEVICES
@CODECS
@pytest.mark.parametrize("make", [noise, mixed])
def test_a_steady_device_takes_the_time_that_was_estimated(opened, device, codec, make):
    """In virtual time, with no contract and no reserve: elapsed is p50 within 5 %, and within the bound."""
    tm = emulated(opened, device=device, codec=codec)
    swap, pages, _, _ = lend(tm, 1.0 if make is noise else 0.5, make)
    for size in ("2MiB", "1MiB", "4MiB", "256KiB"):
        estimate = tm.estimate(size)
        contig, report = try_alloc(tm, size)
        assert report.ending == Ending.MET
        assert (report.predicted_ns, report.bound_ns) == (estimate.p50_ns, estimate.bound_ns)
        assert abs(report.elapsed_ns - estimate.p50_ns) <= 0.05 * estimate.p50_ns + SLACK_NS, (estimate, report)
        assert report.elapsed_ns <= estimate.bound_ns, (estimate, report)
        contig.release()
        tm.advance("10s")
        for offset, page in pages.items():
            assert swap.store(offset, page)
    assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("effort", [Effort.DROP, Effort.MIGRATE, Effort.COMPRESS, Effort.PAGE_OUT])
@pytest.mark.parametrize("escape", [0, "512KiB"])
def test_the_allocation_takes_the_window_and_the_routes_of_the_estimate(opened, codec, share, effort, escape):
    tm = emulated(opened, escape=escape, codec=codec)
    swap, pages, _, _ = lend(tm, share)
    for size in ("2MiB", "1MiB", "3MiB"):
        estimate = tm.estimate(size, effort=effort)
        contig, report = try_alloc(tm, size, effort=effort)
        assert estimate.feasible == (contig is not None), (estimate, report)
        assert estimate.reason == report.reason
        if contig is None:
            continue
        assert report.window.start_pfn == estimate.window.start_pfn
        did = {
            "drop": report.pages_dropped,
            "migrate": report.migrated_inside + report.migrated_reserve,
            "page_out": report.paged_out,
        }
        for route, count in did.items():
            assert abs(count - estimate.by_route[route]) <= 2 + count * 0.05, (estimate, report)
        scribble(contig)
        contig.release()
    assert_all_back(swap, pages)


@CODECS
def test_feasible_and_the_reason_say_what_would_happen(opened, codec):
    tm = emulated(opened, "4MiB", codec=codec)
    lend(tm, 1.0)
    asked = {
        "effort": {"effort": Effort.MIGRATE},
        "deadline": {"deadline": "100us"},
        "none": {"deadline": "10s"},
    }
    for reason, options in asked.items():
        estimate = tm.estimate("2MiB", **options)
        assert (estimate.feasible, estimate.reason) == (reason == "none", reason)
        contig, report = try_alloc(tm, "2MiB", **options)
        assert report.reason == reason
        if contig is not None:
            contig.release()
    with tm.alloc_contig("2MiB"):
        estimate = tm.estimate("4MiB")
        assert (estimate.feasible, estimate.reason, estimate.window) == (False, "no-window", None)
        assert try_alloc(tm, "4MiB")[1].reason == "no-window"


def test_the_bound_grows_with_what_is_in_the_way(opened):
    tm = emulated(opened, codec="none")
    swap, bounds = tm.frontswap(0), []
    for offset in range(2048):
        if offset % 256 == 0:
            bounds.append(tm.estimate(whole(tm)).bound_ns)
        assert swap.store(offset, noise(offset))
    assert bounds == sorted(bounds)
    assert bounds[-1] > 100 * bounds[0]


@CODECS
def test_coverage_is_counted(opened, codec):
    tm = emulated(opened, device="emmc5.1,sigma=0.2", codec=codec)
    swap, pages, _, _ = lend(tm, 0.5, lambda seed: (noise, text)[seed % 2](seed))
    reports = []
    for _ in range(30):
        with tm.alloc_contig("1MiB") as contig:
            reports.append(contig.report)
        for offset, page in pages.items():
            swap.store(offset, page)
        tm.advance("100ms")
    stats = tm.stats()
    assert stats.allocs_run == 30
    assert stats.allocs_within_p50 == sum(report.elapsed_ns <= report.predicted_ns for report in reports)
    assert stats.allocs_within_p99 == sum(report.elapsed_ns <= report.window.p99_ns for report in reports)
    assert stats.allocs_within_bound == sum(report.elapsed_ns <= report.bound_ns for report in reports)
    assert stats.allocs_within_bound >= stats.allocs_within_p99 >= stats.allocs_within_p50


def test_the_estimate_of_a_covered_allocation_uses_the_contract_s_confidence(opened):
    contract = Contract("2MiB", "50ms", confidence=0.9)
    tm = emulated(opened, device="emmc5.1,sigma=0.5", contract=contract, codec="lz4", escape="256KiB")
    swap = tm.frontswap(0)
    for offset in range(2000):
        swap.store(offset, noise(offset))
    plain = tm.estimate("2MiB", deadline="50ms").bound_ns
    assert plain == tm.estimate("2MiB", deadline="50ms", confidence=0.9).bound_ns
    assert plain <= tm.estimate("2MiB", deadline="50ms", confidence=0.9999).bound_ns
