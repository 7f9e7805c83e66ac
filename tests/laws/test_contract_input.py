"""Bad input to contracts, the knob, profiles and virtual time: typed errors that say what to do."""

import contextlib
import json

import pytest

import tmemstore
from support import MODEL, noise, refuses
from tmemstore import Contract, ContractError, EnvironmentLacks, ProfileError

WRONG = (TypeError, ValueError)


def opening(region="16MiB", spill=None, **options):
    options.setdefault("storage", "emulate:emmc5.1")
    options.setdefault("virtual_time", True)
    tmemstore.open(region, spill, **options).close()


@pytest.mark.parametrize("deadline", [0, -1, "0ms", "-5ms", "0s", 2**63, 2**70, "99999999999999s"], ids=str)
def test_a_contract_s_deadline_is_positive_and_no_eternity(deadline):
    with refuses(WRONG):
        Contract("4MiB", deadline)


@pytest.mark.parametrize("deadline", ["50", "", "soon", "5 parsecs", 1.5, None, b"5ms", True], ids=repr)
def test_a_contract_s_deadline_can_be_read(deadline):
    with refuses(WRONG):
        Contract("4MiB", deadline)


@pytest.mark.parametrize("size", [0, -4096, 1, 4097, "1000", "", "lots", None, 4096.0, True, "1.5.5MiB"], ids=repr)
def test_a_contract_s_size_is_pages(size):
    with refuses(WRONG):
        Contract(size, "50ms")


@pytest.mark.parametrize("size", ["64MB", "64KB", "1GB", "64kb"])
def test_decimal_units_are_refused_with_a_hint(size):
    with refuses(ValueError, "iB"):
        Contract(size, "50ms")
    with refuses(ValueError, "iB"):
        opening(escape=size)
    with refuses(ValueError, "iB"):
        opening(spill_write_limit=size)


@pytest.mark.parametrize("confidence", [99.9, 99, 50])
def test_a_confidence_in_percent_is_refused_with_the_fraction(confidence):
    with refuses(ValueError, "fraction", f"{confidence / 100:g}"):
        Contract("4MiB", "50ms", confidence=confidence)
    with tmemstore.open("1MiB", storage=MODEL) as tm, refuses(ValueError, "fraction"):
        tm.alloc_contig("64KiB", deadline="50ms", confidence=confidence)
    with tmemstore.open("1MiB", storage=MODEL) as tm, refuses(ValueError, "fraction"):
        tm.estimate("64KiB", confidence=confidence)


@pytest.mark.parametrize(
    "confidence", [0, 1, 1.0, -0.5, 0.49, float("nan"), float("inf"), 101, "0.99", None, True], ids=repr
)
def test_a_confidence_that_is_none_is_refused(confidence):
    with refuses(WRONG):
        Contract("4MiB", "50ms", confidence=confidence)


@pytest.mark.parametrize("kind", ["firm", "", "HARD", None, 1], ids=repr)
def test_a_contract_is_soft_or_hard(kind):
    with refuses(WRONG, "soft", "hard"):
        Contract("4MiB", "50ms", kind)


@pytest.mark.parametrize("size", ["16388KiB", "32MiB", "1GiB"])
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_contract_larger_than_the_region_is_a_contract_error(size, kind):
    with refuses(ContractError, "region", "16MiB"):
        opening(contract=Contract(size, "50ms", kind), escape="1MiB")


@pytest.mark.parametrize(
    "contracts",
    [
        [Contract("4MiB", "50ms"), Contract("4MiB", "50ms", "hard")],
        [Contract("4MiB", "50ms"), Contract("4MiB", "50ms", confidence=0.9)],
        [Contract("8MiB", "10ms", "hard"), Contract("4MiB", "50ms", "hard")],
    ],
    ids=["kinds", "confidences", "implied"],
)
def test_contradicting_contracts_are_refused_or_the_stricter_one_rules(opened, contracts):
    """Typed and said plainly; if accepted, every one of them is kept in force."""
    try:
        tm = opened("16MiB", storage="emulate:emmc5.1", virtual_time=True, contract=contracts, escape="1MiB")
    except ContractError as error:
        assert "4MiB" in str(error)
    else:
        assert [state.contract for state in tm.stats().contracts] == contracts


def test_the_same_contract_twice_and_too_many_are_refused_or_kept():
    same = Contract("4MiB", "50ms")
    with contextlib.suppress(ContractError):
        opening(contract=[same, same])
    with refuses(ContractError, "8"):
        opening(contract=[Contract("2MiB", f"{deadline}ms") for deadline in range(20, 60)])


