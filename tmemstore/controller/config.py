"""A store's arguments in a TOML file: what `tmemstore.open(config=...)` reads and `tmemstore tune` writes."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from tmemstore.controller.contract import Contract
from tmemstore.errors import ConfigError

SCHEMA: Final = "tmemstore.config/1"
MOST_BYTES: Final = 1 << 20
_SIZE: Final = (int, str)
_KEYS: Final[Mapping[str, tuple[type, ...]]] = {
    "region": _SIZE,
    "spill": (str,),
    "storage": (str,),
    "escape": _SIZE,
    "codec": (str,),
    "eviction": (str,),
    "writeback": (str,),
    "frontswap_max_percent": _SIZE,
    "hugetlb": (bool,),
    "mlock": (bool,),
    "spill_overwrite": (bool,),
    "spill_direct": (bool,),
    "spill_limit": _SIZE,
    "spill_write_limit": _SIZE,
    "io_timeout": _SIZE,
    "virtual_time": (bool,),
    "admission_filter": (bool,),
    "refault": _SIZE,
}
"""The arguments of `tmemstore.open` that a file can hold, but for `contract`, and what TOML makes of them."""
_CONTRACT_KEYS: Final[Mapping[str, tuple[type, ...]]] = {
    "size": _SIZE,
    "deadline": _SIZE,
    "kind": (str,),
    "confidence": (float, int),
    "zero": (bool,),
}
_NAMES: Final[Mapping[type, str]] = {int: "a whole number", str: "a string", bool: "true or false", float: "a number"}

P = ParamSpec("P")
R = TypeVar("R")


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Arguments of `tmemstore.open` out of a TOML file.

    Its keys are those of the arguments; a contract is a table `[contract]` or several `[[contract]]`, with the keys
    size, deadline, kind, confidence, zero. A `schema`, where there is one, is "tmemstore.config/1". Raises
    `ConfigError` that names file and key.
    """
    import tomllib

    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{path} is no config: it has more than {MOST_BYTES} bytes")
        values = tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error}); name a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no TOML file: {error}") from error
    schema = values.pop("schema", SCHEMA)
    if schema != SCHEMA:
        raise ConfigError(f"{path} is of schema {schema!r}, and only {SCHEMA!r} is known here")
    contract = values.pop("contract", None)
    arguments = {key: _typed(path, key, value, _KEYS) for key, value in values.items()}
    if contract is not None:
        tables = contract if isinstance(contract, list) else [contract]
        arguments["contract"] = [_contract(path, table) for table in tables]
    return arguments


def _typed(path: object, key: str, value: Any, known: Mapping[str, tuple[type, ...]], where: str = "") -> Any:
    if key not in known:
        raise ConfigError(f"{path}: unknown key {where}{key}; the keys are {', '.join(known)}")
    if type(value) not in known[key]:  # a bool is an int to isinstance
        wanted = " or ".join(_NAMES[kind] for kind in known[key])
        raise ConfigError(f"{path}: {where}{key} is {wanted}, not {value!r}")
    return value


def _contract(path: object, table: Any) -> Contract:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: contract is a table, [contract], not {table!r}")
    values = {key: _typed(path, key, value, _CONTRACT_KEYS, "contract.") for key, value in table.items()}
    for key in ("size", "deadline"):
        if key not in values:
            raise ConfigError(f"{path}: contract lacks {key}")
    try:
        return Contract(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: contract: {error}") from error


def text(arguments: Mapping[str, Any], comment: str = "") -> str:
    """A file that `read` reads the same arguments from; `arguments`: as `read` gives them, None is left out.

    `comment` stands above them, a line for each of its lines.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines.append(f"schema = {_value(SCHEMA)}")
    lines += [f"{key} = {_value(value)}" for key, value in arguments.items() if key in _KEYS and value is not None]
    for contract in arguments.get("contract") or ():
        lines += ["", "[[contract]]"]
        lines += [f"{key} = {_value(getattr(contract, key))}" for key in _CONTRACT_KEYS]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A basic string of TOML: what JSON would escape, and DEL.
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
    return repr(value)


def configurable(open_store: Callable[P, R]) -> Callable[P, R]:
    """`open_store` with its argument `config` put into effect: what the call gives overrides what the file says.

    It is done in front of the function, which cannot tell a default from the same value that was given.
    """
    signature = inspect.signature(open_store)

    @functools.wraps(open_store)
    def configured(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs.get("config") is None:
            return open_store(*args, **kwargs)
        given = signature.bind_partial(*args, **kwargs).arguments
        path = given.pop("config")
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"config is the path of a TOML file, not {type(path).__name__}")
        merging: Callable[..., R] = open_store
        return merging(**(read(path) | given))

    return configured
