"""The order of a pass: a new one for every (seed, pass), without a single random read.

Chunks are read whole, in a shuffled order; the pictures of a window of several chunks are then
shuffled among themselves. Stored epochs are in random order already, so that this only has to part
neighbours of one pass before the next. Pure functions.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

_WINDOW_IMAGES = 2048
_WINDOW_BYTES = 16 << 20


@dataclass(frozen=True)
class Windows:
    """The windows of a pass: which chunks each holds, and which pictures of the pass it makes up."""

    chunks: np.ndarray
    """int64: chunk numbers in the order in which they are read."""
    per_window: int
    """Chunks in a window; fewer in the last."""
    starts: np.ndarray
    """int64 (windows + 1,): the window w makes up pictures starts[w] to starts[w + 1] - 1 of the pass."""

    def chunks_of(self, window: int) -> np.ndarray:
        """Chunk numbers of a window."""
        return self.chunks[window * self.per_window : (window + 1) * self.per_window]

    def covering(self, start: int, stop: int) -> range:
        """The windows that pictures `start` to `stop` - 1 of the pass lie in."""
        if stop <= start:
            return range(0)
        first = int(np.searchsorted(self.starts, start, "right")) - 1
        return range(first, int(np.searchsorted(self.starts, stop, "left")))


def windows(chunk_images: np.ndarray, chunk_bytes: int, key: int | None) -> Windows:
    """Part the chunks of a pass into windows, shuffled by `key`, or in order of position where it is None.

    `chunk_images` (int64) are the pictures in each chunk, `chunk_bytes` the decoded bytes of the largest.
    """
    order = np.arange(len(chunk_images)) if key is None else _shuffled(len(chunk_images), key)
    fitting = min(_WINDOW_IMAGES // max(1, int(chunk_images.max(initial=1))), _WINDOW_BYTES // max(1, chunk_bytes))
    per_window = max(1, fitting)
    ends = np.cumsum(chunk_images[order])
    last = np.arange(per_window - 1, len(order) + per_window - 1, per_window).clip(max=len(order) - 1)
    return Windows(order, per_window, np.concatenate([[0], ends[last]]))


def within(window: int, images: int, key: int) -> np.ndarray:
    """The order of a window's pictures, a permutation of 0, ..., `images` - 1."""
    return _shuffled(images, key_of(key, window))


def key_of(*parts: int | str) -> int:
    """128 bits that stand for `parts`."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def _shuffled(count: int, key: int) -> np.ndarray:
    # Raw Philox words: their stream is the same in every version of NumPy.
    return np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable")