@pytest.mark.parametrize("writeback", ["back", "behind"])
def test_a_hard_contract_without_an_escape_reserve_is_refused(writeback):
    with refuses(ContractError, "escape"):
        opening(contract=Contract("4MiB", "50ms", "hard"), writeback=writeback)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_contract_that_this_device_can_never_meet_is_refused_with_the_largest_that_can(kind):
    """Nor with an empty region; in 1 us there is none that can, and it says that."""
    with refuses(ContractError, "no size can"):
        opening(contract=Contract("8MiB", "1us", kind), escape="1MiB")
    with refuses(ContractError, "largest that can", "MiB"):
        opening("64MiB", contract=Contract("64MiB", "700us", kind), escape="1MiB")


@pytest.mark.parametrize("escape", [-1, -4096, 1, 4097, "1000", "lots", None, 1.5], ids=repr)
def test_an_escape_reserve_is_pages(escape):
    with refuses(WRONG):
        opening(escape=escape)


@pytest.mark.parametrize("escape", ["1000GiB", "100000GiB", 2**50, 2**63], ids=str)
def test_an_escape_reserve_that_cannot_be_had_is_said_so(escape):
    with refuses((ContractError, EnvironmentLacks, ValueError), "escape"):
        opening(escape=escape)


@pytest.mark.parametrize("contract", ["4MiB", 5, ("4MiB", "50ms"), [None], {"size": 1}, object()], ids=repr)
def test_what_is_no_contract_is_refused(contract):
    with refuses(WRONG, "Contract"):
        opening(contract=contract)


def test_a_refused_contract_leaves_those_in_force(opened):
    contract = Contract("4MiB", "50ms")
    tm = opened("16MiB", storage="emulate:emmc5.1", virtual_time=True, contract=contract, escape="1MiB")
    for wrong in (Contract("32MiB", "50ms"), Contract("8MiB", "1us"), "4MiB", [contract, None]):
        with refuses(WRONG):
            tm.contracts = wrong
        assert tuple(tm.contracts) == (contract,)
    tm.contracts = None
    assert tuple(tm.contracts) == ()
    tm.verify()


# ---- storage, codec, writeback ----------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["emmc6", "emulate:", "emulate:floppy", "", "EMMC5.1 "], ids=repr)
def test_an_unknown_preset_is_refused_and_the_known_ones_are_named(storage):
    with refuses(ValueError, "emmc5.1", "ufs3.1"):
        opening(storage=storage)


@pytest.mark.parametrize("codec", ["lzo", "", None, 1], ids=repr)
def test_an_unknown_codec_is_refused_and_the_known_ones_are_named(codec):
    with refuses(WRONG, "lz4", "zstd", "none"):
        opening(codec=codec)


@pytest.mark.parametrize("writeback", ["sometimes", "", None, True, "Back"], ids=repr)
def test_an_unknown_writeback_is_refused_and_the_known_ones_are_named(writeback):
    with refuses(WRONG, "back", "behind", "through"):
        opening(writeback=writeback)


