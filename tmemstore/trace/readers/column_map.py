"""Which column of a text means what: "time=2:ms,object=5,op=1"; and the kinds of input.

Needs no numpy: the command line parses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

KINDS: Final = ("own", "oracleGeneral", "csv", "text", "msr", "spc", "tracefs", "recorded", "references")
"""Of inputs; csv and text are the same."""

COLUMNS: Final = ("time", "object", "op", "index", "pool", "size")
UNITS_NS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
DELIMITERS: Final = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "blank": " "}
COLUMN_MOST: Final = 1000

_PART = re.compile(r"\s*([a-z_]+)\s*=\s*([0-9]{1,9})(?::([a-z]+))?\s*")
_EXAMPLE = "time=2,object=5"


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Numbers of columns, from 1, by what they hold: `COLUMNS`, an object or an index among them.

    `time_unit`: of the time, one of `UNITS_NS`. Without a time there is one event a microsecond.
    """

    numbers: dict[str, int]
    time_unit: str = "s"

    @classmethod
    def parse(cls, text: str) -> ColumnMap:
        """A map as it is written: NAME=NUMBER, separated by commas; time=NUMBER:UNIT. Raises `ValueError`."""
        numbers: dict[str, int] = {}
        unit = "s"
        for part in text.split(","):
            match = _PART.fullmatch(part)
            if match is None:
                raise ValueError(f"{part!r} is no column; write NAME=NUMBER, for example {_EXAMPLE}")
            name, number = match[1], int(match[2])
            if name not in COLUMNS:
                raise ValueError(f"unknown column {name!r}; known are {', '.join(COLUMNS)}")
            if name in numbers:
                raise ValueError(f"column {name} is named twice")
            if not 1 <= number <= COLUMN_MOST:
                raise ValueError(f"{name}={number}: columns are counted from 1, up to {COLUMN_MOST}")
            if match[3] is not None:
                if name != "time" or match[3] not in UNITS_NS:
                    raise ValueError(f"{part!r}: only time has a unit, one of {', '.join(UNITS_NS)}")
                unit = match[3]
            numbers[name] = number
        if not {"object", "index"} & numbers.keys():
            raise ValueError(f"{text!r} names neither object nor index; write for example {_EXAMPLE}")
        return cls(numbers, unit)

    def text(self) -> str:
        """The map as `parse` takes it."""
        unit = {"time": f":{self.time_unit}"} if self.time_unit != "s" else {}
        return ",".join(f"{name}={number}{unit.get(name, '')}" for name, number in self.numbers.items())

    @property
    def widest(self) -> int:
        """How many columns a line must have."""
        return max(self.numbers.values())


def parse_delimiter(text: str) -> str:
    """The character of a delimiter, given as itself or by name; a blank stands for any run of them. `ValueError`."""
    delimiter = DELIMITERS.get(text, text)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter.isalnum() or delimiter in "\r\n\0.-_":
        raise ValueError(f"{text!r} is no delimiter; write one character or {', '.join(DELIMITERS)}")
    return delimiter
