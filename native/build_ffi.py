"""Builds ``tmemstore._native``, the cffi binding (API mode) of the C core.

setuptools reads ``ffi_builder`` from the root of the project, which is why every path here is a relative one:
setuptools refuses absolute sources.  The declarations are those of the public header, so that the binding
cannot drift from it.

``TMEMSTORE_SANITIZE=address,undefined`` (or ``thread``) builds for the sanitizers, see ``make sanitize``.
"""

import os
from pathlib import Path

from cffi import FFI

NATIVE = Path("native")
PARTS = ("tmemstore.h", "tmemstore_contig.h", "tmemstore_replay.h", "tmemstore_floor.h")
HEADERS = tuple(NATIVE / "include" / name for name in PARTS)
MARKS = ("/* cffi: begin */", "/* cffi: end */")
SANITIZERS = ("address", "undefined", "leak", "thread")

WARNINGS = ["-Wall", "-Wextra", "-Wshadow"]
COMPILE_ARGS = ["-std=gnu11", "-fvisibility=hidden", "-pthread", *WARNINGS]


def declarations(path: Path) -> str:
    """Return what stands between the two cffi marks of a header; ValueError unless each is there once."""
    header = path.read_text(encoding="utf-8")
    begin, end = MARKS
    if header.count(begin) != 1 or header.count(end) != 1 or header.index(begin) > header.index(end):
        message = f"{path} must hold {begin!r} and then {end!r}, each once"
        raise ValueError(message)
    return header.partition(begin)[2].partition(end)[0]


def sanitizer_args(wanted: str) -> list[str]:
    """Return the flags for ``TMEMSTORE_SANITIZE``, needed by compiler and linker alike; empty means none."""
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if name not in SANITIZERS]
    if unknown:
        message = f"TMEMSTORE_SANITIZE: {', '.join(unknown)} is not one of {', '.join(SANITIZERS)}"
        raise ValueError(message)
    if not names:
        return []
    return [f"-fsanitize={','.join(names)}", "-fno-sanitize-recover=all"]


def ffi_builder() -> FFI:
    """Return the builder that setuptools compiles (``cffi_modules`` in setup.py)."""
    sanitize = sanitizer_args(os.environ.get("TMEMSTORE_SANITIZE", ""))
    speed = ["-O1", "-g", "-fno-omit-frame-pointer", "-DTMS_DEBUG"] if sanitize else ["-O3"]
    sources = sorted(str(path) for path in (NATIVE / "src").glob("*.c"))
    headers = sorted(str(path) for path in NATIVE.glob("*/*.h"))

    builder = FFI()
    for header in HEADERS:
        builder.cdef(declarations(header))
    builder.set_source(
        "tmemstore._native",
        '#include "tmemstore.h"',
        sources=sources,
        depends=[*headers, str(NATIVE / "build_ffi.py")],
        include_dirs=[str(HEADERS[0].parent), str(NATIVE / "src")],
        libraries=["m"],
        extra_compile_args=[*COMPILE_ARGS, *speed, *sanitize],
        extra_link_args=["-pthread", *sanitize],
    )
    return builder
