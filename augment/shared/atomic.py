"""Publish a file: temporary file in the same directory, fsync, rename, fsync of the directory."""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import EpochbankError

TEMPORARY = ".tmp-"
"""Prefix of the name of every unpublished file."""
_MAX_NAME = 225
"""Longest name in bytes of what gets a temporary name first, which has up to 30 bytes more; file systems allow 255."""


def make_directory(directory: Path) -> None:
    """Create `directory` and its parents if they do not exist. Raises `EpochbankError` if one of them is a file."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise EpochbankError(
            f"{directory} cannot be created: {error.filename} is a file; expected a directory. Choose another path."
        ) from error


def check_name(path: Path) -> None:
    """Raise `EpochbankError` if the name of `path` leaves no room for a temporary name beside it."""
    length = len(os.fsencode(path.name))
    if length > _MAX_NAME:
        raise EpochbankError(
            f"{path} has a name of {length:,} bytes; expected at most {_MAX_NAME}. Choose a shorter name.", usage=True
        )


def temporary_beside(path: Path) -> Path:
    """Return a unique path for a temporary file in the directory of `path`."""
    return path.parent / f"{TEMPORARY}{secrets.token_hex(6)}-{path.name}"


def publish(temporary: Path, path: Path) -> None:
    """Rename the closed file `temporary` to `path`, durably.

    After a power failure `path` is either complete or does not exist.
    """
    sync(temporary)
    move(temporary, path)


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add `path` to an `OSError` without a path, such as that of a failed write or close, within the block.

    An error with a mere file name, as `shutil.rmtree` raises it, gets `path` as the directory.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        elif isinstance(error.filename, str) and os.sep not in error.filename:
            error.filename = str(Path(path) / error.filename)
        raise


def sync(path: Path) -> None:
    """Flush the closed file `path` to disk."""
    with naming(path), open(path, "rb+") as file:
        os.fsync(file.fileno())


def move(temporary: Path, path: Path) -> None:
    """Rename the synced file `temporary` to `path`, durably."""
    temporary.replace(path)
    sync_directory(path.parent)


def no_follow(path: str | os.PathLike[str], flags: int) -> int:
    """Open like `os.open`, but not through a symbolic link; as the `opener` of `open()`."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def refuse_links(paths: Iterable[Path]) -> None:
    """Raise `EpochbankError` if one of `paths` is a symbolic link, through which another file would be written."""
    for path in paths:
        if path.is_symlink():
            raise EpochbankError(
                f"{path} is a symbolic link; nothing is written through it, because sets and runs of others may point "
                "anywhere. Replace it with what it points to, or remove it."
            )


def sync_directory(directory: Path) -> None:
    """Flush the entries of `directory` to disk."""
    with naming(directory):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Publish `text`, encoded as UTF-8, as `path`.

    A byte of a path that is not in UTF-8, such as 0xE9, becomes `\\udce9`, which JSON reads back as the same path.
    """
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; publish it as `path` on success, remove it on any error.

    An `OSError` without a path, as that of a failed write, gets `path`.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        publish(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def sweep(directory: Path) -> int:
    """Remove the temporary files that a killed run left below `directory`; return their number."""
    left = list(directory.rglob(f"{TEMPORARY}*"))
    for path in left:
        remove(path)
    return len(left)


def remove(temporary: Path) -> None:
    """Remove a temporary file or directory if it exists; what cannot be removed of a directory stays."""
    for again in (True, False):  # An error, on a network file system for example, may be one of the moment.
        try:
            if temporary.is_dir() and not temporary.is_symlink():
                shutil.rmtree(temporary)
            else:
                temporary.unlink(missing_ok=True)
            return
        except OSError:
            if not again and not temporary.is_dir():
                raise
