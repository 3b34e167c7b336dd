"""Memory for batches, used again once nobody has the batch any more.

Fresh memory costs a page fault for each 4 KiB, more than it takes to fill it.
"""

import math
import sys
import threading

import numpy as np

ALIGNMENT = 64
"""Bytes: what frameworks want memory to start at, to take it without a copy."""


class Buffers:
    """Hands out arrays that start at a multiple of 64 bytes: frameworks then take them without a copy.

    An array is its holder's own. Its memory is used again only when CPython counts no reference to it any more,
    neither from Python nor from a framework that took it without a copy. Thread-safe.
    """

    def __init__(self, most: int):
        """Keep at most `most` buffers."""
        self._most = most
        self._kept: list[np.ndarray] = []
        self._lock = threading.Lock()
        self._unused = self._references([np.empty(0, np.uint8)])[0]

    def array(self, shape: tuple[int, ...], room: int = 0) -> np.ndarray:
        """uint8, of this shape, with arbitrary contents, in a buffer that takes `room` bytes another time."""
        size = math.prod(shape)
        with self._lock:
            for at, references in enumerate(self._references(self._kept)):
                if references == self._unused:
                    if len(self._kept[at]) < size:
                        self._kept[at] = _aligned(max(size, room))
                    return self._kept[at][:size].reshape(shape)
            buffer = _aligned(max(size, room))
            if len(self._kept) < self._most:
                self._kept.append(buffer)
            return buffer[:size].reshape(shape)

    @staticmethod
    def _references(buffers: list[np.ndarray]) -> list[int]:
        """References to each: more than to one that no array lies in, if one does."""
        return [sys.getrefcount(buffer) for buffer in buffers]


def _aligned(size: int) -> np.ndarray:
    raw = np.empty(size + ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    # Through a memoryview, so that arrays that lie in it refer to this one and not to `raw`.
    return np.frombuffer(raw[offset : offset + size].data, np.uint8)
