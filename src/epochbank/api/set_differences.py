"""What differs between two sets."""

from pathlib import Path
from typing import Any

from ..augment.lifecycle import diff as diffs
from ..augment.lifecycle.content import SetContent, stored_content
from ..train.feeding.augmented_set import AugmentedSet
from .directories import directory_of
from .values import DEFAULT_SETS


def content(name: str | Path | AugmentedSet, *, sets: str | Path = DEFAULT_SETS) -> SetContent:
    """Return the content of a set, as `augment diff` compares it."""
    return stored_content(directory_of(name, sets))


def diff(
    a: str | Path | AugmentedSet, b: str | Path | AugmentedSet, *, sets: str | Path = DEFAULT_SETS
) -> dict[str, Any]:
    """Return what differs between sets `a` and `b`: the keys of `augment diff --json`."""
    one, other = content(a, sets=sets), content(b, sets=sets)
    return diffs.to_json(one, other, diffs.differences(one, other))
