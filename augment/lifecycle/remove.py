"""Remove a set: at once for everybody who looks, and never while it is written or read."""

import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ..errors import EpochbankError
from ..shared.atomic import sync_directory, temporary_beside
from ..shared.disk_space import bytes_below
from ..shared.lock import LOCK, writing
from ..shared.reading_lock import unread


def remove_set(directory: Path) -> int:
    """Remove the set in `directory` with all its files, and return their bytes. Its source file stays.

    The set is renamed first, so that a kill leaves no half of a set, but a temporary directory, which `gc` removes.
    Raises `EpochbankError` if a run writes it, or something reads it.
    """
    with writing(directory / LOCK), unread(directory), _not_followed(directory):
        occupied = bytes_below(directory)
        renamed = temporary_beside(directory.absolute().parent / "removed")
        directory.absolute().rename(renamed)
        try:
            sync_directory(renamed.parent)
            shutil.rmtree(renamed)
        except OSError as error:
            raise EpochbankError(
                f"{directory} is removed, but some of its files are left in {renamed}: {error.strerror or error}. "
                "`augment gc` removes them."
            ) from error
    return occupied


def _not_followed(directory: Path) -> AbstractContextManager[None]:
    """Lock the training split, which trainings that follow the set lock, so that none of them reads it."""
    return unread(directory / "train") if (directory / "train").is_dir() else nullcontext()
