"""The order of a pass: a new one for every (seed, pass), without a single random read.

Chunks are read whole, in a shuffled order; the pictures of a window of several chunks are then shuffled among
themselves, unless speed is all that counts. Stored epochs are in random order already, so that this only has
to part neighbours of one pass before the next. Pure functions.
"""

import hashlib
import threading
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

Shuffle = Literal["pictures", "chunks"]
"""What is shuffled in each pass: chunks, and the pictures of a window of chunks; or chunks alone, which is faster."""

_WINDOW_IMAGES = 2048
_WINDOW_BYTES = 16 << 20
_WORD = (1 << 64) - 1
_own = threading.local()


@dataclass(frozen=True)
class Windows:
    """The windows of a pass: which chunks each holds, and which pictures of the pass it makes up."""

    chunks: np.ndarray
    """int64: chunk numbers in the order in which they are read."""
    per_window: int
    """Chunks in a window; fewer in the last."""
    starts: list[int]
    """windows + 1 of them: the window w makes up pictures starts[w] to starts[w + 1] - 1 of the pass."""

    @property
    def images(self) -> int:
        """Pictures of the pass."""
        return self.starts[-1]

    @cached_property
    def longest(self) -> int:
        """Pictures in the largest window."""
        return max(stop - start for start, stop in pairwise(self.starts))

    def chunks_of(self, window: int) -> np.ndarray:
        """Chunk numbers of a window."""
        return self.chunks[window * self.per_window : (window + 1) * self.per_window]

    def covering(self, start: int, stop: int) -> range:
        """The windows that pictures `start` to `stop` - 1 of the pass lie in."""
        if stop <= start:
            return range(0)
        return range(bisect_right(self.starts, start) - 1, bisect_left(self.starts, stop))


def windows(chunk_images: np.ndarray, chunk_bytes: int, key: int | None) -> Windows:
    """Part the chunks of a pass into windows, shuffled by `key`, or in order of position where it is None.

    `chunk_images` (int64) are the pictures in each chunk, `chunk_bytes` the decoded bytes of the largest.
    """
    order = np.arange(len(chunk_images)) if key is None else _shuffled(len(chunk_images), key)
    fitting = min(_WINDOW_IMAGES // max(1, int(chunk_images.max(initial=1))), _WINDOW_BYTES // max(1, chunk_bytes))
    per_window = max(1, fitting)
    ends = np.cumsum(chunk_images[order])
    last = np.arange(per_window - 1, len(order) + per_window - 1, per_window).clip(max=len(order) - 1)
    return Windows(order, per_window, [0, *ends[last].tolist()])


def within(window: int, images: int, key: int) -> np.ndarray:
    """Where in the window each of its pictures, in order of its chunks, comes to lie: a permutation, int64."""
    return _shuffled(images, key_of(key, window))


def key_of(*parts: int | str) -> int:
    """128 bits that stand for `parts`."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def _shuffled(count: int, key: int) -> np.ndarray:
    """A permutation of 0, ..., `count` - 1, int64."""
    # The low bits of each word make room for its number, so that no two are equal and sorting them, much faster than
    # an argsort, tells the permutation.
    bits = max(1, (count - 1).bit_length())
    words = _raw_words(count, key)
    words >>= bits
    words <<= bits
    words |= np.arange(count, dtype=np.uint64)
    words.sort()
    return (words & np.uint64((1 << bits) - 1)).astype(np.int64)


def _raw_words(count: int, key: int) -> np.ndarray:
    """The first words of the Philox stream of `key`, uint64: the same in every version of NumPy.

    Those of `Philox(key=key)`, which would ask the system for entropy first and then not use it.
    """
    if not hasattr(_own, "philox"):
        _own.philox = np.random.Philox(key=0)
    state = {"counter": np.zeros(4, np.uint64), "key": np.array([key & _WORD, key >> 64], np.uint64)}
    _own.philox.state = {
        "bit_generator": "Philox",
        "state": state,
        "buffer": np.zeros(4, np.uint64),
        "buffer_pos": 4,
        "has_uint32": 0,
        "uinteger": 0,
    }
    return _own.philox.random_raw(count)
