"""What sources have in common: names numbered as they come, columns found by what they are called, parts by name."""

from array import array
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from .base import PART_NAMES

Name = TypeVar("Name")

PATH = ("path", "file", "filename", "image")
LABEL = ("label", "class", "character")
GROUP = ("group", "writer", "drawer", "sheet", "user")
PART = ("part", "split", "subset", "set")
"""What columns are called: the proper name, then others."""


class Names:
    """A name for each picture, as they come: 4 bytes a picture, and each distinct name once."""

    def __init__(self) -> None:
        self._number: dict[int | str, int] = {}
        self._numbers = array("i")

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, name: int | str) -> None:
        """The next picture's name. `ValueError` where it cannot be stored, or is text among numbers or the reverse."""
        number = self._number.get(name)
        if number is None:
            self._check(name)
            number = self._number[name] = len(self._number)
        self._numbers.append(number)

    def _check(self, name: int | str) -> None:
        if isinstance(name, str):
            check_text(name)
        first = next(iter(self._number), name)
        if isinstance(first, str) != isinstance(name, str):
            raise ValueError(f"has {name!r} where others have {first!r}; expected all text or all integers")

    def in_order(self) -> tuple[np.ndarray, list[str]]:
        """int32 (N,): the place of each picture's name among the distinct ones in order, and these, as text.

        Integers stand in the order of numbers, text in that of its code points. There must be a name.
        """
        names = sorted(self._number)  # All of one type.
        return ranks(names, self._number)[np.frombuffer(self._numbers, np.intc)], list(map(str, names))


def ranks(names: Sequence[Name], number: Mapping[Name, int]) -> np.ndarray:
    """int32 (K,): the place in `names` of the one whose `number` is 0, 1, ..., K - 1."""
    place = np.empty(len(names), np.int32)
    place[[number[name] for name in names]] = np.arange(len(names))
    return place


def check_text(text: str) -> None:
    """`ValueError` for what HDF5 cannot hold as text."""
    if "\0" in text:
        raise ValueError(f"has {text!r}; expected text without NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"has {text!r}, which is no Unicode text: {error.reason}") from error


def find_column(found: Sequence[str], names: tuple[str, ...]) -> int | None:
    """The place in `found`, whatever the case, of the proper name `names[0]`, or else of the only other of `names`.

    None where there is none of them; `ValueError` where it cannot be told which is meant.
    """
    called = [name.strip().lower() for name in found]
    places = [place for place, name in enumerate(called) if name == names[0]]
    places = places or [place for place, name in enumerate(called) if name in names]
    if len(places) > 1:
        each = " and ".join(repr(found[place]) for place in places)
        raise ValueError(f"{each} may each be the {names[0]}; expected one. Call the one that is meant {names[0]!r}")
    return places[0] if places else None


def part_number(name: str) -> int:
    """The index into `PARTS` of the part that `name` means, in any case; -1 for none. `ValueError` if it is unknown."""
    number = PART_NAMES.get(name.strip().lower())
    if number is None:
        raise ValueError(f"has the part {name!r}; expected {', '.join(filter(None, PART_NAMES))}, or nothing")
    return number
