"""Check that a disk has enough space before anything is written."""

import shutil
from pathlib import Path

from ..errors import EpochbankError
from .progress import size

_SPARE_BYTES = 16 << 20
"""Bytes that must stay free."""


def check_disk_space(directory: Path, needed: int, what: str = "the set") -> None:
    """Raise `EpochbankError` if the disk of `directory` has no room for `needed` bytes.

    `directory` need not exist yet; `what` names what is to be written.
    """
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed + _SPARE_BYTES > free:
        raise EpochbankError(
            f"{what} needs {size(needed)} and {size(_SPARE_BYTES)} must stay free, but the disk of {directory} has "
            f"{size(free)} left. Free space, choose another disk with --sets, or reduce --epochs or --size."
        )
