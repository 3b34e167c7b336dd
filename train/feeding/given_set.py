"""A set as callers name it: an open set, its path, or its name in `sets/`."""

from pathlib import Path

from ...augment.store.catalog import find_set
from ..reading.stored_set import StoredSet, read_stored_set

AnySet = StoredSet | str | Path
"""An open set, its path, or its name in `sets/`."""


def opened(given: AnySet) -> StoredSet:
    """Return the set that `given` names. Raises `EpochbankError` if there is no such set, or it cannot be opened."""
    return given if isinstance(given, StoredSet) else read_stored_set(find_set(given, Path("sets")))
