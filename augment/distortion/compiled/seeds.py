"""Random bytes from a seed: `distortion.operations.seeds.random_bytes`, compiled."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fill_words(seed, words):
    """Write the stream of `seed` (int64) to `words` (uint64): eight bytes per word, lowest first."""
    key = _mix(np.uint64(seed))
    for at in range(len(words)):
        words[at] = _mix(key + np.uint64(at))


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _mix(number):
    """`shared.permutation.mix64`."""
    number = number + np.uint64(0x9E3779B97F4A7C15)
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))
