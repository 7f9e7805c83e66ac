"""Reading a document field by field: every defect becomes a `ProfileError` with the file, the field, what it wants."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from tmemstore.errors import ProfileError
from tmemstore.storage.sample import PERMILLE_MAX, SAMPLE_MAX, WHOLE_MAX
from tmemstore.units import format_size

FILE_MAX_BYTES: Final = 16 << 20
_PROFILE: Final = "a storage profile or the JSON output of fio"

_WORDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "a string",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def read_json(path: str | os.PathLike[str], wanted: str = _PROFILE) -> Any:
    """What a JSON file holds. `ProfileError` if it cannot be read, is over 16 MiB, or is no JSON (NaN is none).

    `wanted`: what the message asks for instead.
    """
    where = os.fspath(path)
    try:
        if not stat.S_ISREG(Path(where).stat().st_mode):
            raise ProfileError(f"{where} is no regular file; name {wanted}")
        with Path(where).open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ProfileError(f"{where} cannot be read: {error.strerror or error}") from error
    if len(content) > FILE_MAX_BYTES:
        raise ProfileError(f"{where} is larger than {format_size(FILE_MAX_BYTES)}; name {wanted}")
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{where} is no JSON document ({error}); name {wanted}") from error


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


class Fields:
    """The fields of one object of a document. Every method raises `ProfileError` for a field that is not as it wants.

    `where`: the file, for messages. `inside`: the names of the objects around it, "lanes.write.".
    """

    def __init__(self, values: Any, where: str, inside: str = "") -> None:
        self._where = where
        self._inside = inside
        if not isinstance(values, Mapping):
            what = inside.rstrip(".")
            told = f"{where}: {what}" if what else where
            raise ProfileError(f"{told} must be an object with named fields, not {_word(values)}")
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def refuse(self, name: str, expected: str, got: str) -> NoReturn:
        """Raises the error of a field: what was expected, what was found."""
        raise ProfileError(f"{self._where}: {self._inside}{name} must be {expected}, not {got}")

    def value(self, name: str, expected: str) -> Any:
        """Whatever the field holds."""
        if name not in self._values:
            raise ProfileError(f"{self._where}: {self._inside}{name} is missing; it must be {expected}")
        return self._values[name]

    def whole(self, name: str, largest: int = WHOLE_MAX) -> int:
        """An integer from 0 to `largest`."""
        expected = f"a whole number from 0 to {largest}"
        return self._whole(name, self.value(name, expected), largest, expected)

    def number(self, name: str) -> float:
        """A number that is not negative, with a fraction or without."""
        expected = "a number of at least 0"
        value = self.value(name, expected)
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.refuse(name, expected, _word(value))
        if not 0 <= value <= WHOLE_MAX:
            self.refuse(name, expected, str(value)[:40])
        return float(value)

    def figure(self, name: str) -> float | int | None:
        """A number of either sign, below 2^48, as it stands there, or None for null."""
        expected = "a finite number, or null"
        value = self.value(name, expected)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.refuse(name, expected, _word(value))
        if not -WHOLE_MAX <= value <= WHOLE_MAX:
            self.refuse(name, expected, "one beyond 2^48")
        return value

    def ends(self, name: str) -> tuple[float | int | None, float | int | None]:
        """The two ends of an interval; None for one that is not known."""
        expected = "a list of two finite numbers, either of them null"
        items = self._list(name, expected)
        if len(items) != 2:  # noqa: PLR2004 - from, to
            self.refuse(name, expected, f"a list of {len(items)}")
        both = Fields({f"{name}[{number}]": item for number, item in enumerate(items)}, self._where, self._inside)
        return both.figure(f"{name}[0]"), both.figure(f"{name}[1]")

    def wholes(self, name: str) -> list[int]:
        """A list of whole numbers."""
        expected = "a whole number"
        items = self._list(name, "a list of whole numbers")
        return [self._whole(f"{name}[{number}]", item, WHOLE_MAX, expected) for number, item in enumerate(items)]

    def truth(self, name: str) -> bool:
        """True or false."""
        value = self.value(name, "true or false")
        if not isinstance(value, bool):
            self.refuse(name, "true or false", _word(value))
        return value

    def text(self, name: str, *choices: str) -> str:
        """A string; one of the choices, if there are any."""
        expected = f"one of {', '.join(choices)}" if choices else "a string"
        value = self.value(name, expected)
        if not isinstance(value, str):
            self.refuse(name, expected, _word(value))
        if choices and value not in choices:
            self.refuse(name, expected, repr(value[:40]))
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        items = self._list(name, "a list of strings")
        for number, item in enumerate(items):
            if not isinstance(item, str):
                self.refuse(f"{name}[{number}]", "a string", _word(item))
        return tuple(items)

    def sample(self, name: str) -> tuple[int, ...]:
        """A list of 1 to 2048 whole numbers in ascending order."""
        expected = f"a list of 1 to {SAMPLE_MAX} whole numbers, the smallest first"
        items = self._list(name, expected)
        if not 1 <= len(items) <= SAMPLE_MAX:
            self.refuse(name, expected, f"a list of {len(items)}")
        one = f"a whole number from 0 to {PERMILLE_MAX}"
        for number, item in enumerate(items):
            self._whole(f"{name}[{number}]", item, PERMILLE_MAX, one)
            if number and item < items[number - 1]:
                self.refuse(f"{name}[{number}]", "no smaller than the value before it (the list is sorted)", str(item))
        return tuple(items)

    def group(self, name: str) -> Fields:
        """An object inside this one."""
        return Fields(self.value(name, "an object with named fields"), self._where, f"{self._inside}{name}.")

    def group_or_none(self, name: str) -> Fields | None:
        """An object inside this one, or None for null."""
        return None if self.value(name, "an object with named fields, or null") is None else self.group(name)

    def groups(self, name: str) -> Iterator[Fields]:
        """The objects of a list."""
        for number, item in enumerate(self._list(name, "a list of objects")):
            yield Fields(item, self._where, f"{self._inside}{name}[{number}].")

    def names(self) -> tuple[str, ...]:
        """The names of all fields, in their order."""
        return tuple(self._values)

    def _list(self, name: str, expected: str) -> list[Any]:
        value = self.value(name, expected)
        if not isinstance(value, list):
            self.refuse(name, expected, _word(value))
        return value

    def _whole(self, name: str, value: Any, largest: int, expected: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(name, expected, _word(value))
        if not 0 <= value <= largest:
            # Python refuses to write out an integer of more than a few thousand digits.
            self.refuse(name, expected, str(value) if abs(value) < 2**64 else "a larger or smaller one")
        return value


def _word(value: Any) -> str:
    return _WORDS.get(type(value), type(value).__name__)
