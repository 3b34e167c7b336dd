"""The workspace of an import: a temporary directory beside the file that it writes, locked while it is used.

An import that is killed leaves its workspace without a lock, and the next import beside it removes it. Two imports
never remove each other's, and the second one to the same file is refused, with the process that writes it. The locks
are on the directory and on a file in it that is open for writing: network file systems lock directories only within one
machine.
"""

import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..console import notify
from ..errors import EpochbankError
from ..shared.atomic import TEMPORARY, check_name, remove, sync_directory

_SECONDS_BETWEEN_LOOKS = 0.2
_OWNER = "owner"
"""File in a workspace that says who uses it, and that is locked."""
_WORKSPACE = rf"{re.escape(TEMPORARY)}[0-9a-f]{{12}}([0-9a-f]{{12}})?-"
"""How the name of a workspace begins, as `_create` makes it, or as earlier versions did with 12 digits; other temporary
directories are not touched."""


@contextmanager
def workspace_for(path: Path, *, wait: bool = False, what: str = "import") -> Iterator[Path]:
    """Create and lock a directory beside `path`, in which `path` is made; yield it, and remove it in the end.

    Removes what killed imports of `path` have left. Raises `EpochbankError` if another process imports into `path`,
    unless `wait` is True, if `path` has appeared while this waited, and if its name is too long. `what` names the work
    in messages.
    """
    check_name(path)
    sweep_workspaces_of(path)
    directory, descriptors = _create(path)
    try:
        (directory / _OWNER).write_text(
            f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        )
        if wait:
            _wait_for_first(path, directory)
        _refuse_second(path, directory, what)
        yield directory
    finally:
        with suppress(OSError):  # The next import removes it.
            remove(directory)
        _close(descriptors)


def sweep_workspaces_of(path: Path) -> None:
    """Remove what killed imports of `path` have left beside it."""
    for left in path.parent.glob(f"{TEMPORARY}*"):
        if re.fullmatch(rf"{_WORKSPACE}{re.escape(path.name)}", left.name):
            remove_if_unused(left)


def sweep_workspaces(directory: Path) -> None:
    """Remove what killed imports have left in `directory`."""
    for left in directory.glob(f"{TEMPORARY}*"):
        remove_if_unused(left)


def remove_if_unused(temporary: Path) -> bool:
    """Remove a temporary file or directory unless a running import uses it; return whether it was removed."""
    if temporary.is_symlink() or not (temporary.is_dir() or temporary.is_file()):
        remove(temporary)  # No import makes a link or a special file, and opening a pipe would wait for its writer.
        return True
    descriptors = _locked(temporary)
    if descriptors is None:
        return False
    try:
        remove(temporary)
    finally:
        _close(descriptors)
    return True


def publish_new(temporary: Path, path: Path) -> None:
    """Give the synced file `temporary` the name `path`, durably. Raises `FileExistsError` if something has that name.

    Where the file system has no hard links, that is checked just before the file is renamed.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(str(path)) from None
        temporary.rename(path)
    try:
        sync_directory(path.parent)
    except OSError:
        path.unlink()  # After an error there is no file, so that the same command can be run again.
        raise


def _create(path: Path) -> tuple[Path, list[int]]:
    """Create a workspace and lock it. The names of workspaces sort by the time of their creation."""
    while True:
        name = f"{TEMPORARY}{time.time_ns():016x}{secrets.token_hex(4)}-{path.name}"
        directory = path.parent / name
        directory.mkdir(mode=0o700)
        descriptors: list[int] = []
        try:
            try:
                # Another import may lock it briefly, or remove it.
                descriptors.append(os.open(directory, os.O_RDONLY))
                fcntl.flock(descriptors[0], fcntl.LOCK_EX)
                descriptors.append(os.open(directory / _OWNER, os.O_RDWR | os.O_CREAT, 0o666))
                fcntl.flock(descriptors[1], fcntl.LOCK_EX)
                if os.path.samestat((directory / _OWNER).stat(), os.fstat(descriptors[1])):
                    return directory, descriptors
            except FileNotFoundError:
                pass
            except OSError:
                if not descriptors:
                    raise
                return directory, descriptors  # The file system has no locks, so no import removes a workspace.
        except OSError:
            with suppress(OSError):
                directory.rmdir()
            raise
        _close(descriptors)


def _open(temporary: Path) -> list[int]:
    """Open the parts of a temporary file or directory that are locked, for writing if permitted."""
    if temporary.is_dir():
        descriptors = [os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)]
        with suppress(FileNotFoundError):
            descriptors.append(os.open(temporary / _OWNER, os.O_RDWR | os.O_NOFOLLOW))
        return descriptors
    try:
        return [os.open(temporary, os.O_RDWR | os.O_NOFOLLOW)]
    except PermissionError:
        return [os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)]


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with suppress(OSError):  # It is closed nevertheless.
            os.close(descriptor)


def _locked(temporary: Path) -> list[int] | None:
    """Lock a temporary file or directory, and return its descriptors; None if it is in use, or cannot be locked."""
    try:
        descriptors = _open(temporary)
    except OSError:
        return None
    try:
        for descriptor in descriptors:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _close(descriptors)
        return None
    return descriptors


def _is_in_use(temporary: Path) -> bool:
    """Return whether another process has locked a workspace; False if it is gone, or cannot be locked."""
    with suppress(OSError):
        descriptors = _open(temporary)
        try:
            for descriptor in descriptors:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            _close(descriptors)
    return False


def _wait_for_first(path: Path, own: Path) -> None:
    """Wait until no older workspace for `path` is in use, and report once who uses it."""
    reported = False
    while True:
        try:
            _refuse_second(path, own)
        except EpochbankError as error:
            if not reported:
                notify(f"waiting: {str(error).partition('. ')[0]}")
            reported = True
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        else:
            break
    if reported and path.exists():
        raise EpochbankError(f"{path} exists now: the other import has written it. Use it, or choose another name.")


def _refuse_second(path: Path, own: Path, what: str = "import") -> None:
    """Raise `EpochbankError` if a workspace for `path` that is older than `own` is in use."""
    pattern = re.compile(rf"{_WORKSPACE}{re.escape(path.name)}")
    for other in sorted(path.parent.glob(f"{TEMPORARY}*")):
        if other.name < own.name and pattern.fullmatch(other.name) and _is_in_use(other):
            owner = "unknown"
            with suppress(OSError):
                owner = (other / _OWNER).read_text()
            raise EpochbankError(
                f"{path} is being written by another {what} ({owner}). Wait until it has finished"
                f"{' (--wait)' if what == 'import' else ''}, or choose another name."
            )
