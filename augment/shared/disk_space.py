"""Space on a disk: checked before anything is written, and the limits that the user set."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import EpochbankError
from .progress import size

_SPARE_BYTES = 16 << 20
"""Bytes that must stay free."""


def check_disk_space(
    directory: Path,
    needed: int,
    what: str = "the set",
    fix: str = "choose another disk with --sets, or reduce --epochs or --size",
) -> None:
    """Raise `EpochbankError` if the disk of `directory` has no room for `needed` bytes.

    `directory` need not exist yet; `what` names what is to be written, and `fix` says what to do beside freeing space.
    """
    free = shutil.disk_usage(_existing(directory)).free
    if needed + _SPARE_BYTES > free:
        raise EpochbankError(
            f"{what} needs {size(needed)} and {size(_SPARE_BYTES)} must stay free, but the disk of {directory} has "
            f"{size(free)} left. Free space, {fix}."
        )


@dataclass(frozen=True)
class Limits:
    """What a run may use of a disk, in bytes; None for no limit."""

    keep_free: int | None = None
    """Bytes of the disk that stay free."""
    max_bytes: int | None = None
    """Bytes that everything in the directory of the sets may occupy: sets, source files and temporary files."""

    def __bool__(self) -> bool:
        """Return whether there is a limit."""
        return self.keep_free is not None or self.max_bytes is not None

    def exceeded(self, sets: Path, more: float = 0, what: str = "next shard", used: int | None = None) -> str:
        """Return which limit `more` bytes in addition to those on disk would exceed, as a sentence; '' if none.

        `sets` is the directory of the sets, which need not exist yet; `what` names what needs the bytes; `used` is the
        number of bytes that everything in `sets` occupies, None to count them.
        """
        if self.keep_free is not None:
            free = shutil.disk_usage(_existing(sets)).free
            if free - more < self.keep_free:
                return (
                    f"{size(self.keep_free)} of the disk of {sets} must stay free (--keep-free), and {size(free)} are "
                    f"free{_needed(what, more)}. Free space, or lower the limit."
                )
        if self.max_bytes is not None:
            used = bytes_below(sets) if used is None else used
            if used + more > self.max_bytes:
                return (
                    f"{sets} may occupy at most {size(self.max_bytes)} (--max-bytes), and it occupies {size(used)}"
                    f"{_needed(what, more)}. Remove what is not needed, for example with `augment gc`, or raise the "
                    "limit."
                )
        return ""


def bytes_below(directory: Path) -> int:
    """Return the bytes of all files below `directory`. Files that disappear in the meantime do not count."""
    total, left = 0, [str(directory)]
    while left:
        with suppress(FileNotFoundError), os.scandir(left.pop()) as found:
            for one in found:
                if one.is_dir(follow_symlinks=False):
                    left.append(one.path)
                    continue
                with suppress(FileNotFoundError):
                    total += one.stat(follow_symlinks=False).st_size
    return total


def _needed(what: str, more: float) -> str:
    return f"; the {what} needs about {size(more)}" if more else ""


def _existing(directory: Path) -> Path:
    return next(path for path in (directory, *directory.absolute().parents) if path.exists())
