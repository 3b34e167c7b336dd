"""What a set's directory may contain: regular files and directories, and no link that leads out of it.

The directory of the set may itself be a symbolic link. Inside it, a link to another place of the same set is accepted.
A link out of the set, a FIFO, a socket or a device is refused before it is opened: it could have a run overwrite a file
of the user's, or wait forever.
"""

import os
import stat
from pathlib import Path

from ..errors import EpochbankError

COPY = "Copy the set with `cp -rL`, which copies the files that links lead to, and use the copy."


def check_directory(directory: Path) -> None:
    """Raise `EpochbankError` if the set's `directory` contains a special file or a link that leads out of the set.

    The directories of shards are not searched. Raises `OSError` if `directory` cannot be read.
    """
    with os.scandir(directory) as found:
        odd = [Path(one.path) for one in found if not one.is_file(follow_symlinks=False)]
    for path in sorted(odd):
        fault = special(path, directory)
        if fault:
            raise EpochbankError(f"{path} is {fault}. {COPY}")


def special(path: Path, directory: Path) -> str:
    """Return what `path` in the set's `directory` is, if it may not be there; '' for a file, a directory or nothing.

    Raises `OSError` if that cannot be found out.
    """
    try:
        if path.is_symlink() and not _inside(path, directory):
            return f"a symbolic link to {os.path.realpath(path)}; expected a file or a directory in the set"
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ""
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "no regular file; expected a file or a directory"


def _inside(path: Path, directory: Path) -> bool:
    root = os.path.realpath(directory)
    return os.path.commonpath([root, os.path.realpath(path)]) == root
