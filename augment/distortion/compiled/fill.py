"""Folds coordinates outside an image into it: `distortion.operations.fill`, compiled."""

import numba
import numpy as np

from ..operations.fill import EDGE


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def fold_pixel(index, count, fill):
    """Fold the pixel number `index` (int64) into [0, count): `fold_pixels`."""
    if fill == EDGE:
        return min(max(index, 0), count - 1)
    index = index % (2 * count)
    return min(index, 2 * count - 1 - index)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fold_coordinates(x, y, height, width, fill):
    """Fold coordinates outside an image into it, in place; `x`, `y` are float64: `operations.fill.fold_coordinates`."""
    wide, high = np.float64(width), np.float64(height)
    for at in range(len(x)):
        if not ((x[at] >= 0.0) & (x[at] < wide) & (y[at] >= 0.0) & (y[at] < high)):
            x[at], y[at] = _folded(x[at], wide, fill), _folded(y[at], high, fill)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _folded(x, count, fill):
    if fill == EDGE:
        return 0.5 if x < 0 else (count - 0.5 if x >= count else x)
    x = x - 2 * count * np.floor(x / (2 * count))
    if x < count:
        return x
    x = 2 * count - x
    return x if x < count else count - 0.5


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fill_around(target, members, boxes, fill):
    """Fill the pixels outside the box `boxes[k]` (left, top, width, height) of each image by those in the box."""
    _, height, width, channels = target.shape
    for number in range(len(members)):
        left, top, wide, high = boxes[number]
        pixels = target[members[number]]
        for row in range(height):
            from_row = top + fold_pixel(row - top, high, fill)
            for column in range(width):
                from_column = left + fold_pixel(column - left, wide, fill)
                if from_row != row or from_column != column:
                    for channel in range(channels):
                        pixels[row, column, channel] = pixels[from_row, from_column, channel]
