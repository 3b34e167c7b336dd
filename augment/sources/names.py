"""Helpers for labels, groups and splits: numbering of names, and detection of columns and splits by name."""

from array import array
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from .base import SPLIT_NAMES

Name = TypeVar("Name")

PATH = (
    "path", "file", "filename", "file_name", "filenames", "fname", "filepath", "file_path", "filepaths", "file_paths",
    "relpath", "image", "images", "image_path", "image_file", "image_name", "image_filename", "img", "img_path",
    "img_file", "img_name", "picture", "image_id", "img_id", "id", "name",
)  # fmt: skip
LABEL = (
    "label", "labels", "class", "classes", "class_name", "classname", "label_name", "category", "character", "char",
    "symbol", "latex", "wnid", "target", "y", "class_id", "classid", "label_id", "category_id", "symbol_id", "emotion",
    "digit", "letter",
)  # fmt: skip
GROUP = (
    "group", "writer", "drawer", "sheet", "user", "group_id", "writer_id", "drawer_id", "sheet_id", "user_id",
    "suite_id",
)  # fmt: skip
SPLIT = ("split", "part", "subset", "set", "usage")
"""Names of columns, in lower case: the preferred name first."""

_WEAK = frozenset({
    "image_id", "img_id", "id", "name", "target", "y", "class_id", "classid", "label_id", "category_id", "symbol_id",
    "emotion", "digit", "letter",
})  # fmt: skip
"""Names that count only if there is no other: an `id` beside a `path` is not the path."""

_SHOWN = 10
"""Names listed in a message; further ones are counted."""
_MAX_TEXT = 4096
"""Most characters of a label, a group or the name of a class; Python converts up to 4,300 digits to an integer."""
_QUOTED = 40
"""Characters of invalid text that a message quotes."""


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

    def sorted_index(self, *, by_value: bool = False) -> tuple[np.ndarray, list[str]]:
        """Return the index of each image's name among the sorted names, int32 (N,), and these names as text.

        Integers are sorted by value, text by code point; with `by_value`, text that is all integers by value, too.
        There must be at least one name.
        """
        by_value = by_value and all(is_integer(str(name)) for name in self._number)
        names = sorted(
            self._number, key=(lambda name: (int(name), str(name))) if by_value else None
        )  # All of one type.
        return ranks(names, self._number)[np.frombuffer(self._numbers, np.intc)], list(map(str, names))


def ranks(names: Sequence[Name], number: Mapping[Name, int]) -> np.ndarray:
    """Return, for each number from 0 to K - 1, the position in `names` of the name with that number; int32 (K,)."""
    rank = np.empty(len(names), np.int32)
    rank[[number[name] for name in names]] = np.arange(len(names))
    return rank


def check_text(text: str) -> None:
    """Raise `ValueError` for text that HDF5 cannot store, and for text of more than 4,096 characters."""
    quoted = repr(text) if len(text) <= _QUOTED else f"{text[:_QUOTED]!r}..."
    if "\0" in text:
        raise ValueError(f"has {quoted}; expected text without NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"has {quoted}, which is not valid Unicode text: {error.reason}") from error
    if len(text) > _MAX_TEXT:
        raise ValueError(f"has {quoted}, text of {len(text):,} characters; expected at most {_MAX_TEXT:,}")


def is_integer(text: str) -> bool:
    """Return whether text is an integer in up to 4,096 ASCII digits, perhaps with a minus sign."""
    return len(text) <= _MAX_TEXT and text.isascii() and text.removeprefix("-").isdigit()


def find_column(found: Sequence[str], names: tuple[str, ...], *, option: str = "") -> int | None:
    """Return the position in `found` of the preferred name `names[0]`, or of another of `names`; ignores case.

    Returns None if there is none. Raises `ValueError` if several match; its message names `option`, which decides.
    """
    lower = [name.strip().lower() for name in found]
    strong = {*names} - _WEAK
    tiers = ([place for place, name in enumerate(lower) if name in tier] for tier in ({names[0]}, strong, {*names}))
    places = next(filter(None, tiers), [])
    if len(places) > 1:
        check_once(found, found[places[0]])
        each = " and ".join(repr(found[place]) for place in places)
        remedy = f"Choose one with {option}" if option else f"Rename the right one to {names[0]!r}"
        raise ValueError(f"{each} may each be the {names[0]}; expected one. {remedy}")
    return places[0] if places else None


def check_once(found: Sequence[str], name: str) -> None:
    """Raise `ValueError` if several of the columns `found` have the same name."""
    places = [str(place) for place, one in enumerate(found, start=1) if one.strip() == name.strip()]
    if len(places) > 1:
        raise ValueError(f"{' and '.join(places)} have the same name {name!r}; expected it once. Rename one of them")


def find_key(found: Sequence[str], key: str) -> int | None:
    """Return the position in `found` of the name `key`, or of the only one that differs only in case or white space."""
    folded = [place for place, name in enumerate(found) if name.strip().lower() == key.strip().lower()]
    return found.index(key) if key in found else folded[0] if len(folded) == 1 else None


def first_names(names: Sequence[str]) -> str:
    """Return up to ten of `names`, quoted, and the number of further ones."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def split_number(name: str) -> int:
    """Return the index into `SPLITS` for `name`, or -1 if it is empty. Raises `ValueError` if it is unknown.

    Case, white space, `-` and `_` make no difference.
    """
    number = SPLIT_NAMES.get("".join(name.split()).lower().replace("-", "").replace("_", ""))
    if number is None:
        raise ValueError(f"has the split {name!r}; expected {', '.join(filter(None, SPLIT_NAMES))}, or nothing")
    return number
