"""Keep freed memory in the process, so that the next shard does not get it from the kernel again, page by page."""

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Options of mallopt(3)."""
_BLOCK = 32 << 20


@cache
def keep_freed_memory() -> None:
    """Make glibc reuse freed blocks of up to 32 MB instead of returning them; once per process, elsewhere nothing.

    glibc does the same by itself after a block of 32 MB is freed, but not if `MALLOC_TRIM_THRESHOLD_` is set, as Dask
    does for its workers: then each array of 128 kB and more costs a page fault per 4 kB, every time it is allocated.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _BLOCK)
        mallopt(_M_TRIM_THRESHOLD, 2 * _BLOCK)
