"""Finds names of classes that are probably meant to be the same. Pure functions."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

_SHOWN = 5
"""Groups of names in the note; further ones are counted."""

_DIFFERENCES = {
    "white space": lambda name: "".join(name.split()),
    "Unicode form": lambda name: unicodedata.normalize("NFC", name),
    "case": str.lower,
}
"""What may differ, and the function that removes the difference."""


def similar_names(class_names: Sequence[str]) -> list[str]:
    """Return a note on the class names that differ only in white space, Unicode form or case; none without such names.

    Such names are often one class by mistake; but `C` and `c` may well be two.
    """
    alike = defaultdict[str, list[str]](list)
    for name in class_names:
        alike[_without(name, *_DIFFERENCES)].append(name)
    groups = [names for names in alike.values() if len(names) > 1]
    if not groups:
        return []
    pairs = [pair for names in groups for pair in pairwise(names)]
    kinds = [kind for kind in _DIFFERENCES if any(_differ_in(kind, *pair) for pair in pairs)]
    listed = " or ".join(filter(None, [", ".join(kinds[:-1]), kinds[-1]]))
    shown = ", ".join(" and ".join(map(repr, names)) for names in groups[:_SHOWN])
    more = f" and {len(groups) - _SHOWN:,} more" if len(groups) > _SHOWN else ""
    return [f"classes whose names differ only in {listed} are kept separate: {shown}{more}"]


def _differ_in(kind: str, one: str, other: str) -> bool:
    """Return whether two names still differ when all differences but those of `kind` are removed."""
    others = [each for each in _DIFFERENCES if each != kind]
    return _without(one, *others) != _without(other, *others)


def _without(name: str, *kinds: str) -> str:
    for kind in kinds:
        name = _DIFFERENCES[kind](name)
    return name
