"""Reusable memory for batches. New memory costs a page fault per 4 KiB, more than it takes to fill it."""

import math
import sys
import threading

import numpy as np

ALIGNMENT = 64
"""Alignment of buffers in bytes, which lets frameworks use an array without a copy."""


class Buffers:
    """Allocate arrays whose memory starts at a multiple of 64 bytes. Thread-safe.

    An array belongs to whoever received it. Its memory is reused only when CPython counts no more references to it,
    neither from Python nor from a framework that uses it without a copy.
    """

    def __init__(self, limit: int):
        """Keep at most `limit` buffers for reuse."""
        self._limit = limit
        self._kept: list[np.ndarray] = []
        self._lock = threading.Lock()
        self._unused = self._references([np.empty(0, np.uint8)])[0]

    def array(self, shape: tuple[int, ...], reserve: int = 0) -> np.ndarray:
        """Return a uint8 array of this shape with arbitrary contents, in a buffer of at least `reserve` bytes."""
        size = math.prod(shape)
        with self._lock:
            for at, references in enumerate(self._references(self._kept)):
                if references == self._unused:
                    if len(self._kept[at]) < size:
                        self._kept[at] = _aligned(max(size, reserve))
                    return self._kept[at][:size].reshape(shape)
            buffer = _aligned(max(size, reserve))
            if len(self._kept) < self._limit:
                self._kept.append(buffer)
            return buffer[:size].reshape(shape)

    @staticmethod
    def _references(buffers: list[np.ndarray]) -> list[int]:
        """Count the references to each buffer; a buffer in use has more than an unused one."""
        return [sys.getrefcount(buffer) for buffer in buffers]


def _aligned(size: int) -> np.ndarray:
    raw = np.empty(size + ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    # Through a memoryview, so that views of this array refer to it and not to `raw`.
    return np.frombuffer(raw[offset : offset + size].data, np.uint8)