BROKEN = {
    "empty": "",
    "no json": "{",
    "a list": "[]",
    "an empty object": "{}",
    "a number": "5",
    "binary": "\x00\x01\x02",
    "deep": "[" * 20_000,
    "huge number": '{"schema": 1e999}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("prefix", ["", "emulate:"])
def test_a_broken_profile_is_a_profile_error_that_names_the_file(tmp_path, content, prefix):
    path = tmp_path / "card.json"
    path.write_text(content, encoding="utf-8")
    with refuses(ProfileError, "card.json"):
        opening(spill=tmp_path / "s.img", storage=f"{prefix}{path}", virtual_time=bool(prefix))


@pytest.mark.parametrize("field", range(40))
def test_a_profile_with_one_field_spoilt_is_a_profile_error_or_means_the_same(tmp_path, field):
    document = tmemstore.EmulatedDevice.parse("emmc5.1").profile.to_document()
    keys = sorted(document)
    key, wrong = keys[field % len(keys)], [None, -1, "x", [], 1e30][field % 5]
    document[key] = wrong
    path = tmp_path / "card.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    try:
        profile = tmemstore.StorageProfile.load(path)
    except ProfileError as error:
        assert "card.json" in str(error)
    else:
        assert profile.write.byte_ps > 0


def test_a_profile_from_another_device_is_a_profile_error_that_names_both(tmp_path):
    profile = tmemstore.EmulatedDevice.parse("emmc5.1").profile
    document = profile.to_document()
    document["device"] = {"path": "/mnt/elsewhere/spill.img", "model": "nowhere"}
    path = tmp_path / "elsewhere.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with refuses(ProfileError):
        opening(spill=tmp_path / "s.img", storage=str(path), virtual_time=False)


# ---- virtual time, disturbances --------------------------------------------------------------------------


def test_virtual_time_needs_an_emulated_device(tmp_path):
    for storage in (None, "emmc5.1", MODEL, "measure"):
        with refuses(ValueError, "emulate"):
            opening(spill=tmp_path / "s.img", storage=storage)


def test_real_time_cannot_be_advanced(opened):
    for tm in (opened("1MiB"), opened("1MiB", spill=True), opened("1MiB", storage="emulate:emmc5.1")):
        with refuses(ValueError, "virtual"):
            tm.advance("1ms")


def test_a_real_device_cannot_be_disturbed(opened):
    for tm in (opened("1MiB"), opened("1MiB", spill=True)):
        with refuses(ValueError, "emulate"):
            tm.disturb_device(duration="1ms")


@pytest.mark.parametrize("time", [-1, "-1ms", "soon", "5", 1.5, None, 2**64, True], ids=repr)
def test_a_time_to_advance_that_is_none_is_refused(opened, time):
    tm = opened("1MiB", storage="emulate:emmc5.1", virtual_time=True)
    before = tm.now_ns
    with refuses(WRONG):
        tm.advance(time)
    assert tm.now_ns == before


@pytest.mark.parametrize(
    "options",
    [
        {"duration": 0},
        {"duration": "-1s"},
        {"duration": "1s", "slow": 0.5},
        {"duration": "1s", "slow": 0},
        {"duration": "1s", "slow": -3},
        {"duration": "1s", "slow": float("nan")},
        {"duration": "1s", "slow": float("inf")},
        {"duration": "1s", "slow": "10"},
        {"duration": "1s", "after": -1},
        {"duration": 2**64},
    ],
    ids=str,
)
def test_a_disturbance_that_is_none_is_refused(opened, options):
    tm = opened("1MiB", storage="emulate:emmc5.1", virtual_time=True)
    with refuses(WRONG):
        tm.disturb_device(**options)


# ---- the knob, the budget ---------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [-1, 101, 1000, 30.5, "30", "", "all", None, True, float("nan"), 2**70], ids=repr)
def test_a_share_that_is_none_is_refused(opened, percent):
    tm = opened("1MiB", storage="emulate:emmc5.1", virtual_time=True, frontswap_max_percent=50)
    with refuses(WRONG, "frontswap_max_percent"):
        tm.frontswap_max_percent = percent
    assert tm.frontswap_max_percent == 50
    assert tm.frontswap(0).store(1, noise(1))
    with refuses(WRONG, "frontswap_max_percent"):
        opening(frontswap_max_percent=percent)


@pytest.mark.parametrize("limit", [-1, "lots", 1.5, "-1MiB"], ids=repr)
def test_a_write_budget_that_is_none_is_refused(limit):
    with refuses(WRONG):
        opening(spill_write_limit=limit)


@pytest.mark.parametrize("slack", [-1, "-1ms", "soon", 1.5, None], ids=repr)
def test_an_interpreter_slack_that_is_none_is_refused(opened, slack):
    tm = opened("1MiB", storage="emulate:emmc5.1", virtual_time=True)
    with refuses(WRONG):
        tm.alloc_contig("64KiB", deadline="10ms", interpreter_slack=slack)


def test_a_slack_beyond_the_deadline_is_said_so(opened):
    tm = opened("1MiB", storage="emulate:emmc5.1", virtual_time=True)
    with refuses((ValueError, tmemstore.AllocationRefused)):
        tm.alloc_contig("64KiB", deadline="10ms", interpreter_slack="20ms")
    assert tm.frame_counts().allocated == 0


@pytest.mark.parametrize("deadline", [-1, "-5ms", "soon", 1.5], ids=repr)
def test_an_estimate_takes_the_same_arguments(opened, deadline):
    tm = opened("1MiB", storage="emulate:emmc5.1", virtual_time=True)
    with refuses(WRONG):
        tm.estimate("64KiB", deadline=deadline)
    for size in (0, -4096, "64KB", "2MiB", 4097):
        with refuses(ValueError):
            tm.estimate(size)
    with refuses(WRONG):
        tm.estimate("64KiB", effort=7)
    with refuses(WRONG):
        tm.estimate("64KiB", start_pfn=255)
