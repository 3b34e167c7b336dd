"""A short exclusive lock between the processes of one machine."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import EpochbankError
from ...shared.atomic import naming, no_follow

_SECONDS = 300.0
_SHORTEST_WAIT, _LONGEST_WAIT = 0.0005, 0.02
"""Seconds between two tries, of which each is twice as long as the one before."""


@contextmanager
def exclusive(path: Path, seconds: float = _SECONDS) -> Iterator[int]:
    """Hold the lock file `path`, which is created and stays, and yield its descriptor.

    Raises `EpochbankError` if another process holds it for `seconds`.
    """
    with naming(path):
        descriptor = no_follow(path, os.O_RDWR | os.O_CREAT)
    try:
        until, wait = time.monotonic() + seconds, _SHORTEST_WAIT
        while not _locked(descriptor):
            if time.monotonic() > until:
                raise EpochbankError(
                    f"{path} has been locked by another process for {seconds:.0f} s. Stop that process, then run the "
                    "same command again."
                )
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock the file; return whether that was possible."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
