"""The directories and files that arguments name."""

import os
from pathlib import Path

from ..augment.errors import EpochbankError
from ..augment.store.catalog import find_set, sets_path
from ..augment.store.objects.mirror import remote_url
from ..train.feeding.augmented_set import AugmentedSet


def directory_of(name: str | Path | AugmentedSet | None, sets: str | Path) -> Path:
    """Return the directory of a set, or the mirror of one in an object store. `EpochbankError` if there is none."""
    return name.path if isinstance(name, AugmentedSet) else find_set(name, sets_path(sets))


def local_directory(directory: Path, cannot: str) -> Path:
    """Return `directory`. Raises `EpochbankError` if it is the mirror of a set in an object store."""
    url = remote_url(directory)
    if url is not None:
        raise EpochbankError(f"{url} is in an object store, and cannot {cannot}. Nothing was changed.", usage=True)
    return directory


def optional_path(path: str | os.PathLike[str] | None) -> Path | None:
    """Return a path that may be a string or missing."""
    return None if path is None else Path(path)
