"""Reading many pictures of a file without a word of Python between them."""

from typing import Any

import numba
import numpy as np
from numba import types

# ssize_t pread(int, void *, size_t, off_t), of the C library; an address is passed as the number that it is.
_pread: Any = types.ExternalFunction("pread", types.intp(types.intc, types.intp, types.intp, types.int64))


def read_pictures(descriptor: int, pictures: np.ndarray, offsets: np.ndarray) -> int:
    """Fill each of `pictures` (uint8 (n, H, W, C), contiguous) from its byte of `offsets` (int64 (n,)) of a file.

    Returns how many were read whole, one after another, before one that was not: n, or the place of that one.
    """
    return _read(descriptor, pictures.ctypes.data, pictures[:1].nbytes, offsets)


@numba.njit(nogil=True, cache=True)
def _read(descriptor, address, size, offsets):
    for number in range(len(offsets)):
        if _pread(descriptor, address + number * size, size, offsets[number]) != size:
            return number
    return len(offsets)
