"""Options as words of a command line, to repeat those that were given. Pure functions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SEPARATORS = {"size": "x", "per_class": ":"}
"""Separators of the options whose values are two numbers."""


def option_words(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Return the options that differ from their defaults, as words: `{"on_bad": "skip"}` becomes `--on-bad skip`.

    Keys are the names of keywords in Python. A value of None stands for an option that is not given.
    """
    words = []
    for name, value in values.items():
        value = str(value) if isinstance(value, Path) else value
        if value is None or value == defaults.get(name):
            continue
        text = _SEPARATORS.get(name, " ").join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [f"--{name.replace('_', '-')}", text]
    return words
