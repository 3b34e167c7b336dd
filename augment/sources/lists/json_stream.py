"""Reads large JSON documents item by item: JSON Lines, an array, or an object of arrays."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import EpochbankError

_PIECE = 1 << 20
"""Characters read at once."""

_MAX_ITEM = 1 << 26
"""Maximum length of a line or of an item in characters."""

_WHITE = " \t\r\n"
_ENDS = {*_WHITE, *",:]}"}


def read_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield line number (from 1) and value of each line that is not blank. Raises `EpochbankError` for invalid JSON."""
    number = 0
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MAX_ITEM + 1), ""), start=1):
                if len(line) > _MAX_ITEM:
                    raise ValueError(f"it has more than {_MAX_ITEM:,} characters; expected an object per line")
                if line.strip():
                    yield number, json.loads(line)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError and JSONDecodeError
        raise _invalid(path, f"line {max(number, 1)}", error) from error


def read_items(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the items of a document that is an array, under the key ""; or those of each array in an object, by key.

    Other values of an object are skipped. Raises `EpochbankError` for invalid JSON.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            yield from _Document(file).items()
    except (ValueError, RecursionError) as error:
        raise _invalid(path, "the document", error) from error


def begins_with_object(path: Path) -> bool:
    """Return whether a document begins as an object."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return file.read(_PIECE).lstrip(_WHITE).startswith("{")


def _invalid(path: Path, where: str, error: Exception) -> EpochbankError:
    return EpochbankError(f"{path}, {where}, cannot be read as JSON: {error}. Write it again, in UTF-8.")


class _Document:
    """A document of which a piece at a time is in memory."""

    def __init__(self, file: Any):
        self._file, self._text, self._at = file, "", 0
        self._decoder = json.JSONDecoder()

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield key and item of each array."""
        start = self._next()
        if start == "[":
            yield from (("", item) for item in self._separated("]"))
        elif start == "{":
            for key in self._separated("}"):
                if not isinstance(key, str) or self._next() != ":":
                    raise ValueError(f"expected a key and ':', received {key!r}")
                self._at += 1
                if self._next() == "[":
                    yield from ((key, item) for item in self._separated("]"))
                else:
                    self._value()
        else:
            raise ValueError(f"it begins with {start!r}; expected an array or an object")
        if self._next():
            raise ValueError(f"{self._text[self._at : self._at + 20]!r} follows its end")

    def _separated(self, end: str) -> Iterator[Any]:
        """Yield the values of an array, or the keys of an object, up to the character `end`."""
        self._at += 1
        if self._next() != end:
            yield self._value()
            while self._next() == ",":
                self._at += 1
                self._next()
                yield self._value()
            if self._next() != end:
                raise ValueError(f"expected ',' or {end!r}, received {self._next()!r}")
        self._at += 1

    def _next(self) -> str:
        """Return the next character that is not white space, without taking it; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _WHITE:
                self._at += 1
            if self._at < len(self._text) or not self._read():
                return self._text[self._at : self._at + 1]

    def _value(self) -> Any:
        """Take the next value. It is complete if a separator follows it: `12` may be the beginning of `12.5`."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._read():
                    raise
                continue
            if self._text[end : end + 1] in _ENDS:
                self._at = end
                return value
            length = end - self._at
            if not self._read():
                self._at = length
                return value

    def _read(self) -> bool:
        """Append the next piece of the file; return whether there was one."""
        if len(self._text) - self._at > _MAX_ITEM:
            raise ValueError(f"an item has more than {_MAX_ITEM:,} characters; expected an object for each image")
        # A longer item is parsed from its beginning after every piece, so that pieces grow with it.
        piece = self._file.read(max(_PIECE, len(self._text) - self._at))
        self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)
