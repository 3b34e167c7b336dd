"""Room for a file that is set aside beforehand, where the file system can do that."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_CANNOT = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def reserve(path: Path, offset: int, size: int) -> bool:
    """Set aside room for `size` bytes of `path` from byte `offset` on, by Linux's fallocate(2).

    False where system or file system cannot: no byte is written instead, as `os.posix_fallocate` would. Raises
    `OSError` where there is no room.
    """
    if not sys.platform.startswith("linux") or sys.maxsize < 1 << 32:
        return False
    with open(path, "rb+") as file:
        code = _fallocate(file.fileno(), offset, size)
    if code == 0:
        return True
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(path))


def _fallocate(descriptor: int, offset: int, size: int) -> int:
    """0, or the number of the error."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return 0 if libc.fallocate(descriptor, 0, offset, size) == 0 else ctypes.get_errno()
