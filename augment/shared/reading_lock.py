"""Shared locks of readers on a file or directory, so that nothing deletes what a training or a run reads.

They are advisory locks (`flock`) on the path itself, and end with the process. Readers need no permission to write and
leave no file. If the file system has no such locks, reading still works, and deletions are refused.

Network file systems lock files between machines, but directories only within one machine. A lock on the directory of a
set therefore also locks its `set.json`, which is never replaced, and a lock on a folder of shards also its first shard.
On these file systems, an exclusive lock needs a file that is open for writing, and a file that is open cannot be
deleted completely: rename what is locked, and delete it once the lock is released.

An open set locks its directory, which keeps all of its files. A training that follows a set locks only the folder of
the training split and those of the stored epochs that it reads, so that other epochs can be retired and deleted.
"""

import errno
import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import EpochbankError

_IN_DIRECTORY = ("set.json", f"{0:010}.h5")
"""The file to lock in the directory of a set, and in a folder of shards."""


class ReadingLock:
    """A shared lock on `path`, held until this object is dropped or closed. A pickled copy locks the path again.

    Raises `FileNotFoundError` if there is no such path.
    """

    def __init__(self, path: Path):
        self._path = path
        while True:
            descriptors: list[int] = []
            self._close = weakref.finalize(self, _close, descriptors)
            descriptors.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            try:
                _share(descriptors[0], path)
                for file in _file_in(path):
                    descriptors.append(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
                    _share(descriptors[1], file)
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


def _file_in(path: Path) -> list[Path]:
    """Return the file to lock beside a directory; none in a directory of another kind."""
    return [path / name for name in _IN_DIRECTORY if (path / name).is_file()][:1]


def _share(descriptor: int, path: Path) -> None:
    """Lock an open file or directory. Raises `FileNotFoundError` if it is no longer that at `path`."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if not os.path.samestat(os.fstat(descriptor), path.stat()):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with suppress(OSError):  # It is closed, and nothing was written to it.
            os.close(descriptor)


def _open_to_lock(path: Path) -> int:
    """Open a file for writing if permitted, as exclusive locks on network file systems need it; else for reading."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def unread(path: Path) -> Iterator[None]:
    """Keep readers of `path` out. Raises `EpochbankError` if one has locked it, or the file system has no locks."""
    descriptors = [_open_to_lock(path)]
    try:
        try:
            fcntl.flock(descriptors[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            for file in _file_in(path):
                descriptors.append(_open_to_lock(file))
                fcntl.flock(descriptors[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EpochbankError(
                f"{path} is being read by a training run or another command. Wait until it has finished, or stop it, "
                "then run the same command again."
            ) from error
        except OSError as error:
            raise EpochbankError(
                f"{path} is on a file system without locks ({error}), so it is unknown whether it is being read. "
                "Delete it by hand once nothing reads it."
            ) from error
        yield
    finally:
        _close(descriptors)
