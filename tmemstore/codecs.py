"""Where the codecs' C functions come from: the `lz4` and `zstandard` wheels, or the system's libraries.

The wheels export the symbols of the libraries they were built from. That is an accident of how they are built, so it
is probed, and the system's liblz4 or libzstd is looked for where it does not hold.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any, Final, NamedTuple

from tmemstore._binding import ffi, lib
from tmemstore.errors import EnvironmentLacks


class _Source(NamedTuple):
    kind: int
    package: str
    extension: str
    library: str
    install: str
    symbols: dict[str, str]
    version: str


_SOURCES: Final = {
    "lz4": _Source(
        kind=lib.TMS_CODEC_LZ4,
        package="lz4.block",
        extension="_block*.so",
        library="lz4",
        install="pip install lz4, or install the package liblz4-1 of the distribution",
        symbols={"lz4_compress_default": "LZ4_compress_default", "lz4_decompress_safe": "LZ4_decompress_safe"},
        version="LZ4_versionString",
    ),
    "zstd": _Source(
        kind=lib.TMS_CODEC_ZSTD,
        package="zstandard",
        extension="_cffi*.so",
        library="zstd",
        install="pip install zstandard, or install the package libzstd1 of the distribution",
        symbols={
            "zstd_create_cctx": "ZSTD_createCCtx",
            "zstd_free_cctx": "ZSTD_freeCCtx",
            "zstd_compress_cctx": "ZSTD_compressCCtx",
            "zstd_create_dctx": "ZSTD_createDCtx",
            "zstd_free_dctx": "ZSTD_freeDCtx",
            "zstd_decompress_dctx": "ZSTD_decompressDCtx",
            "zstd_is_error": "ZSTD_isError",
        },
        version="ZSTD_versionString",
    ),
}

CODECS: Final = ("none", *_SOURCES)

_ZSTD_LEVEL: Final = 1
"""The fastest regular level: a page is 4 KiB, and higher ones gain little on it."""


class _Library(NamedTuple):
    handle: Any
    origin: str
    addresses: dict[str, Any]


def _candidates(source: _Source) -> list[str]:
    import ctypes.util  # takes as long as a tenth of all other imports together

    found: list[str] = []
    try:
        spec = importlib.util.find_spec(source.package)
    except ImportError:
        spec = None
    for folder in spec.submodule_search_locations or [] if spec else []:
        found.extend(str(path) for path in sorted(Path(folder).glob(source.extension)))
    system = ctypes.util.find_library(source.library)
    return [*found, system] if system else found


@functools.cache
def _load(name: str) -> _Library | None:
    source = _SOURCES[name]
    from cffi import FFI

    dynamic: Any = FFI()
    names = [*source.symbols.values()]
    dynamic.cdef("".join(f"void {symbol}(void);" for symbol in names) + f"const char *{source.version}(void);")
    for path in _candidates(source):
        try:
            handle = dynamic.dlopen(path)
            addresses = {
                field: ffi.cast("void *", int(dynamic.cast("uintptr_t", dynamic.addressof(handle, symbol))))
                for field, symbol in source.symbols.items()
            }
            version = dynamic.string(getattr(handle, source.version)()).decode()
        except (OSError, AttributeError):
            continue
        return _Library(handle, f"{path} ({version})", addresses)
    return None


def fill_codec(name: str, codec: Any) -> None:
    """Fills a `struct tms_codec`.

    Raises `ValueError` for an unknown name, `EnvironmentLacks` where the library is missing.
    """
    if name not in CODECS:
        raise ValueError(f"unknown codec {name!r}; choose one of {', '.join(CODECS)}")
    if name == "none":
        codec.kind = lib.TMS_CODEC_NONE
        return
    library = _load(name)
    if library is None:
        raise EnvironmentLacks(f'no library for codec "{name}": {_SOURCES[name].install}, or use codec="none"')
    codec.kind = _SOURCES[name].kind
    codec.level = _ZSTD_LEVEL
    for field, address in library.addresses.items():
        setattr(codec, field, address)


def codec_origins() -> dict[str, str | None]:
    """For each codec the file its functions come from, with the library's version; None: not to be had."""
    loaded = {name: _load(name) for name in _SOURCES}
    return {name: library.origin if library else None for name, library in loaded.items()}


def codec_advice(name: str) -> str:
    """What to install where a codec ("lz4", "zstd") is missing. `ValueError` for another name."""
    if name not in _SOURCES:
        raise ValueError(f"{name!r} is no codec with a library; choose one of {', '.join(_SOURCES)}")
    return _SOURCES[name].install
