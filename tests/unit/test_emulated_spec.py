"""What stands after "emulate:", and what an emulated device may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmemstore import EmulatedDevice, Episode, ProfileError
from tmemstore.storage.presets import PRESETS

S = 10**9


def test_a_preset_alone_is_a_steady_device():
    device = EmulatedDevice.parse("emmc5.1")
    assert device == EmulatedDevice(PRESETS["emmc5.1"], seed=1, sigma_permille=0, pause_every_bytes=0, pause_ns=0)
    assert device.episodes == ()


def test_every_part_is_taken():
    text = "emmc5.1, sigma=0.1, pause_every=64MiB,pause=20ms,seed=7,slow=10@2s+3s,stall=5s+500ms,slow=1.5@0s+1ms"
    assert EmulatedDevice.parse(text) == EmulatedDevice(
        PRESETS["emmc5.1"],
        seed=7,
        sigma_permille=100,
        pause_every_bytes=64 << 20,
        pause_ns=20_000_000,
        episodes=(
            Episode(2 * S, 3 * S, 10_000),
            Episode(5 * S, S // 2, 0),
            Episode(0, 1_000_000, 1500),
        ),
    )


@pytest.mark.parametrize("text", [None, 5, b"emmc5.1", ["emmc5.1"]])
def test_what_is_no_text_is_a_type_error(text):
    with pytest.raises(TypeError, match="string"):
        EmulatedDevice.parse(text)


def test_the_path_of_a_profile_stands_for_a_preset(tmp_path):
    path = tmp_path / "card.json"
    PRESETS["sd-a1"].save(path)
    assert EmulatedDevice.parse(f"{path},seed=3") == EmulatedDevice(PRESETS["sd-a1"], seed=3)


def test_a_broken_profile_is_a_profile_error(tmp_path):
    path = tmp_path / "card.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ProfileError, match="schema"):
        EmulatedDevice.parse(str(path))


class TestFiguresOfOnesOwn:
    def test_rates_and_requests(self):
        profile = EmulatedDevice.parse("write=40MB/s,write_iops=2000,read=80MiB/s,read_iops=4000").profile
        assert profile.write.byte_ps == 25_000
        assert profile.write.request_time_ns(4096) == 500_000
        assert profile.read.byte_ps == round(10**12 / (80 << 20))
        assert profile.read.iops == 4000
        assert profile.source == "assumed"

    def test_reads_are_like_writes_unless_they_are_given(self):
        alone = EmulatedDevice.parse("write=40MB/s").profile
        assert alone.read == alone.write
        assert alone.write.request_ns == 0
        assert any("reads were not given" in note for note in alone.notes)

    @pytest.mark.parametrize(("text", "byte_ps"), [("1GB/s", 1000), ("1.5 MB/s", 666_667), ("500kB/s", 2_000_000)])
    def test_rates_are_in_powers_of_1000(self, text, byte_ps):
        assert EmulatedDevice.parse(f"write={text}").profile.write.byte_ps == byte_ps


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "name a preset"),
        ("emmc6", "'emmc6' is neither"),
        ("no/such.json,seed=1", "'no/such.json' is neither"),
        ("emmc5.1,", "''"),
        ("emmc5.1,sigma", "'sigma'"),
        ("emmc5.1,sigma=lots", "'sigma=lots': sigma is a number"),
        ("emmc5.1,sigma=3.5", "from 0 to 3"),
        ("emmc5.1,sigma=-1", "from 0 to 3"),
        ("emmc5.1,sigma=" + "9" * 400, "from 0 to 3"),
        ("emmc5.1,pause_every=1MiB,pause=" + "9" * 400 + "s", "is no time"),
        ("emmc5.1,stall=1s+" + "9" * 400 + "s", "is no time"),
        ("emmc5.1,stall=99999999s+1s", "the start must be"),
        ("emmc5.1,colour=red", "'colour' is none of sigma"),
        ("emmc5.1,seed=-1", "a seed is a whole number"),
        ("emmc5.1,seed=18446744073709551616", "a seed is a whole number"),
        ("emmc5.1,seed=" + "9" * 5000, "a seed is a whole number"),
        ("emmc5.1,seed=1,seed=2", "'seed=2': it stands there twice"),
        ("emmc5.1,pause=20ms", "pauses need both"),
        ("emmc5.1,pause_every=1MiB", "pauses need both"),
        ("emmc5.1,pause_every=64MB,pause=20ms", "may mean two things"),
        ("emmc5.1,pause_every=0,pause=20ms", "more than nothing"),
        ("emmc5.1,pause_every=1MiB,pause=20", "is no time"),
        ("emmc5.1,slow=10@2s", "slow=10@2s+3s"),
        ("emmc5.1,slow=2s+3s", "slow=10@2s+3s"),
        ("emmc5.1,slow=0.5@2s+3s", "the factor is from 1"),
        ("emmc5.1,slow=x@2s+3s", "'x' is no number"),
        ("emmc5.1,slow=10@2s+0s", "'slow=10@2s+0s': the length must be positive"),
        ("emmc5.1,pause_every=1G,pause=500000s", "pause must be a whole number"),
        ("emmc5.1,pause_every=1048576G,pause=1ms", "pause_every must be a whole number"),
        ("emmc5.1,stall=10@2s+3s", "stall=5s+500ms"),
        ("emmc5.1,stall=5s+", "stall=5s+500ms"),
        ("emmc5.1,stall=5+5s", "is no time"),
        ("emmc5.1," + ",".join(["stall=1s+1s"] * 17), "at most 16 episodes"),
        ("emmc5.1,write=40MB/s", "stand without a preset"),
        ("read=40MB/s", "at least a rate of writes"),
        ("seed=4", "at least a rate of writes"),
        ("write=40", "a rate is a number with"),
        ("write=40Mb/s", "a rate is a number with"),
        ("write=0MB/s", "from 1 B/s"),
        ("write=5000GB/s", "from 1 B/s"),
        ("write=40MB/s,write_iops=0", "more than 0"),
        ("write=40MB/s,write_iops=nan", "'nan' is no number"),
    ],
)
def test_what_is_wrong_is_said_of_its_part(text, told):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is checked below
        EmulatedDevice.parse(text)
    assert told in str(caught.value)


@given(st.text(alphabet="emc5.1,=@+sigmapwrtelov0123456789MBi/ -", max_size=40))
def test_any_text_is_a_device_or_a_value_error(text):
    try:
        assert isinstance(EmulatedDevice.parse(text), EmulatedDevice)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"profile": "emmc5.1"}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": 1.0}, TypeError),
        ({"sigma_permille": 3001}, ValueError),
        ({"pause_ns": 5}, ValueError),
        ({"pause_every_bytes": True}, TypeError),
        ({"episodes": ((1, 2, 0),)}, TypeError),
        ({"episodes": (Episode(0, 1, 0),) * 17}, ValueError),
    ],
)
def test_what_no_device_could_be_is_refused(arguments, error):
    with pytest.raises(error):
        EmulatedDevice(**{"profile": PRESETS["sd-a1"]} | arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((-1, 1, 0), ValueError), ((0, 0, 0), ValueError), ((0, 1, 999), ValueError), ((0, 1.5, 0), TypeError)],
)
def test_what_is_no_episode_is_refused(arguments, error):
    with pytest.raises(error):
        Episode(*arguments)
