"""Advisory file locks, which are released when their process ends."""

import fcntl
import os
import socket
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import EpochbankError


@contextmanager
def writing(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on `path`: one writer at a time.

    Parameters
    ----------
    path
        A directory, or a lock file, which is created and contains the process that holds the lock.
    wait
        Wait if another process holds the lock.

    Raises
    ------
    EpochbankError
        If another process holds the lock and `wait` is False.
    """
    directory = path if path.is_dir() else path.parent
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            holder = "" if path.is_dir() else f" ({path.read_text().strip() or 'unknown'})"
            raise EpochbankError(
                f"{directory} is being written by another run{holder}. "
                "Wait until it has finished, or stop it, then run the same command again."
            ) from error
        if not path.is_dir():
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        os.close(descriptor)


class SharedLock:
    """A lock between threads and processes, forked or spawned.

    It is a private temporary file with a random name, so no other user can create or hold it. A copy, also a pickled
    one, is the same lock as long as the original object exists, which removes the file when it is dropped.
    """

    def __init__(self) -> None:
        self._create()

    def _create(self) -> None:
        descriptor, self._path = tempfile.mkstemp(prefix="epochbank-", suffix=".lock")
        os.close(descriptor)
        weakref.finalize(self, _remove, self._path, os.getpid())

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # The original is gone, so this copy becomes a separate lock.
            self._create()
            return os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; wait for other threads and processes that hold it."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.utime(descriptor)  # Systems remove temporary files that are not used for days.
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # A process that was forked in between has the file open, too.
            os.close(descriptor)


def _remove(path: str, process: int) -> None:
    if os.getpid() == process:  # A forked process has a copy of the object.
        Path(path).unlink(missing_ok=True)
