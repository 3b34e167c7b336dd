"""Read many items of a file in one compiled loop, without Python code between two of them."""

from typing import Any

import numba
import numpy as np
from numba import types

# ssize_t pread(int, void *, size_t, off_t) of the C library; the pointer is passed as an integer.
_pread: Any = types.ExternalFunction("pread", types.intp(types.intc, types.intp, types.intp, types.int64))


def read_items(descriptor: int, items: np.ndarray, offsets: np.ndarray) -> int:
    """Fill each of `items` ((n, ...), contiguous) from the byte offset in `offsets` (int64 (n,)).

    Returns the number of items that were read completely before the first one that was not; n if all were.
    """
    return _read(descriptor, items.ctypes.data, items[:1].nbytes, offsets)


@numba.njit(nogil=True, cache=True)
def _read(descriptor, address, size, offsets):
    for number in range(len(offsets)):
        if _pread(descriptor, address + number * size, size, offsets[number]) != size:
            return number
    return len(offsets)
