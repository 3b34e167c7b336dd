"""The place of an export: a directory that is new, or empty, until everything is in it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import EpochbankError
from ..ingest.workspace import sweep_workspaces_of
from ..shared.atomic import TEMPORARY, check_name, sync_directory


def new_place(dest: Path, directory: Path) -> Path:
    """Return `dest` if an export may be written there; raise `EpochbankError` otherwise."""
    if dest.is_symlink() or dest.name == "" or ".." in dest.parts:
        dest = dest.resolve()  # Otherwise `new/../name` would create `new`.
    check_name(dest)
    if dest.resolve().is_relative_to(directory.resolve()):
        raise EpochbankError(f"{dest} is in the set {directory}; expected a directory outside it.", usage=True)
    if dest.exists() and not dest.is_dir():
        raise EpochbankError(f"{dest} is a file; expected a new directory. Remove it or choose another name.")
    if dest.exists() and any(dest.iterdir()):
        sweep_workspaces_of(dest)  # Of an export that was killed just after it had written `dest`.
        raise EpochbankError(
            f"{dest} exists and is not empty; expected a new directory. Remove it or choose another name."
        )
    return dest


def publish(content: Path, dest: Path) -> None:
    """Give the complete directory `content` the name `dest`, durably; it replaces nothing but an empty directory."""
    try:
        content.rename(dest)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise EpochbankError(
                f"{dest} appeared during the export; expected a new directory. Remove it or choose another name, then "
                "run the command again."
            ) from error
        raise
    try:
        sync_directory(dest.parent)
    except OSError:
        dest.rename(content)  # After an error there is no DEST, so that the same command can be run again.
        raise


@contextmanager
def naming(dest: Path) -> Iterator[None]:
    """Name `dest` in an `OSError` within the block, instead of no path or a temporary one."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and TEMPORARY not in os.fsdecode(error.filename):
            raise
        if error.errno is None:
            raise EpochbankError(
                f"{dest} cannot be written: {error}. Check the disk, then run the command again."
            ) from error
        raise OSError(error.errno, error.strerror, str(dest)) from error
