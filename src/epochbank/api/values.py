"""Defaults that both commands share, and checks of values."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from ..augment.errors import EpochbankError
from ..augment.shared.closest import did_you_mean

DEFAULT_RECIPE = "kanji"
DEFAULT_SETS = "sets"
DEFAULT_RUNS = "runs"
LEAST = {
    "epochs": 1, "jobs": 1, "limit": 1, "seed": 0, "seeds": 1, "shard_size": 1, "chunk_size": 1, "top": 1,
    "batch_size": 1, "keep_free": 0, "max_bytes": 1,
}  # fmt: skip
"""Least values of the keywords that are whole numbers, as on the command line."""


def check_numbers(**numbers: Any) -> None:
    """Raise `EpochbankError` unless each is an int of at least `LEAST`, or None where that is a default."""
    for name, number in numbers.items():
        default = number is None and name not in ("epochs", "seed")
        if not default and not (is_whole(number) and number >= LEAST[name]):
            raise invalid(name, number, f"an int of at least {LEAST[name]}")


def is_whole(value: Any) -> bool:
    """Whether `value` is an int of Python or NumPy."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def invalid(name: str, value: Any, expected: str, choices: Iterable[str] = ()) -> EpochbankError:
    """Return the error for a keyword's value; `choices` are what a misspelled string is compared with."""
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    return EpochbankError(f"{name}={value!r} is invalid; expected {expected}.{hint}", usage=True)
