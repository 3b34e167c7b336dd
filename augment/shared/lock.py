"""One writer at a time: an advisory lock on a set's directory, gone with the process that holds it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import EpochbankError


@contextmanager
def writing(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold `path`, a directory, or a file in one that is made and says who holds it.

    Where another run holds it: `EpochbankError`, or `wait` until that has ended.
    """
    whole = path if path.is_dir() else path.parent
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            holder = "" if path.is_dir() else f" ({path.read_text().strip() or 'unknown'})"
            raise EpochbankError(
                f"{whole} is being written by another run{holder}. "
                "Wait until it has ended, or stop it; then give the same command again."
            ) from error
        if not path.is_dir():
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        os.close(descriptor)
