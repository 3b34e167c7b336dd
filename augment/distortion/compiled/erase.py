"""Random erasing: boxes filled, and the ink that they leave."""

import numba
import numpy as np

from ..operations.base import Parameters


def erase(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Each of `boxes` filled with `fill`."""
    _erase(source, target, members, parameters["boxes"], parameters["fill"].astype(np.uint8))
    return members[:0]


def erase_ink(source: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """int64 (k, 2): the ink beside the boxes, and all of it."""
    return _ink(source, members, parameters["boxes"])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _erase(source, target, members, boxes, fill):
    _, _, width, channels = source.shape
    for number in range(len(members)):
        before, after = source[members[number]].reshape(-1), target[members[number]].reshape(-1)
        for at in range(len(after)):
            after[at] = before[at]
        for box in range(boxes.shape[1]):
            left, top, across, down = boxes[number, box]
            for row in range(top, top + down):
                after[(row * width + left) * channels :][: across * channels] = fill[number]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _ink(source, members, boxes):
    _, height, width, channels = source.shape
    result = np.empty((len(members), 2), np.int64)
    line = np.empty(width * channels, np.uint8)
    for number in range(len(members)):
        picture = source[members[number]].reshape(-1)
        kept = total = 0
        for row in range(height):
            before = picture[row * len(line) : (row + 1) * len(line)]
            of_row = _sum(before)
            total += of_row
            touched = False
            for box in range(boxes.shape[1]):
                left, top, across, down = boxes[number, box]
                if top <= row < top + down:
                    if not touched:
                        line[:] = before
                    touched = True
                    line[left * channels : (left + across) * channels] = 0
            kept += _sum(line) if touched else of_row
        result[number, 0], result[number, 1] = kept, total
    return result


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _sum(line):
    total = np.uint32(0)
    for at in range(len(line)):
        total += np.uint32(line[at])
    return np.int64(total)
