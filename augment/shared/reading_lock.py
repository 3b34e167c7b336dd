"""Shared locks of readers on a file or directory, so that nothing deletes what a training or a run reads.

They are advisory locks (`flock`) on the path itself, and end with the process. Readers need no permission to write and
leave no file. Where the file system has no such locks, readers read all the same, and deletions are refused.

An open set locks its directory, which keeps all of its files. A training that follows a set locks only the folder of
the training split and those of the stored epochs that it reads, so that other epochs can be retired and deleted.
"""

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import EpochbankError


class ReadingLock:
    """A shared lock on `path`, held until this object is dropped or closed. A pickled copy locks the path again.

    Raises `FileNotFoundError` if there is no such path.
    """

    def __init__(self, path: Path):
        self._path = path
        while True:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._close = weakref.finalize(self, _close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return
            except FileNotFoundError:  # It was deleted while this waited for the lock; the next `open` raises.
                pass
            except OSError:  # This file system has no locks: `unread` refuses to delete anything on it.
                self._close()
                return
            self._close()

    def close(self) -> None:
        """Release the lock."""
        self._close()

    def __reduce__(self) -> tuple[type["ReadingLock"], tuple[Path]]:
        """Lock the path again in the process that unpickles the object."""
        return ReadingLock, (self._path,)


def _close(descriptor: int) -> None:
    with suppress(OSError):  # It is closed, and nothing was written to it.
        os.close(descriptor)


@contextmanager
def unread(path: Path) -> Iterator[None]:
    """Keep readers of `path` out. Raises `EpochbankError` if one has locked it, or the file system has no locks."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EpochbankError(
                f"{path} is being read by a training or another run. Wait until it has finished, or stop it, then run "
                "the same command again."
            ) from error
        except OSError as error:
            raise EpochbankError(
                f"{path} is on a file system without locks ({error}), so it is unknown whether it is being read. "
                "Delete it by hand once nothing reads it."
            ) from error
        yield
    finally:
        _close(descriptor)
