"""One writer at a time: an advisory lock on a set's directory, gone with the process that holds it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from augment.errors import EpochbankError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; `EpochbankError` says who holds it where another run does."""
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise EpochbankError(
                f"{path.parent} is being written by another run ({file.read().strip() or 'unknown'}). "
                "Wait until it has ended, or stop it; then give the same command again."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
