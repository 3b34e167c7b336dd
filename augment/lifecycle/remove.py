"""Remove a set: at once for everybody who looks, and never while it is written or read."""

import shutil
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from ..errors import EpochbankError
from ..shared.atomic import TEMPORARY, sync_directory, temporary_beside
from ..shared.disk_space import bytes_below
from ..shared.lock import LOCK, writing
from ..shared.reading_lock import unread

_REMOVED = "removed"
"""End of the name of a set that is being removed."""


def finish_removals(sets: Path) -> None:
    """Remove what a removal in `sets` that was killed has left. What cannot be removed now stays for `augment gc`."""
    for left in sets.glob(f"{TEMPORARY}*-{_REMOVED}"):
        with suppress(OSError):
            _delete(left)


def remove_set(directory: Path) -> int:
    """Remove the set in `directory` with all its files, and return their bytes. Its source file stays.

    The set is renamed first, so that a kill leaves no half of a set, but a temporary directory, which the next
    `remove`, `run` or `gc` removes.
    Raises `EpochbankError` if a run writes it, or something reads it.
    """
    with writing(directory / LOCK), unread(directory), _not_followed(directory):
        occupied = bytes_below(directory)
        renamed = temporary_beside(directory.absolute().parent / _REMOVED)
        directory.absolute().rename(renamed)
    try:
        sync_directory(renamed.parent)
        _delete(renamed)
    except OSError as error:
        raise EpochbankError(
            f"{directory} is removed, but some of its files are left in {renamed}: {error.strerror or error}. "
            "`augment gc` removes them."
        ) from error
    return occupied


def _delete(directory: Path) -> None:
    """Delete a directory that has been renamed, which another process may delete at the same time."""
    while directory.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(directory)


def _not_followed(directory: Path) -> AbstractContextManager[None]:
    """Lock the training split, which trainings that follow the set lock, so that none of them reads it."""
    return unread(directory / "train") if (directory / "train").is_dir() else nullcontext()
