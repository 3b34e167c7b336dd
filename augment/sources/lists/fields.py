"""Fields of a row in a table, and the list of rows that cannot be used."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from ...errors import EpochbankError
from ...shared.progress import counted
from ..names import check_text, is_integer

_SHOWN = 10
"""Errors listed in a message; further ones are counted."""


def text_of(what: str, value: Any) -> str:
    """Return a field as text. Raises `ValueError` if it is empty, or neither text nor an integer."""
    return str(integer_or_text(what, value))


def integer_or_text(what: str, value: Any) -> int | str:
    """Return a field that is an integer or text. Raises `ValueError` for other values, and if it is empty."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(f"has an empty {what}; expected one for each image")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"has the {what} {value!r}; expected an integer or text")
    return value


def is_number(text: str) -> bool:
    """Return whether text is a number."""
    with suppress(ValueError):
        float(text)
        return True
    return False


def as_integer(label: int | str) -> int:
    """Return a label that --class-names names. Raises `ValueError` if it is not an integer."""
    if isinstance(label, str) and not is_integer(label):
        check_text(label)
        raise ValueError(f"has the label {label!r}; expected an integer, because --class-names names integers")
    return int(label)


class Faults:
    """Counts what is wrong with a list, and keeps the first descriptions."""

    def __init__(self, path: Path):
        self._path, self._count, self._shown = path, 0, list[str]()

    def add(self, text: str) -> None:
        """Count a fault."""
        self._count += 1
        if self._count <= _SHOWN:
            self._shown.append(text)

    def refuse(self, what: str, remedy: str) -> None:
        """Raise `EpochbankError` if there is any fault."""
        if self._count:
            more = f"\n  and {self._count - _SHOWN:,} more" if self._count > _SHOWN else ""
            listed = "".join(f"\n  {text}" for text in self._shown)
            raise EpochbankError(
                f"{self._path}: {what.format(rows=counted(self._count, 'row'))}:{listed}{more}\n{remedy}"
            )
