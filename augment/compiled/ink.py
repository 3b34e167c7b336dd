"""How much ink an operation leaves in the frame: `augment.operations.base.ink_inside`, compiled."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, error_model="numpy")
def ink_inside(source: np.ndarray, members: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """int64 (k, 2): the ink of the pixels that `outward` (int64 (k, 3, 3)) sends into the frame, and all of it."""
    _, height, width, channels = source.shape
    result = np.empty((len(members), 2), np.int64)
    line = np.empty(width, np.int64)
    for number in range(len(members)):
        picture, map_ = source[members[number]].reshape(height, width * channels), outward[number]
        kept = total = 0
        for row in range(height):
            y = 2 * row + 1
            line[:] = 0
            for channel in range(channels):
                for column in range(width):
                    line[column] += picture[row, column * channels + channel]
            of_row = line.sum()
            if of_row == 0:
                continue
            total += of_row
            for column in range(width):
                x = 2 * column + 1
                across = map_[0, 0] * x + map_[0, 1] * y + 2 * map_[0, 2]
                down = map_[1, 0] * x + map_[1, 1] * y + 2 * map_[1, 2]
                depth = map_[2, 0] * x + map_[2, 1] * y + 2 * map_[2, 2]
                inside = (across >= 0) & (across < width * depth) & (down >= 0) & (down < height * depth)
                kept += line[column] if inside else 0
        result[number, 0], result[number, 1] = kept, total
    return result
