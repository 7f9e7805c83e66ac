"""Storage profiles: what they say about requests, and that a broken file is named with the field that is wrong."""

import copy
import json
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tmemstore
from tmemstore.mounts import mount_of
from tmemstore.quantiles import nearest_rank
from tmemstore.storage.identity import DeviceId, device_of
from tmemstore.storage.presets import PRESETS
from tmemstore.storage.profile import CpuProfile, Lane, StorageProfile
from tmemstore.storage.sample import thinned

WHOLE = st.integers(0, 2**48 - 1)
SAMPLES = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50).map(lambda values: tuple(sorted(values)))
LANES = st.builds(Lane, WHOLE, WHOLE, SAMPLES)
PERMILLE = st.integers(0, 2**32 - 1)
CPUS = st.builds(CpuProfile, *[WHOLE] * 7, PERMILLE, WHOLE, PERMILLE, WHOLE, WHOLE, SAMPLES)
DEVICES = st.builds(DeviceId, st.text(), st.text(), st.integers(0, 2**63 - 1), st.sampled_from(["file", "block"]))
PROFILES = st.builds(
    StorageProfile,
    name=st.text(),
    source=st.sampled_from(["measured", "assumed"]),
    write=LANES,
    read=LANES,
    random_write=LANES,
    random_read=LANES,
    sync_ns=st.none() | st.tuples(WHOLE, WHOLE).map(lambda pair: tuple(sorted(pair))),
    cpu=st.none() | CPUS,
    device=st.none() | DEVICES,
    notes=st.lists(st.text(), max_size=3).map(tuple),
)

WHOLE_PROFILE = StorageProfile(
    name="a card",
    source="measured",
    write=Lane(100_000, 50_000, (900, 1000, 4000)),
    read=Lane(90_000, 12_000),
    random_write=Lane(200_000, 60_000),
    random_read=Lane(95_000, 12_000),
    sync_ns=(1_000_000, 9_000_000),
    cpu=CpuProfile(800, 2, 4, 30, 100, 60, 4_000, 400, 12_000, 850, 650, 30, (900, 1000, 1200)),
    device=DeviceId("ext4", "/dev/mmcblk1p3", 64 << 30, "file"),
    notes=("measured in a test",),
)


