"""Read from files: immediately if the page cache has the data, otherwise from many threads at once."""

import errno
import os
import time
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import Lock

from .decode_threads import DecodeThreads

_MAX_OPEN_FILES = 128
_WOULD_WAIT = {errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL}
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)  # Linux only; on other systems every read may wait.


class _OpenFile:
    """A file that is closed when nothing refers to it."""

    def __init__(self, path: str):
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.nowait = bool(_NOWAIT)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            with suppress(OSError):  # It is closed, and nothing was written to it.
                os.close(self.descriptor)


class Disk:
    """A bounded number of open files, with counters of the time and bytes of reading. Thread-safe."""

    def __init__(self, threads: DecodeThreads | None = None):
        """`threads` are the threads that call `read`; another one computes while one waits for the disk."""
        self._threads = threads
        self._lock = Lock()
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self.waited_bytes = 0
        """Bytes that were not in the page cache."""
        self.waited = 0.0
        """Seconds spent waiting for these bytes, summed over threads."""

    def waiting(self) -> AbstractContextManager[None]:
        """Return a context for code that waits and does not compute."""
        return nullcontext() if self._threads is None else self._threads.waiting()

    def read(self, path: str, buffer: memoryview, offset: int) -> None:
        """Fill `buffer` (writable bytes) with the bytes of the file from `offset` on.

        Raises `OSError`, or `ValueError` if the file is too short.
        """
        file = self._open(path)
        if file.nowait:
            try:
                if os.preadv(file.descriptor, [buffer], offset, _NOWAIT) == len(buffer):
                    return
            except OSError as error:
                if error.errno not in _WOULD_WAIT:
                    raise
                file.nowait = error.errno == errno.EAGAIN
        with self.waiting():
            start = time.perf_counter()
            done = 0
            while done < len(buffer):
                count = os.preadv(file.descriptor, [buffer[done:]], offset + done)
                if not count:
                    raise ValueError(f"the file ends {len(buffer) - done} bytes early")
                done += count
            seconds = time.perf_counter() - start
        with self._lock:
            self.waited += seconds
            self.waited_bytes += len(buffer)

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._files.clear()

    def forget(self, path: str) -> None:
        """Close a file, which was removed or replaced."""
        with self._lock:
            self._files.pop(path, None)

    def _open(self, path: str) -> _OpenFile:
        with self._lock:
            if path in self._files:
                self._files.move_to_end(path)
                return self._files[path]
        file = _OpenFile(path)
        with self._lock:
            self._files[path] = file
            if len(self._files) > _MAX_OPEN_FILES:
                self._files.popitem(last=False)
        return file
