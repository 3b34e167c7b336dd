"""The accepted name nearest to a mistyped one, for the end of an error message. Pure functions."""

from collections.abc import Iterable
from difflib import SequenceMatcher

__all__ = ["closest", "did_you_mean"]

_SIMILAR = 0.6
"""Least similarity of a suggestion, the default of `difflib.get_close_matches`."""


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that is most similar to `name`; None if none is similar.

    Case, `-` and `_` make no difference. Names with the same letters in another order are similar, and so is a name
    that begins with `name`.
    """
    scored = [(_similarity(_folded(name), _folded(one)), one) for one in sorted(names)]
    score, found = max(scored, default=(0.0, ""), key=lambda one: one[0])
    return found if score >= _SIMILAR else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `` Did you mean `x`?`` with the closest of `names`; an empty string if none is similar."""
    found = closest(name, names)
    return "" if found is None else f" Did you mean `{found}`?"


def _folded(name: str) -> str:
    return name.casefold().replace("_", "-")


def _similarity(name: str, other: str) -> float:
    """Return a number from 0 to 1: the ratio of `difflib`, which is low for letters in another order."""
    if sorted(name) == sorted(other):
        return 1.0
    if len(name) >= 3 and other.startswith(name):
        return 0.9
    return SequenceMatcher(None, name, other).ratio()
