"""Reserve disk space for a file before it is written, if the file system supports it."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def reserve(path: Path, offset: int, size: int) -> bool:
    """Reserve `size` bytes of `path`, starting at byte `offset`, with Linux's fallocate(2).

    Returns False if the system or the file system does not support it. Unlike `os.posix_fallocate`, this function never
    writes zeros instead. Raises `OSError` if there is not enough space.
    """
    if not sys.platform.startswith("linux") or sys.maxsize < 1 << 32:
        return False
    with open(path, "rb+") as file:
        code = _fallocate(file.fileno(), offset, size)
    if code == 0:
        return True
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(path))


def _fallocate(descriptor: int, offset: int, size: int) -> int:
    """Return 0 or the error number."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return 0 if libc.fallocate(descriptor, 0, offset, size) == 0 else ctypes.get_errno()
