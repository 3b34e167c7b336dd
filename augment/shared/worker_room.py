"""What must be free before worker processes or threads are started.

joblib starts two threads for its processes. If memory runs out while a thread starts, or in it, whoever waits for the
thread or for a result waits forever, and the HDF5 library crashes in it or reports damage. If file descriptors run out,
the error names a file of joblib, or a variable.
"""

import errno
import mmap
import os
import resource
import threading

from ..errors import EpochbankError

_THREADS = 2
_STACK = 8 << 20
"""Bytes of a thread's stack where no limit says how large it is."""
_SPARE = 8 << 20
"""Bytes that the threads and the start of the processes need beside the stacks; measured: about 2 MiB."""
_FILES = 20
"""Descriptors that are needed beside one for each process; measured: 12."""


def check_room(jobs: int) -> None:
    """Raise `EpochbankError` if there is not enough memory, or there are too few descriptors, for `jobs` processes."""
    check_memory(_THREADS, f"{jobs} worker processes")
    _check_files(jobs)


def check_memory(threads: int, what: str) -> None:
    """Raise `EpochbankError` if there is not enough memory to start `threads` threads. `what` is started with them."""
    stack = threading.stack_size() or resource.getrlimit(resource.RLIMIT_STACK)[0]
    needed = threads * (stack if stack != resource.RLIM_INFINITY else _STACK) + _SPARE
    try:
        mmap.mmap(-1, needed, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError) as error:
        raise EpochbankError(
            f"memory ran out before {what} were started: this process cannot get {needed >> 20} MiB more. Raise the "
            "limit (`ulimit -v`), or use --jobs 1, which starts none."
        ) from error


def _check_files(jobs: int) -> None:
    needed = _FILES + jobs
    opened: list[int] = []
    try:
        while len(opened) < needed:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        raise EpochbankError(
            f"too many open files: {jobs} worker processes need about {needed} more, and {len(opened)} are left of the "
            f"limit of {limit}. Raise the limit (`ulimit -n`), or use --jobs 1, which starts none."
        ) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)
