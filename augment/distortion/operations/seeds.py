"""Random bytes from a drawn seed: a counter hash, the same in every engine and on every machine.

Where an operation needs a number for every pixel, one number is drawn for the picture, its `seed`, and byte i
of its stream is a function of (seed, i) alone.
"""

import numpy as np

from ...shared.permutation import mix64


def seeds(uniform: np.ndarray) -> np.ndarray:
    """Uniform numbers in [0, 1), multiples of 2^-53, to the integers 0, ..., 2^53 - 1 that they stand for, int64."""
    return (uniform * 2.0**53).astype(np.int64)


def random_bytes(seed: int, count: int) -> np.ndarray:
    """The first `count` bytes, uint8 (count,), of the stream of `seed`.

    Bytes 8 i to 8 i + 7 are the word mix64(mix64(seed) + i), lowest byte first.
    """
    key = mix64(np.array([seed], np.uint64))
    words = mix64(key + np.arange(-(-count // 8), dtype=np.uint64))
    return words.astype("<u8", copy=False).view(np.uint8)[:count]
