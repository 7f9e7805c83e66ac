"""The laws of the knob: frontswap's share of each chunk, as large as was asked for and no larger."""

import random
import re

import pytest

from support import PAGE, assert_all_back, mixed, noise, places, store_until_refused, text, whole
from tmemstore import Contract, ContractError, Effort, Place

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])


def emulated(opened, region="8MiB", device="emmc5.1", **options):
    options.setdefault("writeback", "back")
    tm = opened(region, storage=f"emulate:{device}", virtual_time=True, **options)
    tm.advance("1s")
    return tm


def shares_within(tm, percent):
    """The law: of each chunk's frames no more than that share holds frontswap data."""
    frames = tm.region.frames
    for chunk, row in enumerate(tm.chunks()):
        of_chunk = min(512, frames - 512 * chunk)
        assert int(row["frames_frontswap"]) <= of_chunk * percent / 100, f"chunk {chunk}: {row} at {percent} %"


def patiently(tm, percent):
    """Let the background have ten seconds, as a program would see them, then the law must hold."""
    for _ in range(200):
        tm.advance("50ms")
    shares_within(tm, percent)


@CODECS
@pytest.mark.parametrize("make", [noise, text])
def test_lowering_pages_out_what_is_too_much_and_no_more(opened, codec, make):
    tm = emulated(opened, codec=codec)
    swap = tm.frontswap(0)
    pages = store_until_refused(swap, make)
    tm.frontswap_max_percent = 60
    patiently(tm, 60)
    for chunk, row in enumerate(tm.chunks()):
        assert int(row["frames_frontswap"]) >= 512 * 0.6 - 70, f"chunk {chunk} is emptied beyond its share: {row}"
    assert_all_back(swap, pages)


@CODECS
def test_one_long_advance_is_as_good_as_many_short_ones(opened, codec):
    kept = []
    for steps, step in ((1, "4s"), (400, "10ms")):
        tm = emulated(opened, codec=codec)
        swap = tm.frontswap(0)
        store_until_refused(swap)
        tm.frontswap_max_percent = 20
        for _ in range(steps):
            tm.advance(step)
        kept.append(tm.stats().frames_frontswap)
        shares_within(tm, 20)
    assert abs(kept[0] - kept[1]) <= 64, kept


@CODECS
@pytest.mark.parametrize("percent", [0, 1, 7, 30, 50, 99, 100])
@pytest.mark.parametrize("region", ["8MiB", "1MiB", 2600 * PAGE])
def test_no_chunk_holds_more_than_its_share(opened, codec, percent, region):
    tm = emulated(opened, region, codec=codec, frontswap_max_percent=percent)
    assert tm.frontswap_max_percent == percent
    swap = tm.frontswap(0)
    pages = {} if percent == 0 and not swap.store(0, noise(0)) else store_until_refused(swap)
    shares_within(tm, percent)
    stats = tm.stats()
    assert stats.frames_frontswap >= int(tm.region.frames * percent / 100) - len(tm.chunks()), "a share not used"
    assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("seed", range(2))
def test_no_chunk_ever_holds_more_in_a_random_history(opened, codec, seed):
    rng = random.Random(f"{codec} {seed}")
    tm = emulated(opened, codec=codec, escape="512KiB", writeback=rng.choice(["back", "behind"]))
    swap, fs, pages, percent = tm.frontswap(0), tm.cleancache("rootfs"), {}, 100
    for _ in range(60):
        step = rng.randrange(6)
        if step < 2:
            for offset in rng.sample(range(3000), 300):
                pages[offset] = mixed(rng.randrange(5000))
                if not swap.store(offset, pages[offset]):
                    del pages[offset]
        elif step == 2:
            for index in range(400):
                fs.put_page(1, index, noise(index))
        elif step == 3:
            percent = rng.choice([5, 20, 40, 60, 100])
            tm.frontswap_max_percent = percent
            patiently(tm, percent)
        elif step == 4:
            tm.alloc_contig(rng.choice(["1MiB", "2MiB", "4MiB"])).release()
        else:
            tm.advance("5ms")
        shares_within(tm, percent)
    tm.verify()
    assert_all_back(swap, pages)


@CODECS
@pytest.mark.parametrize("make", [noise, text, mixed])
def test_lowering_moves_pages_out_in_the_background(opened, codec, make):
    tm = emulated(opened, codec=codec)
    swap = tm.frontswap(0)
    pages = {offset: make(offset) for offset in range(2048)}
    for offset, page in pages.items():
        assert swap.store(offset, page)
    before = tm.stats().frames_frontswap
    assert str(tm.ratio) == "0:100"
    for percent in (60, 10, 1):
        tm.frontswap_max_percent = percent
        assert str(tm.ratio) == f"{100 - percent}:{percent}"
        assert_all_back(swap, pages)
        patiently(tm, percent)
        tm.verify()
        assert_all_back(swap, pages)
    assert tm.stats().frames_frontswap < before
    out = [place for place in places(swap, pages) if place == Place.SPILL]
    assert out
    moved = tm.stats().written_by_cause["trim"]
    assert moved > 0
    tm.frontswap_max_percent = 100
    assert str(tm.ratio) == "0:100"
    assert_all_back(swap, pages)


