"""Flips and shifts: rows of pixels, copied forward or backward."""

import numba
import numpy as np

from ..operations.base import Parameters
from ..operations.fill import fill_of
from .fill import fold_pixel


def flip(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.transpose`: left to right, top to bottom, or both."""
    _flip(source, target, members, parameters["horizontal"], parameters["vertical"])
    return members[:0]


def shift(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Move right by `x` and down by `y` pixels."""
    _shift(source, target, members, parameters["x"], parameters["y"], fill_of(parameters))
    return members[:0]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _shift(
    source: np.ndarray, target: np.ndarray, members: np.ndarray, across: np.ndarray, down: np.ndarray, fill: int
) -> None:
    _, height, width, channels = source.shape
    line = width * channels
    size = height * line
    before, after = source.reshape(-1), target.reshape(-1)
    for number in range(len(members)):
        base, x, y = members[number] * size, across[number], down[number]
        # One long copy is several times as fast as one per row. What wraps around from the row above is overwritten.
        offset = y * line + x * channels
        start, count = max(offset, 0), max(size - abs(offset), 0)
        into = after[base + start :][:count]
        for at, value in enumerate(before[base + start - offset :][:count]):
            into[at] = value
        top, bottom = min(max(y, 0), height), max(min(height + y, height), 0)
        first, last = (0, min(x, width)) if x > 0 else (max(width + x, 0), width)
        image = after[base : base + size]
        if fill >= 0:
            image[: top * line] = fill
            image[max(top, bottom) * line :] = fill
            for at in range(first * channels, last * channels):  # Few columns: faster than row by row.
                for row in range(top, bottom):
                    image[row * line + at] = fill
        else:
            for row in range(height):
                low, high = (first, last) if top <= row < bottom else (0, width)
                _fold(before, image, base, row, low, high, x, y, source.shape, fill)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fold(before, image, base, row, first, last, x, y, shape, fill):
    """Fill the columns `first` to `last` - 1 of a row of `image`, which is the image at `base`, moved by x, y."""
    _, height, width, channels = shape
    start = base + fold_pixel(row - y, height, fill) * width * channels
    for column in range(first, last):
        place = start + fold_pixel(column - x, width, fill) * channels
        for channel in range(channels):
            image[(row * width + column) * channels + channel] = before[place + channel]


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
