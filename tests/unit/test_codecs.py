"""Where the codecs come from, and what happens where they are not to be had."""

import ctypes.util

import pytest

import tmemstore
from tmemstore import codecs


@pytest.fixture
def no_wheels(monkeypatch):
    """As if the wheels did not export their symbols; each test then says what else there is."""
    monkeypatch.setattr(codecs.importlib.util, "find_spec", lambda _name: None)
    codecs._load.cache_clear()
    yield monkeypatch
    codecs._load.cache_clear()


def test_each_codec_names_its_file_and_version():
    origins = tmemstore.codec_origins()
    assert set(origins) == {"lz4", "zstd"}
    for origin in origins.values():
        assert ".so" in origin
        assert origin.rstrip(")").rpartition("(")[2][0].isdigit()


def test_without_the_wheels_the_system_library_is_looked_for(no_wheels):
    asked = []
    no_wheels.setattr(ctypes.util, "find_library", asked.append)
    assert tmemstore.codec_origins() == {"lz4": None, "zstd": None}
    assert asked == ["lz4", "zstd"]


def test_a_library_without_the_symbols_is_passed_over(no_wheels):
    no_wheels.setattr(ctypes.util, "find_library", lambda _name: "libc.so.6")
    assert tmemstore.codec_origins() == {"lz4": None, "zstd": None}


@pytest.mark.parametrize(("codec", "package"), [("lz4", "lz4"), ("zstd", "zstandard")])
def test_a_missing_library_says_what_to_install(no_wheels, codec, package):
    no_wheels.setattr(ctypes.util, "find_library", lambda _name: None)
    with pytest.raises(tmemstore.EnvironmentLacks, match=f"pip install {package}"):
        tmemstore.open("1MiB", codec=codec)
    with tmemstore.open("1MiB", codec="none") as tm:
        assert tm.frontswap(0).store(0, bytes(range(256)) * 16)


@pytest.mark.parametrize("name", ["none", "lzo", "", None, 3])
def test_there_is_no_advice_on_what_is_no_codec_with_a_library(name):
    with pytest.raises(ValueError, match="lz4, zstd"):
        tmemstore.codec_advice(name)


def test_the_codecs_work_from_the_file_that_is_named():
    for codec in ("lz4", "zstd"):
        with tmemstore.open("1MiB", codec=codec) as tm:
            swap, page, out = tm.frontswap(0), b"frontswap " * 409 + b"......", bytearray(4096)
            assert swap.store(1, page)
            assert tm.stats().bytes_kept < 1024
            assert swap.load(1, out)
            assert out == page
