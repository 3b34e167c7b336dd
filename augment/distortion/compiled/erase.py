"""Random erasing: fill boxes, and count the ink that remains."""

import numba
import numpy as np

from ..operations.base import Parameters


def erase(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Fill each of `boxes` with `fill`."""
    if source is target:
        _fill(target, members, parameters["boxes"], parameters["fill"].astype(np.uint8))
    else:
        _erase(source, target, members, parameters["boxes"], parameters["fill"].astype(np.uint8))
    return members[:0]


def erase_ink(source: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Return the ink outside the boxes, and all ink; int64 (k, 2)."""
    return _ink(source, members, parameters["boxes"])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _erase(source, target, members, boxes, fill):
    for number in range(len(members)):
        before, after = source[members[number]].reshape(-1), target[members[number]].reshape(-1)
        for at in range(len(after)):
            after[at] = before[at]
    _fill(target, members, boxes, fill)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fill(target, members, boxes, fill):
    _, _, width, channels = target.shape
    for number in range(len(members)):
        after = target[members[number]].reshape(-1)
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
        image = source[members[number]].reshape(-1)
        kept = total = 0
        for row in range(height):
            before = image[row * len(line) : (row + 1) * len(line)]
            row_ink = _sum(before)
            total += row_ink
            covered = False
            for box in range(boxes.shape[1]):
                left, top, across, down = boxes[number, box]
                if top <= row < top + down:
                    if not covered:
                        line[:] = before
                    covered = True
                    line[left * channels : (left + across) * channels] = 0
            kept += _sum(line) if covered else row_ink
        result[number, 0], result[number, 1] = kept, total
    return result


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _sum(line):
    total = np.uint32(0)
    for at in range(len(line)):
        total += np.uint32(line[at])
    return np.int64(total)
