"""Publishing a file: a temporary in the same directory, fsync, rename, fsync of the directory."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import EpochbankError

TEMPORARY = ".tmp-"
"""What the name of every unpublished file starts with."""


def make_directory(directory: Path) -> None:
    """Make `directory` and what it lies in, where they are not there; `EpochbankError` where a file is in the way."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise EpochbankError(
            f"{directory} cannot be made: {error.filename} is a file; expected a directory. Choose another place."
        ) from error


def temporary_beside(path: Path) -> Path:
    """A unique name, not yet taken, in the directory of `path`."""
    return path.parent / f"{TEMPORARY}{secrets.token_hex(6)}-{path.name}"


def publish(temporary: Path, path: Path) -> None:
    """Make the closed file `temporary` appear as `path`, durably: wholly there after a power cut, or not at all."""
    sync(temporary)
    move(temporary, path)


def sync(path: Path) -> None:
    """Make the closed file `path` durable."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def move(temporary: Path, path: Path) -> None:
    """Make the synced file `temporary` appear as `path`, durably."""
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Publish `text` (UTF-8) as `path`."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary to write to; publish it as `path` on success, remove it on any error."""
    temporary = temporary_beside(path)
    try:
        yield temporary
        publish(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def sweep(directory: Path) -> int:
    """Remove the temporaries that a killed run left below `directory`; returns how many."""
    left = list(directory.rglob(f"{TEMPORARY}*"))
    for path in left:
        remove(path)
    return len(left)


def remove(temporary: Path) -> None:
    """Remove a temporary file or directory that may be gone already."""
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)
