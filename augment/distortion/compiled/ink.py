"""How much ink an operation keeps in the frame: `distortion.operations.base.ink_inside`, compiled."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, error_model="numpy")
def ink_inside(source: np.ndarray, members: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return the ink of the pixels that `maps` (int64 (k, 3, 3)) keep in the frame, and all ink; int64 (k, 2)."""
    _, height, width, channels = source.shape
    line = np.uint64(width * channels)
    size = np.uint64(height) * line
    pixels = source.reshape(-1)
    result = np.empty((len(members), 2), np.int64)
    for number in range(len(members)):
        base = np.uint64(members[number]) * size
        total = lost = 0
        for row in range(height):
            # The pixels inside are a convex set, so a run in each row; it is searched from both ends.
            low, high = 0, width
            while low < high and not _is_inside(maps[number], 2 * low + 1, 2 * row + 1, height, width):
                low += 1
            while high > low and not _is_inside(maps[number], 2 * high - 1, 2 * row + 1, height, width):
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
    total = np.uint32(0)  # 32 bits are enough for one row, and twice as fast
    for at in range(count):
        total = np.uint32(total + pixels[first + at])
    return np.int64(total)


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _is_inside(m, x, y, height, width):
    target_x = m[0, 0] * x + m[0, 1] * y + 2 * m[0, 2]
    target_y = m[1, 0] * x + m[1, 1] * y + 2 * m[1, 2]
    target_z = m[2, 0] * x + m[2, 1] * y + 2 * m[2, 2]
    return target_x >= 0 and target_x < width * target_z and target_y >= 0 and target_y < height * target_z
