"""Stop tasks on other machines whose results are no longer needed; they remove what they were writing.

Nothing can stop a task that runs in a thread of a worker process. The process that needs the result therefore keeps a
file, the lease, in a directory that both share, and the task checks from time to time whether it exists.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import EpochbankError

_thread = threading.local()


class LeaseEnded(EpochbankError):
    """The result of a task is no longer needed."""


@contextmanager
def leased(path: Path | None) -> Iterator[None]:
    """Within the block, `check_lease` in this thread checks that the file `path` exists; None to check nothing."""
    before = getattr(_thread, "path", None)
    _thread.path = path
    try:
        yield
    finally:
        _thread.path = before


def check_lease() -> None:
    """Raise `LeaseEnded` if this thread has a lease, and its file no longer exists."""
    path: Path | None = getattr(_thread, "path", None)
    if path is not None and not path.exists():
        raise LeaseEnded(f"the run that this task belongs to has ended: {path} does not exist.")
