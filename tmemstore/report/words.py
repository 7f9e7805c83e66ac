"""The library's words in those of the command line: its sentences name arguments of Python, and here are options.

Arguments that no option stands for are in the table too, so that nobody is advised to do what cannot be done here.
"""

from __future__ import annotations

import re
from collections.abc import Container

_OPTIONS = {
    "codec": "codec",
    "escape": "escape",
    "frontswap_max_percent": "ratio",
    "io_timeout": None,
    "overwrite": "overwrite",
    "spill_overwrite": None,
    "storage": "storage",
    "time_scale": "time_scale",
    "writeback": "writeback",
}
"""Argument to option, as argparse names it; None: there is no such option."""

_OTHERWISE = {"frontswap_max_percent": "frontswap at most {} %"}
"""What a value is called where the command has no such option."""

_NAMES = "|".join(_OPTIONS)
_NO_ENGLISH = "|".join(name for name in _OPTIONS if "_" in name)
_GIVEN = re.compile(rf'(?<!\S)({_NAMES})=(?:"([^"]*)"|(\w+))(?![\w/]|\.\w)')
_NAMED = re.compile(rf"(?<!\S)({_NO_ENGLISH})(?![\w/=]|\.\w)")
_ADVICE = re.compile(rf", or (?:(?!, or |;).)*?(?<!\S)(?:({_NAMES})=|({_NO_ENGLISH})(?![\w/]))[^;]*")
"""From the last "or" of an advice on, with the argument it names."""


def for_options(text: str, options: Container[str]) -> str:
    """Return a sentence of the library for who has these ``options``, named as argparse names them (time_scale).

    An argument becomes its option: codec="none" is --codec none, overwrite=True is --overwrite. An alternative at the
    end of an advice goes where its option is not there.
    """

    def option(name: str) -> str | None:
        known = _OPTIONS[name]
        return f"--{known.replace('_', '-')}" if known is not None and known in options else None

    def given(match: re.Match[str]) -> str:
        name, value = match[1], match[2] or match[3]
        known = option(name)
        if known is not None:
            return known if value == "True" else f"{known} {value}"
        return _OTHERWISE[name].format(value) if name in _OTHERWISE else match[0]

    text = _ADVICE.sub(lambda match: match[0] if option(match[1] or match[2]) else "", text)
    text = _GIVEN.sub(given, text)
    return _NAMED.sub(lambda match: option(match[1]) or match[0], text)