def places(value, at=()):
    """Every field and every element below a value, as the keys that lead to it."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*at, key))


def dotted(place):
    return re.sub(r"\.\[", "[", ".".join(f"[{key}]" if isinstance(key, int) else key for key in place))


DOCUMENT = WHOLE_PROFILE.to_document()
PLACES = list(places(DOCUMENT))
FIELDS = [place for place in PLACES if isinstance(place[-1], str)]


def changed(place, change):
    document = copy.deepcopy(DOCUMENT)
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    change(holder, place[-1])
    return document


def refused(tmp_path, content):
    path = tmp_path / "card.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(tmemstore.ProfileError) as caught:
        StorageProfile.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


class TestLane:
    def test_a_request_takes_its_own_time_and_that_of_its_bytes(self):
        lane = Lane(request_ns=10_000, byte_ps=2_000)
        assert lane.request_time_ns(4096) == 10_000 + 8192
        assert lane.iops == round(10**9 / 18_192)
        assert lane.bytes_per_s == round((512 << 10) * 10**9 / (10_000 + 1_048_576))

    def test_quantiles_are_nearest_rank(self):
        lane = Lane(1000, 0, (500, 1000, 1000, 8000))
        assert [lane.quantile_permille(q) for q in (0, 0.25, 0.5, 0.76, 1)] == [500, 500, 1000, 8000, 8000]
        assert lane.quantile_ns(0, 1.0) == 8000

    @pytest.mark.parametrize("q", [-0.1, 1.1, 99, float("nan")])
    def test_a_quantile_that_is_no_fraction_is_refused_with_a_hint(self, q):
        with pytest.raises(ValueError, match=r"0\.99 for 99 percent"):
            Lane(1, 1).quantile_permille(q)

    @pytest.mark.parametrize(
        ("arguments", "error", "name"),
        [
            ((-1, 0), ValueError, "request_ns"),
            ((0, -1), ValueError, "byte_ps"),
            ((0, 2**48), ValueError, "byte_ps"),
            ((1.5, 0), TypeError, "request_ns"),
            ((True, 0), TypeError, "request_ns"),
            ((0, 0, ()), ValueError, "spread_permille"),
            ((0, 0, (2, 1)), ValueError, "sorted"),
            ((0, 0, [1]), TypeError, "spread_permille"),
            ((0, 0, (1,) * 2049), ValueError, "2048"),
            ((0, 0, (False,)), TypeError, "spread_permille"),
        ],
    )
    def test_what_is_no_lane_is_refused(self, arguments, error, name):
        with pytest.raises(error, match=name):
            Lane(*arguments)


class TestSample:
    @given(st.lists(st.integers(0, 10**6), min_size=1, max_size=400), st.integers(1, 50), st.floats(0, 1))
    def test_thinning_never_lowers_a_quantile_and_keeps_the_largest(self, values, at_most, q):
        kept = thinned(values, at_most)
        assert len(kept) == min(len(values), at_most)
        assert kept[-1] == max(values)
        assert set(kept) <= set(values)
        assert nearest_rank(kept, q) >= nearest_rank(sorted(values), q)

    def test_thinning_keeps_p999_true(self):
        values = list(range(100_000))
        assert nearest_rank(thinned(values), 0.999) == pytest.approx(nearest_rank(values, 0.999), rel=1e-3)


class TestDocument:
    @given(PROFILES)
    @settings(max_examples=50)
    def test_a_document_reads_back(self, profile):
        text = json.dumps(profile.to_document(), allow_nan=False)
        assert StorageProfile.from_document(json.loads(text)) == profile

    def test_a_saved_profile_loads(self, tmp_path):
        path = tmp_path / "card.json"
        WHOLE_PROFILE.save(path)
        assert StorageProfile.load(path) == WHOLE_PROFILE
        assert StorageProfile.load(str(path)) == WHOLE_PROFILE

    def test_fields_of_others_are_passed_over(self):
        assert StorageProfile.from_document(DOCUMENT | {"machine": {"cores": 2}}) == WHOLE_PROFILE

    def test_the_quantiles_of_both_sizes_stand_in_the_document(self):
        small, large = DOCUMENT["lanes"]["write"]["requests"]
        assert small == {"bytes": 4096, "p50_ns": 304_800, "p99_ns": 1_219_200, "p999_ns": 1_219_200}
        assert large["bytes"] == 512 << 10
        assert large["p99_ns"] == 4 * large["p50_ns"]

    def test_no_float_stands_in_a_document(self):
        assert "." not in re.sub(r'"[^"]*"', "", json.dumps(DOCUMENT))


class TestBrokenFiles:
    @pytest.mark.parametrize("place", FIELDS, ids=dotted)
    def test_a_field_that_is_missing_is_named(self, tmp_path, place):
        told = refused(tmp_path, changed(place, lambda holder, key: holder.pop(key)))
        assert f" {dotted(place)} is missing; it must be " in told

    @pytest.mark.parametrize("place", PLACES, ids=dotted)
    def test_a_field_of_another_type_is_named(self, place):
        for wrong in ([], {}, "x", 1.5, 1e300, True, None, -1, 10**5000, {"p50_ns": 1}, ["x"], [[]], [1, 0]):
            document = changed(place, lambda holder, key, wrong=wrong: holder.__setitem__(key, wrong))
            try:
                found = StorageProfile.from_document(document, where="card.json")
            except tmemstore.ProfileError as error:
                told = str(error)[:400]
                assert told.startswith("card.json: "), told
                assert dotted(place) in told, told
            else:
                # Only what may be anything of that type, or nothing, is taken.
                assert wrong in ("x", None, []) or wrong == ["x"], (place, wrong, found)

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "no JSON"),
            (b"{", "no JSON"),
            (b"\xff\xfe", "no JSON"),
            (b"\x80\x04K*.", "no JSON"),
            (b"[" * 100_000, "no JSON"),
            (b'{"schema": NaN}', "NaN"),
            (b'{"schema": -Infinity}', "Infinity"),
            (b"[]", "must be an object"),
            (b"3", "must be an object"),
            (b"null", "must be an object"),
            (b'{"schema": "tmemstore.doctor/1"}', "tmemstore.profile/1"),
            (b'{"schema": "tmemstore.profile/2"}', "tmemstore.profile/1"),
            (b'{"schema": "tmemstore.profile/1", "lanes": 1}', "lanes must be an object"),
        ],
    )
    def test_what_is_no_profile_is_refused(self, tmp_path, content, told):
        assert told in refused(tmp_path, content)

    def test_a_file_over_16_mib_is_refused_before_it_is_parsed(self, tmp_path):
        assert "larger than 16MiB" in refused(tmp_path, b" " * ((16 << 20) + 1))

    def test_what_cannot_be_read_is_named(self, tmp_path):
        for path in (tmp_path / "missing.json", tmp_path, "/dev/zero"):
            with pytest.raises(tmemstore.ProfileError, match=re.escape(str(path))):
                StorageProfile.load(path)
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(tmemstore.ProfileError, match="no regular file"):
            StorageProfile.load(tmp_path / "fifo")


class TestDevice:
    def test_a_profile_of_this_device_passes_and_of_another_names_both(self, tmp_path):
        here = device_of(tmp_path / "not" / "there" / "spill.img")
        assert here == device_of(tmp_path)
        assert here.size_bytes > 0
        assert (here.filesystem, here.device) == mount_of(tmp_path)
        fields = {name: getattr(PRESETS["ufs3.1"], name) for name in ("write", "read", "random_write", "random_read")}
        StorageProfile("here", "measured", **fields, device=here).check_device(tmp_path / "spill.img")
        with pytest.raises(tmemstore.ProfileError) as caught:
            WHOLE_PROFILE.check_device(tmp_path / "spill.img")
        assert str(here) in str(caught.value)
        assert "ext4 on /dev/mmcblk1p3 (64GiB)" in str(caught.value)

    def test_a_preset_knows_no_device(self, tmp_path):
        PRESETS["emmc5.1"].check_device(tmp_path)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (("ext4", "/dev/a", -1, "file"), ValueError),
            (("ext4", "/dev/a", 1, "tape"), ValueError),
            ((None, "/dev/a", 1, "file"), TypeError),
        ],
    )
    def test_what_is_no_device_is_refused(self, arguments, error):
        with pytest.raises(error):
            DeviceId(*arguments)


@pytest.mark.parametrize(
    ("change", "error"),
    [({"source": "guessed"}, ValueError), ({"read": None}, TypeError), ({"sync_ns": (2, 1)}, ValueError)],
)
def test_what_is_no_profile_is_refused(change, error):
    values = {name: getattr(WHOLE_PROFILE, name) for name in WHOLE_PROFILE.__slots__}
    with pytest.raises(error):
        StorageProfile(**values | change)
