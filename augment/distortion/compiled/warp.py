"""Nearest-neighbor warps: Pillow's affine transform in 16.16 fixed point, and rolled columns.

Source of the arithmetic: Pillow's `libImaging/Geometry.c` (`affine_fixed`) and `Image.rotate`.
"""

import math

import numba
import numpy as np

from ..operations.base import Parameters
from ..operations.fill import fill_of
from ..operations.geometry import rotations, shears
from .fill import fold_pixel

_ONE = 65536  # 1 in 16.16 fixed point
_FIXED_LIMIT = 32768.0  # coordinates below it fit in 16.16; from there on Pillow computes in floating point


def rotate(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.rotate(degrees)`; multiples of 90 degrees, for which Pillow transposes, are left to Pillow."""
    degrees, fill = parameters["degrees"], fill_of(parameters)
    return warp_nearest(source, target, members, rotations(degrees, source.shape[1:]), degrees % 90 == 0, fill)


def shear(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.transform(size, AFFINE, (1, x, 0, y, 1, 0))`."""
    matrices, skipped = shears(parameters["x"], parameters["y"]), np.zeros(len(members), bool)
    return warp_nearest(source, target, members, matrices, skipped, fill_of(parameters))


def sine(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Roll column i down by `shift[i]` rows, with wrap-around."""
    _roll(source, target, members, parameters["shift"] % source.shape[1])
    return members[:0]


def warp_nearest(
    source: np.ndarray, target: np.ndarray, members: np.ndarray, matrices: np.ndarray, skipped: np.ndarray, fill: int
) -> np.ndarray:
    """Warp by `matrices` (float64 (k, 3, 3)) the images that Pillow warps in fixed point, except those in `skipped`.

    `skipped` is bool (k,); `fill` the number of the fill. Returns the indices into `members` of all images that were
    not warped.
    """
    height, width = source.shape[1:3]
    a, b, c, d, e, f = matrices[:, :2].reshape(-1, 6).T
    skipped = skipped | ((b == 0) & (d == 0))
    for x, y in ((0, 0), (width, height), (0, height), (width, 0)):
        skipped |= np.abs(x * a + y * b + c) >= _FIXED_LIMIT
        skipped |= np.abs(x * d + y * e + f) >= _FIXED_LIMIT
    fixed = [a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5]
    steps = np.floor(np.stack(fixed, 1) * _ONE + 0.5).astype(np.int64)
    done = np.flatnonzero(~skipped)
    _affine(source, target, members[done], steps[done], fill)
    return np.flatnonzero(skipped)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _affine(source: np.ndarray, target: np.ndarray, members: np.ndarray, steps: np.ndarray, fill: int) -> None:
    _, height, width, channels = source.shape
    outside = np.uint8(max(fill, 0))
    line, each = np.uint64(width * channels), np.uint64(channels)
    size, half = np.uint64(height) * line, np.uint64(16)
    before, after = source.reshape(-1), target.reshape(-1)
    for number in range(len(members)):
        a, b, c, d, e, f = steps[number]
        base = np.uint64(members[number]) * size
        for row in range(height):
            x, y = c + row * b, f + row * e
            # The columns whose source is inside: the intersection of two runs, one for x and one for y.
            low, high = _inside(x, a, width << 16, width)
            low_y, high_y = _inside(y, d, height << 16, width)
            low, high = max(low, low_y), min(high, high_y)
            if high <= low:
                low = high = 0
            first, last, out = np.uint64(low), np.uint64(high), base + np.uint64(row) * line
            for at in range(first * each):
                after[out + at] = outside
            for at in range(last * each, line):
                after[out + at] = outside
            if fill < 0:
                member = members[number]
                _fold_row(source[member], target[member, row], x, y, a, d, low, high, fill)
            # Unsigned, so that indexing needs no check of the sign.
            x, y, step_x, step_y = np.uint64(x + low * a), np.uint64(y + low * d), np.uint64(a), np.uint64(d)
            if each == np.uint64(1):
                for at in range(first, last):
                    after[out + at] = before[base + (y >> half) * line + (x >> half)]
                    x += step_x
                    y += step_y
            else:
                for at in range(first, last):
                    place, to = base + (y >> half) * line + (x >> half) * each, out + at * each
                    after[to] = before[place]
                    after[to + np.uint64(1)] = before[place + np.uint64(1)]
                    after[to + np.uint64(2)] = before[place + np.uint64(2)]
                    x += step_x
                    y += step_y


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fold_row(image, row, x, y, step_x, step_y, low, high, fill):
    """Fill the columns of a target row (uint8 (W, C)) before `low` and from `high` on; it begins at x, y (16.16)."""
    height, width, channels = image.shape
    for column in range(width):
        if low <= column < high:
            continue
        from_row = fold_pixel((y + column * step_y) >> 16, height, fill)
        from_column = fold_pixel((x + column * step_x) >> 16, width, fill)
        for channel in range(channels):
            row[column, channel] = image[from_row, from_column, channel]


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _inside(start, step, limit, count):
    """Return the run of i in [0, count) with 0 <= start + i * step < limit.

    All numbers are below 2^32, for which the division of doubles is precise enough.
    """
    if step == 0:
        return (0, count) if 0 <= start < limit else (0, 0)
    if step > 0:
        low, high = math.ceil(-start / step), math.ceil((limit - start) / step)
    else:
        low, high = math.floor((limit - start) / step) + 1, math.floor(-start / step) + 1
    return max(int(low), 0), min(int(high), count)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _roll(source: np.ndarray, target: np.ndarray, members: np.ndarray, shift: np.ndarray) -> None:
    _, height, width, channels = source.shape
    line = np.uint64(width * channels)
    size = np.uint64(height) * line
    before, after = source.reshape(-1), target.reshape(-1)
    twice, places = np.empty(size + size, np.uint8), np.empty(line, np.uint32)
    for number in range(len(members)):
        base = np.uint64(members[number]) * size
        for at in range(size):  # The image twice, one below the other, so that no column has to wrap around.
            twice[at] = twice[size + at] = before[base + at]
        for column in range(width):
            first = (height - shift[number, column]) % height * width + column
            for channel in range(channels):
                places[column * channels + channel] = first * channels + channel
        for row in range(np.uint64(height)):
            for at in range(line):
                after[base + row * line + at] = twice[np.uint64(places[at]) + row * line]
