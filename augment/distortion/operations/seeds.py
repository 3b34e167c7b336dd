"""Random bytes from a seed: a counter-based hash that is the same in every engine and on every machine.

An operation that needs a number for every pixel draws one `seed` for the image. Byte i of the seed's stream is a
function of (seed, i).
"""

import numpy as np

from ...shared.permutation import mix64


def seeds(uniform: np.ndarray) -> np.ndarray:
    """Turn uniform numbers in [0, 1), which are multiples of 2^-53, into the integers 0, ..., 2^53 - 1; int64."""
    return (uniform * 2.0**53).astype(np.int64)


def random_bytes(seed: int, count: int) -> np.ndarray:
    """Return the first `count` bytes, uint8 (count,), of the stream of `seed`.

    Bytes 8 i to 8 i + 7 are the word mix64(mix64(seed) + i), lowest byte first.
    """
    key = mix64(np.array([seed], np.uint64))
    words = mix64(key + np.arange(-(-count // 8), dtype=np.uint64))
    return words.astype("<u8", copy=False).view(np.uint8)[:count]
