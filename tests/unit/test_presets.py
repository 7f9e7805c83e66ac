"""Presets, and what the `storage` argument may be."""

import pytest

import tmemstore
from tmemstore.storage.choose import storage
from tmemstore.storage.presets import PRESETS, lane_of

# DESIGN.md, section 3: sequential write MB/s, random write IOPS; reads.
SHEETS = {
    "sd-a1": ((10, 500), (80, 1500)),
    "sd-a2": ((10, 2000), (80, 4000)),
    "emmc5.1": ((125, 13_000), (250, 11_000)),
    "ufs2.1": ((255, 40_000), (860, 42_000)),
    "ufs3.1": ((1200, 70_000), (2100, 100_000)),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_back_the_figures_of_its_sheet(name):
    profile = PRESETS[name]
    assert (profile.name, profile.source, profile.device) == (name, "assumed", None)
    for lane, (mb_per_s, iops) in zip((profile.write, profile.read), SHEETS[name], strict=True):
        assert lane.byte_ps == pytest.approx(10**6 / mb_per_s, rel=1e-3)
        assert lane.iops == pytest.approx(iops, rel=1e-3) or lane.request_ns == 0
        assert lane.bytes_per_s <= mb_per_s * 1.001 * 10**6
    assert profile.random_write == profile.write
    assert profile.random_read == profile.read


def test_every_sheet_is_a_preset():
    assert list(PRESETS) == list(SHEETS)


def test_the_cards_say_where_their_reads_are_from():
    for name in ("sd-a1", "sd-a2"):
        assert any("SD specification" in note and "UHS-I" in note for note in PRESETS[name].notes)


def test_a_rate_that_is_too_low_for_the_requests_leaves_them_no_time_of_their_own():
    assert lane_of(10**6, 10**6).request_ns == 0
    assert lane_of(10**6, None).request_ns == 0


class TestStorage:
    def test_a_profile_and_a_device_are_taken_as_they_are(self):
        profile = PRESETS["sd-a1"]
        device = tmemstore.EmulatedDevice(profile)
        assert storage(profile) is profile
        assert storage(device) is device

    def test_a_string_is_a_preset_an_emulated_device_or_a_file(self, tmp_path):
        path = tmp_path / "card.json"
        PRESETS["ufs2.1"].save(path)
        assert storage("sd-a2") is PRESETS["sd-a2"]
        assert storage("emulate:sd-a2") == tmemstore.EmulatedDevice(PRESETS["sd-a2"])
        assert storage(str(path)) == storage(path) == PRESETS["ufs2.1"]

    @pytest.mark.parametrize("value", ["", "emmc6", "no/such/file.json", "a\0b", "emulate"])
    def test_an_unknown_string_is_answered_with_presets_and_forms(self, value):
        with pytest.raises(ValueError, match=r"emmc5\.1.*emulate:PRESET.*fio"):
            storage(value)

    def test_a_path_that_is_not_there_is_a_profile_error(self, tmp_path):
        with pytest.raises(tmemstore.ProfileError, match="cannot be read"):
            storage(tmp_path / "card.json")

    @pytest.mark.parametrize("value", [None, 3, b"sd-a1", True])
    def test_another_type_is_refused(self, value):
        with pytest.raises(TypeError, match="StorageProfile"):
            storage(value)
