"""How much ink an operation leaves in the frame: `augment.operations.base.ink_inside`, compiled."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, error_model="numpy")
def ink_inside(source: np.ndarray, members: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """int64 (k, 2): the ink of the pixels that `outward` (int64 (k, 3, 3)) sends into the frame, and all of it."""
    _, height, width, channels = source.shape
    line = np.uint64(width * channels)
    size = np.uint64(height) * line
    pixels = source.reshape(-1)
    result = np.empty((len(members), 2), np.int64)
    for number in range(len(members)):
        base = np.uint64(members[number]) * size
        total = lost = 0
        for row in range(height):
            # What lies inside is convex: in each row a run, looked for from both ends.
            low, high = 0, width
            while low < high and not _is_inside(outward[number], 2 * low + 1, 2 * row + 1, height, width):
                low += 1
            while high > low and not _is_inside(outward[number], 2 * high - 1, 2 * row + 1, height, width):
                high -= 1
            first = base + np.uint64(row) * line
            total += _sum(pixels, first, line)
            if low > 0:
                lost += _sum(pixels, first, np.uint64(low * channels))
            if high < width:
                lost += _sum(pixels, first + np.uint64(high * channels), np.uint64((width - high) * channels))
        result[number, 0], result[number, 1] = total - lost, total
    return result


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _sum(pixels, first, count):
    total = np.uint32(0)  # of one line: 32 bits are enough, and twice as fast
    for at in range(count):
        total = np.uint32(total + pixels[first + at])
    return np.int64(total)


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _is_inside(outward, x, y, height, width):
    across = outward[0, 0] * x + outward[0, 1] * y + 2 * outward[0, 2]
    down = outward[1, 0] * x + outward[1, 1] * y + 2 * outward[1, 2]
    depth = outward[2, 0] * x + outward[2, 1] * y + 2 * outward[2, 2]
    return across >= 0 and across < width * depth and down >= 0 and down < height * depth
