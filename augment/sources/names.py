"""Helpers for labels, groups and splits: numbering of names, and detection of columns and splits by name."""

from array import array
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from .base import SPLIT_NAMES

Name = TypeVar("Name")

PATH = ("path", "file", "filename", "image")
LABEL = ("label", "class", "character")
GROUP = ("group", "writer", "drawer", "sheet", "user")
SPLIT = ("split", "part", "subset", "set")
"""Names of columns: the preferred name first."""


class Names:
    """A name for each image. Takes 4 bytes per image, and stores each distinct name once."""

    def __init__(self) -> None:
        self._number: dict[int | str, int] = {}
        self._numbers = array("i")

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, name: int | str) -> None:
        """Append the next image's name. Raises `ValueError` for invalid text, and for text mixed with integers."""
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

    def sorted_index(self) -> tuple[np.ndarray, list[str]]:
        """Return the index of each image's name among the sorted names, int32 (N,), and these names as text.

        Integers are sorted by value, text by code point. There must be at least one name.
        """
        names = sorted(self._number)  # All of one type.
        return ranks(names, self._number)[np.frombuffer(self._numbers, np.intc)], list(map(str, names))


def ranks(names: Sequence[Name], number: Mapping[Name, int]) -> np.ndarray:
    """Return, for each number from 0 to K - 1, the position in `names` of the name with that number; int32 (K,)."""
    rank = np.empty(len(names), np.int32)
    rank[[number[name] for name in names]] = np.arange(len(names))
    return rank


def check_text(text: str) -> None:
    """Raise `ValueError` for text that HDF5 cannot store."""
    if "\0" in text:
        raise ValueError(f"has {text!r}; expected text without NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"has {text!r}, which is not valid Unicode text: {error.reason}") from error


def find_column(found: Sequence[str], names: tuple[str, ...]) -> int | None:
    """Return the position in `found` of the preferred name `names[0]`, or of another of `names`; ignores case.

    Returns None if there is none. Raises `ValueError` if several match.
    """
    lower = [name.strip().lower() for name in found]
    places = [place for place, name in enumerate(lower) if name == names[0]]
    places = places or [place for place, name in enumerate(lower) if name in names]
    if len(places) > 1:
        each = " and ".join(repr(found[place]) for place in places)
        raise ValueError(f"{each} may each be the {names[0]}; expected one. Rename the right one to {names[0]!r}")
    return places[0] if places else None


def split_number(name: str) -> int:
    """Return the index into `SPLITS` for `name`, or -1 if it is empty; ignores case. Raises `ValueError` if unknown."""
    number = SPLIT_NAMES.get(name.strip().lower())
    if number is None:
        raise ValueError(f"has the split {name!r}; expected {', '.join(filter(None, SPLIT_NAMES))}, or nothing")
    return number
