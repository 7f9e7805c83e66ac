"""The one place that touches the C core's cffi module: its names, one checker, one table of exceptions."""

from __future__ import annotations

import functools
from typing import Any, Final

from tmemstore._native import ffi, lib
from tmemstore.errors import EnvironmentLacks, PoolError, SpillError, TmemError, VerifyError

__all__ = ["check", "ffi", "keeping", "lib", "owning", "text"]

_EXCEPTIONS: Final[dict[int, tuple[type[Exception], str]]] = {
    lib.TMS_E_INVALID: (ValueError, "check the arguments against the docstring"),
    lib.TMS_E_NO_MEMORY: (MemoryError, "free some memory, or use a smaller region or fewer pools"),
    lib.TMS_E_NO_POOL: (PoolError, "make a new pool"),
    lib.TMS_E_NO_RANGE: (PoolError, "a range is released once, by whoever holds it"),
    lib.TMS_E_CLOSED: (PoolError, "open a new one (a forked child needs its own)"),
    lib.TMS_E_SPILL_READ: (SpillError, "the page is still held: try again when the device works"),
    lib.TMS_E_SPILL_CORRUPT: (
        SpillError,
        "the page is still held: the device lost or damaged it, try again or give it up",
    ),
    lib.TMS_E_TIMEOUT: (SpillError, "the page is still held: try again when the device answers, or raise io_timeout"),
    lib.TMS_E_CODEC: (TmemError, "memory of this process was overwritten: look for a stray pointer"),
    lib.TMS_E_BROKEN: (VerifyError, "please report it"),
    lib.TMS_E_FOREIGN: (SpillError, "choose another path, or pass spill_overwrite=True to lose what it holds"),
    lib.TMS_E_LOCKED: (SpillError, "close the other store, unmount the device, or choose another path"),
    lib.TMS_E_TOO_SMALL: (SpillError, "choose a larger device"),
    lib.TMS_E_SYSTEM: (EnvironmentLacks, "see the message of the system"),
}


# What ends C objects is C: an interrupt that strikes in a destructor of Python is swallowed, and the object leaked.
def owning(made: Any, destroy: Any, *kept: Any) -> Any:
    """`made`, which ends with `destroy(made)`, a function of the core, and only then lets go of what it needs.

    To be had before there is anything to destroy: Ctrl-C may strike as the function returns that makes it.
    """
    end = functools.partial(destroy)
    end.__dict__["kept"] = kept
    return ffi.gc(made, end)


# The collector finalises what a cycle holds in any order: a region before its ranges, all of it before a `__del__` that
# uses it. What a struct of an allocator keeps it does not see, and takes for used until nobody refers to the struct.
def keeping(pointer: Any, *kept: Any, ended: Any = id) -> Any:
    """The pointer, as an object that keeps others alive as long as it lives itself, in a cycle that goes as well.

    `ended`: called with the pointer once nobody has it; something built in.
    """
    end = functools.partial(ended)
    end.__dict__["kept"] = kept
    allocate = ffi.new_allocator(lambda _size: pointer, end, should_clear_after_alloc=False)
    # The struct has no name: a profiler keeps frames, and the names in them, beyond their return.
    return ffi.from_buffer(ffi.typeof(pointer), ffi.buffer(allocate("struct tms_lease *"), 1))


def text(address: Any) -> str:
    """A C string of the core."""
    return str(ffi.string(address).decode()) if address else ""


def check(code: int, what: str = "") -> int:
    """Passes an answer (zero and above) through; turns an error into its exception with a sentence."""
    if code >= 0:
        return code
    kind, advice = _EXCEPTIONS.get(code, (TmemError, "please report it"))
    told = text(lib.tms_code_text(code))
    raise kind(f"{what}: {told}; {advice}" if what else f"{told}; {advice}")
