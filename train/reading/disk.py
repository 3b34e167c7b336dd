"""Reading from files: at once what the page cache holds, and from many threads what a disk must bring."""

import errno
import os
import time
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from threading import Lock

from .decode_threads import Workers

_FILES_KEPT = 128
_NOT_AT_ONCE = {errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL}
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)  # Linux; elsewhere every read may wait.


class _OpenFile:
    """Closed when nobody reads from it any more."""

    def __init__(self, path: str):
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.at_once = bool(_NOWAIT)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class Disk:
    """Open files, a bounded number, and what reading them cost. Thread-safe."""

    def __init__(self, workers: Workers | None = None):
        """With `workers`, which call `read`, another of them computes while one waits for the disk."""
        self._workers = workers
        self._lock = Lock()
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self.waited_bytes = 0
        """Bytes that were not in the page cache."""
        self.waited = 0.0
        """Seconds spent waiting for them, added up over threads."""

    def waiting(self) -> AbstractContextManager[None]:
        """What is done in this context waits rather than computes."""
        return nullcontext() if self._workers is None else self._workers.waiting()

    def read(self, path: str, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` (bytes, writable) from `offset` on. `OSError` or `ValueError` where that cannot be done."""
        file = self._open(path)
        if file.at_once:
            try:
                if os.preadv(file.descriptor, [buffer], offset, _NOWAIT) == len(buffer):
                    return
            except OSError as error:
                if error.errno not in _NOT_AT_ONCE:
                    raise
                file.at_once = error.errno == errno.EAGAIN
        with self.waiting():
            begun = time.perf_counter()
            done = 0
            while done < len(buffer):
                count = os.preadv(file.descriptor, [buffer[done:]], offset + done)
                if not count:
                    raise ValueError(f"the file ends {len(buffer) - done} bytes early")
                done += count
            seconds = time.perf_counter() - begun
        with self._lock:
            self.waited += seconds
            self.waited_bytes += len(buffer)

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._files.clear()

    def _open(self, path: str) -> _OpenFile:
        with self._lock:
            if path in self._files:
                self._files.move_to_end(path)
                return self._files[path]
        file = _OpenFile(path)
        with self._lock:
            self._files[path] = file
            if len(self._files) > _FILES_KEPT:
                self._files.popitem(last=False)
        return file