@CODECS
def test_lowering_with_a_dead_device_loses_nothing(opened, codec):
    tm = emulated(opened, codec=codec)
    swap = tm.frontswap(0)
    pages = store_until_refused(swap)
    tm.disturb_device(duration="2s")
    tm.frontswap_max_percent = 10
    tm.advance("1s")
    tm.verify()
    assert not swap.store(10**6, noise(1)), "no more comes in"
    for offset in pages:
        assert places(swap, [offset]) != [0]
    patiently(tm, 10)
    assert_all_back(swap, pages)


@CODECS
def test_what_is_brought_back_and_stored_again_keeps_to_the_share(opened, codec):
    tm = emulated(opened, codec=codec, frontswap_max_percent=25)
    swap = tm.frontswap(0)
    pages = store_until_refused(swap)
    for _ in range(3):
        tm.alloc_contig(whole(tm)).release()
        assert_all_back(swap, pages)
        for offset, page in pages.items():
            assert swap.store(offset, page)
        shares_within(tm, 25)


def test_auto_without_a_contract_is_everything(opened):
    tm = emulated(opened)
    assert tm.frontswap_max_percent == "auto"
    assert str(tm.ratio) == "0:100"
    tm.frontswap_max_percent = 30
    assert str(tm.ratio) == "70:30"
    tm.frontswap_max_percent = "auto"
    assert (tm.frontswap_max_percent, str(tm.ratio)) == ("auto", "0:100")


CONTRACTS = [
    ({"contract": Contract("4MiB", "10ms"), "escape": "256KiB", "codec": "none"}, "soft"),
    ({"contract": Contract("4MiB", "20ms"), "escape": 0, "codec": "none"}, "soft, no reserve"),
    ({"contract": Contract("4MiB", "10ms", "hard"), "escape": "512KiB", "codec": "lz4"}, "hard"),
    ({"contract": Contract("8MiB", "20ms", "hard"), "escape": "1MiB", "codec": "none"}, "hard, whole region"),
]


@pytest.mark.parametrize("options", [row[0] for row in CONTRACTS], ids=[row[1] for row in CONTRACTS])
def test_what_cannot_be_honoured_is_refused_with_the_largest_that_could(opened, options):
    tm = emulated(opened, **options)
    assert tm.ratio.frontswap < 100, "a contract that binds"
    with pytest.raises(ContractError, match="largest") as caught:
        tm.frontswap_max_percent = 100
    assert tm.frontswap_max_percent == "auto", "a refused value changed something"
    largest = int(re.search(r"the largest that can is (\d+)", str(caught.value))[1])
    tm.frontswap_max_percent = largest
    assert str(tm.ratio) == f"{100 - largest}:{largest}"
    with pytest.raises(ContractError):
        tm.frontswap_max_percent = largest + 1
    assert tm.frontswap_max_percent == largest
    swap, pages = tm.frontswap(0), {}
    for offset in range(2048):
        page = noise(offset)
        if swap.store(offset, page):
            pages[offset] = page
    shares_within(tm, largest)
    held = tm.stats().frames_frontswap / tm.region.frames
    assert held >= 0.8 * (largest - 1) / 100, f"{largest} % accepted, {100 * held:.1f} % could be stored"
    contract = tm.contracts[0]
    contig = tm.alloc_contig(contract.size, deadline=contract.deadline, effort=Effort.PAGE_OUT)
    contig.release()
    assert_all_back(swap, pages)


def test_at_open_a_share_that_cannot_be_honoured_is_refused_too(opened):
    with pytest.raises(ContractError, match="largest that can is"):
        emulated(opened, contract=Contract("4MiB", "10ms"), escape="256KiB", frontswap_max_percent=100, codec="none")


def test_a_contract_that_the_knob_in_force_forbids_is_refused_or_narrows_it(opened):
    """Whichever is set last must not silently break the other."""
    tm = emulated(opened, frontswap_max_percent=100, codec="none", escape="256KiB")
    try:
        tm.contracts = Contract("4MiB", "10ms")
    except ContractError:
        assert tm.contracts == ()
        assert str(tm.ratio) == "0:100"
    else:
        assert tm.ratio.frontswap < 100
