"""Advisory file locks, which are released when their process ends, and say who holds them.

A lock file contains, while it is held, one line of JSON: `process`, `host`, `command` and `since` (local time). On one
machine the kernel releases the lock of a process that died. Where two machines share a disk but not its locks, the
time of the file tells: the holder updates it every 30 seconds.
"""

import errno
import fcntl
import json
import os
import shlex
import socket
import stat
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..console import notify
from ..errors import EpochbankError
from .atomic import naming, no_follow, refuse_links

LOCK = ".lock"
"""Name of the lock file in a directory."""

_HEARTBEAT = 30.0
"""Seconds between updates of the time of a held lock file."""
_DEAD_AFTER = 4 * _HEARTBEAT
"""A holder on another machine that has not updated the file for this number of seconds is dead."""
_SECONDS_BETWEEN_TRIES = 0.2
_SECONDS_TO_WRITE_RECORD = 1.0
"""Seconds to wait for the record of a process that has just taken the lock."""
_LONGEST = 200
"""Characters of a holder's command that are stored and shown."""


@contextmanager
def writing(
    path: Path, *, what: Path | str | None = None, wait: bool = False, can_wait: bool = False, remove: bool = False
) -> Iterator[None]:
    """Hold an exclusive lock on `path`: one writer at a time.

    Parameters
    ----------
    path
        A lock file, which is created and says who holds the lock; or a directory, whose `.lock` is used and removed.
    what
        What the lock protects, for messages; by default the directory of `path`.
    wait
        Wait if another process holds the lock, and report once who holds it.
    can_wait
        The command has an option --wait, which the message names.
    remove
        Remove the lock file at the end.

    Raises
    ------
    EpochbankError
        If another process holds the lock and `wait` is False, or the lock file is a symbolic link.
    """
    if path.is_dir():
        path, remove = path / LOCK, True
    with naming(path):
        descriptor = _acquire(path, what or path.parent, wait, can_wait)
    ended = threading.Event()
    try:
        with naming(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(_own_record()).encode(), 0)
        heart = threading.Thread(target=_beat, args=(descriptor, ended), daemon=True, name="lock")
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            with suppress(OSError):
                path.unlink() if remove else os.ftruncate(descriptor, 0)
    finally:
        with suppress(OSError):  # It is closed, and the lock file holds nothing that could be lost.
            os.close(descriptor)


def holder_of(path: Path) -> str | None:
    """Return who holds the lock file `path`: `process 17 on host, since TIME: COMMAND`; None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        if not _lock(descriptor) or _lives_elsewhere(descriptor):
            return _describe(_read(descriptor))
        return None
    finally:
        os.close(descriptor)


def _acquire(path: Path, what: Path | str, wait: bool, can_wait: bool) -> int:
    """Return the descriptor of the locked file `path`."""
    reported, unnamed_until = False, time.monotonic() + _SECONDS_TO_WRITE_RECORD
    while True:
        descriptor = _open(path)
        try:
            locked = _lock(descriptor)
            if locked and not _is(descriptor, path):  # Its last holder removed it, and this file has no name.
                os.close(descriptor)
                continue
            holder = _read(descriptor)
            if locked and not _lives_elsewhere(descriptor):
                if _host_of(holder) not in (None, socket.gethostname()):
                    notify(f"{what}: {_describe(holder)}, left a lock and is no longer alive; the lock is taken")
                return descriptor
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise
        os.close(descriptor)
        if not holder and time.monotonic() < unnamed_until:  # It has the lock, and is about to write who it is.
            time.sleep(_SECONDS_TO_WRITE_RECORD / 10)
            continue
        if not wait:
            how = "Wait until it has finished (--wait)" if can_wait else "Wait until it has finished"
            raise EpochbankError(
                f"{what} is being written by another run ({_describe(holder)}). "
                f"{how}, or stop it, then run the same command again."
            )
        if not reported:
            notify(f"waiting for another run, which is writing {what} ({_describe(holder)})")
            reported = True
        time.sleep(_SECONDS_BETWEEN_TRIES)


def _open(path: Path) -> int:
    refuse_links([path])
    try:
        descriptor = no_follow(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.EISDIR:
            raise
        raise _not_a_lock(path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_lock(path)
    return descriptor


def _not_a_lock(path: Path) -> EpochbankError:
    return EpochbankError(f"{path} is not a regular file; expected a lock file. Remove it, then run the command again.")


def _lock(descriptor: int) -> bool:
    """Lock the file; return whether that was possible."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _own_record() -> dict[str, Any]:
    command = shlex.join([Path(sys.argv[0] or "python").name, *sys.argv[1:]])
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "command": command[:_LONGEST],
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _read(descriptor: int) -> dict[str, Any] | str:
    """Return the record in a lock file, or its text if it is that of an earlier version, '' if it is empty."""
    text = os.pread(descriptor, 16 * _LONGEST, 0).decode(errors="replace").strip()
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return record if isinstance(record, dict) else text


def _host_of(holder: dict[str, Any] | str) -> str | None:
    return str(holder.get("host")) if isinstance(holder, dict) else None


def _describe(holder: dict[str, Any] | str) -> str:
    """Return a holder as printable text: the record of a stranger's set may contain anything."""
    if isinstance(holder, dict):
        process, host, since, command = (holder.get(name, "?") for name in ("process", "host", "since", "command"))
        holder = f"process {process} on {host}, since {since}: {command}"
    text = "".join(letter if letter.isprintable() else "?" for letter in holder[: 2 * _LONGEST])
    return text or "unknown process"


def _lives_elsewhere(descriptor: int) -> bool:
    """Return whether the record names another machine whose process has updated the file lately.

    Both times are those of the file system, because the clocks of two machines differ.
    """
    if _host_of(_read(descriptor)) in (None, socket.gethostname()):
        return False
    before = os.fstat(descriptor)
    os.utime(descriptor)
    age = os.fstat(descriptor).st_mtime - before.st_mtime
    os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
    return age < _DEAD_AFTER


def _beat(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(_HEARTBEAT):
        with suppress(OSError):  # A disk that fails stops the work itself.
            os.utime(descriptor)


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
