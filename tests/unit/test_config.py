"""`open(config=...)`: a file of arguments, checked by file and key, overridden by the call."""

import inspect
import tomllib

import pytest

import tmemstore
from tmemstore.controller import config

WHOLE = """
schema = "tmemstore.config/1"
region = "8MiB"
storage = "emulate:emmc5.1"
escape = "4MiB"
codec = "zstd"
eviction = "lru"
writeback = "through"
frontswap_max_percent = 20
admission_filter = false
virtual_time = true

[[contract]]
size = "2MiB"
deadline = "50ms"
kind = "soft"
confidence = 0.99
"""


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "store.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def test_a_file_opens_the_store_that_it_describes(write):
    with tmemstore.open(config=write(WHOLE)) as tm:
        assert tm.region.size_bytes == 8 << 20
        assert tm.region.escape_bytes == 4 << 20
        assert tm.store.codec == "zstd"
        assert tm.store.write_through
        assert tm.frontswap_max_percent == 20
        (state,) = tm.stats().contracts
        assert state.contract == tmemstore.Contract("2MiB", "50ms", confidence=0.99)


def test_what_the_call_gives_overrides_the_file_even_where_it_is_the_default(write):
    with tmemstore.open("4MiB", config=write(WHOLE), codec="lz4", frontswap_max_percent="auto", contract=None) as tm:
        assert tm.region.size_bytes == 4 << 20
        assert tm.store.codec == "lz4"
        assert tm.frontswap_max_percent == "auto"
        assert tm.stats().contracts == ()
        assert tm.store.write_through


def test_a_contract_may_be_one_table(write):
    (contract,) = config.read(write('[contract]\nsize = 4194304\ndeadline = "5ms"\nkind = "hard"\n'))["contract"]
    assert contract == tmemstore.Contract(4 << 20, "5ms", kind="hard")


def test_a_store_without_a_region_is_refused(write):
    with pytest.raises(ValueError, match="needs a region"):
        tmemstore.open()
    with pytest.raises(ValueError, match="needs a region"):
        tmemstore.open(config=write('codec = "lz4"'))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("regoin = 1", "unknown key regoin"),
        ("region = true", "region is a whole number or a string, not True"),
        ("region = 1.5", "region is a whole number or a string, not 1.5"),
        ("hugetlb = 1", "hugetlb is true or false, not 1"),
        ("codec = ['lz4']", "codec is a string"),
        ("contract = 5", "contract is a table"),
        ("[contract]\nsize = '4MiB'", "contract lacks deadline"),
        ("[contract]\nsize = '4MiB'\ndeadline = '5ms'\nkinds = 'soft'", "unknown key contract.kinds"),
        ("[contract]\nsize = '4MiB'\ndeadline = 5.5", "contract.deadline is a whole number or a string, not 5.5"),
        ("[contract]\nsize = '4MB'\ndeadline = '5ms'", "contract: '4MB': MB may mean two things"),
        ("[contract]\nsize = '4MiB'\ndeadline = '5ms'\nconfidence = 99", "contract: "),
        ("schema = 'tmemstore.config/2'", "of schema 'tmemstore.config/2', and only 'tmemstore.config/1'"),
        ("region = ", "is no TOML file"),
        (b"region = '\xff'", "is no TOML file"),
        ("#" * (config.MOST_BYTES + 1), "is no config"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_file_and_key(write, text, said):
    path = write(text)
    with pytest.raises(tmemstore.ConfigError) as caught:
        tmemstore.open(config=path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_and_what_is_no_path(tmp_path):
    with pytest.raises(tmemstore.ConfigError, match="cannot be read"):
        tmemstore.open(config=tmp_path)
    with pytest.raises(TypeError, match="config is the path"):
        tmemstore.open(config=5)


def test_what_is_written_is_read_again(write):
    arguments = {
        "region": 8 << 20,
        "storage": 'a "profile" \\ of\tmine\x7f.json',
        "admission_filter": False,
        "frontswap_max_percent": 35,
        "contract": [tmemstore.Contract(4 << 20, 50_000_000, confidence=0.9999)],
    }
    written = config.text(arguments | {"spill": None}, "of a test\n\nand more")
    assert written.startswith("# of a test\n#\n# and more\nschema")
    assert config.read(write(written)) == arguments


def test_a_file_can_hold_every_argument_but_objects(write):
    names = set(inspect.signature(tmemstore.open).parameters) - {"config", "contract"}
    assert set(config._KEYS) == names
    assert tomllib.loads(config.text(config.read(write(WHOLE))))["region"] == "8MiB"
