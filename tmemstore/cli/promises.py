"""What a user writes for a contract, a confidence and a ratio, for every subcommand."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from tmemstore.cli.usage import checked
from tmemstore.units import parse_size, parse_time_ns

_KINDS = ("soft", "hard")
_LEAST_PERCENT = 50
_ALL = 100


def contract(default_kind: str) -> Callable[[str], tuple[int, int, str]]:
    """Return the type of an option SIZE:TIME[:soft|hard]: bytes, ns and kind."""

    def parse(text: str) -> tuple[int, int, str]:
        parts = text.split(":")
        form = f"write SIZE:TIME, SIZE:TIME:soft or SIZE:TIME:hard, for example 64MiB:50ms:{default_kind}"
        if len(parts) not in {2, 3}:
            raise ValueError(f"{text!r} is no contract; {form}")
        kind = parts[2] if len(parts) > 2 else default_kind  # noqa: PLR2004 - the third
        if kind not in _KINDS:
            raise ValueError(f"{kind!r} is no kind of contract; {form}")
        return parse_size(parts[0]), parse_time_ns(parts[1]), kind

    return checked(parse)


def _confidence(text: str) -> float:
    """Return the fraction; decimal, so that 99.9 percent are 0.999 and not a hair more."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"{text!r} is no percentage; write for example 99.9")
    percent = Decimal(text)
    if Decimal("0.5") <= percent < 1:
        raise ValueError(
            f"a confidence is a percentage on the command line: write {(100 * percent).normalize():f}, not {text}"
        )
    if not _LEAST_PERCENT <= percent < _ALL:
        raise ValueError(f"a confidence is from 50 to below 100 percent, such as 99.9, not {text}")
    return float(percent / _ALL)


confidence = checked(_confidence)


def _ratio(text: str) -> int | str:
    if text in {"auto", "adaptive"}:
        return text
    match = re.fullmatch(r"(?:([0-9]{1,3}):)?([0-9]{1,3})", text)
    form = "write frontswap's percentage, for example 30, or cleancache:frontswap, 70:30, or auto, or adaptive"
    if match is None or int(match[2]) > _ALL:
        raise ValueError(f"{text!r} is no ratio; {form}")
    if match[1] is not None and int(match[1]) + int(match[2]) != _ALL:
        raise ValueError(f"{text!r} does not add up to 100; {form}")
    return int(match[2])


ratio = checked(_ratio)
"""The type of an option: the percentage of frames that frontswap may take, "auto" or "adaptive"."""
