"""Flips: rows of pixels, copied forward or backward."""

import numba
import numpy as np

from ..operations.base import Parameters


def flip(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.transpose`: left to right, top to bottom, or both."""
    _flip(source, target, members, parameters["horizontal"], parameters["vertical"])
    return members[:0]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _flip(
    source: np.ndarray, target: np.ndarray, members: np.ndarray, horizontal: np.ndarray, vertical: np.ndarray
) -> None:
    _, height, width, channels = source.shape
    line, last = np.uint64(width * channels), np.uint64(height - 1)
    size, back = np.uint64(height) * line, np.uint64((width - 1) * channels)
    before, after, one, two, three = source.reshape(-1), target.reshape(-1), np.uint64(1), np.uint64(2), np.uint64(3)
    for number in range(len(members)):
        base = np.uint64(members[number]) * size
        for row in range(np.uint64(height)):
            start, out = base + (last - row if vertical[number] else row) * line, base + row * line
            if not horizontal[number]:
                for at in range(line):
                    after[out + at] = before[start + at]
            elif channels == 1:
                for at in range(line):
                    after[out + at] = before[start + back - at]
            else:
                for column in range(np.uint64(width)):
                    to, place = out + three * column, start + back - three * column
                    after[to] = before[place]
                    after[to + one] = before[place + one]
                    after[to + two] = before[place + two]
