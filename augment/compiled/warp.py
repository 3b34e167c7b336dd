"""Nearest-neighbour warps: Pillow's affine transform in 16.16 fixed point, and columns rolled down.

Source of the arithmetic: Pillow's `libImaging/Geometry.c` (`affine_fixed`) and `Image.rotate`.
"""

import numba
import numpy as np

from augment.operations.base import Parameters
from augment.operations.geometry import rotations, shears

_ONE = 65536  # 1 in 16.16 fixed point
_FIXED_LIMIT = 32768.0  # what a coordinate may reach in 16.16; beyond it Pillow computes in floating point


def rotate(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.rotate(degrees)`; right angles, which Pillow makes by transposing, are left to it."""
    degrees = parameters["degrees"]
    return _nearest(source, target, members, rotations(degrees, source.shape[1:]), degrees % 90 == 0)


def shear(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.transform(size, AFFINE, (1, x, 0, y, 1, 0))`."""
    return _nearest(source, target, members, shears(parameters["x"], parameters["y"]), np.zeros(len(members), bool))


def sine(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Column i rolled down, wrapping round, by `shift[i]` rows."""
    _roll(source, target, members, parameters["shift"] % source.shape[1])
    return members[:0]


def _nearest(
    source: np.ndarray, target: np.ndarray, members: np.ndarray, matrices: np.ndarray, left: np.ndarray
) -> np.ndarray:
    """Warp by `matrices` (float64 (k, 3, 3)) whom Pillow would warp in fixed point and who is not `left` already.

    Returns which of `members` remain, as places in it.
    """
    height, width = source.shape[1:3]
    a, b, c, d, e, f = matrices[:, :2].reshape(-1, 6).T
    left = left | ((b == 0) & (d == 0))
    for x, y in ((0, 0), (width, height), (0, height), (width, 0)):
        left |= np.abs(x * a + y * b + c) >= _FIXED_LIMIT
        left |= np.abs(x * d + y * e + f) >= _FIXED_LIMIT
    fixed = [a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5]
    steps = np.floor(np.stack(fixed, 1) * _ONE + 0.5).astype(np.int64)
    done = np.flatnonzero(~left)
    _affine(source, target, members[done], steps[done])
    return np.flatnonzero(left)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _affine(source: np.ndarray, target: np.ndarray, members: np.ndarray, steps: np.ndarray) -> None:
    _, height, width, channels = source.shape
    for number in range(len(members)):
        before = source[members[number]].reshape(-1)
        after = target[members[number]].reshape(-1)
        a, b, c, d, e, f = steps[number]
        for row in range(height):
            # The columns whose source lies inside: two half-open runs, one for x and one for y, cut with each other.
            low, high = _inside(c + row * b, a, width << 16, width)
            low_y, high_y = _inside(f + row * e, d, height << 16, width)
            low, high = max(low, low_y), min(high, high_y)
            if high <= low:
                after[row * width * channels : (row + 1) * width * channels] = 0
                continue
            x, y = c + row * b + low * a, f + row * e + low * d
            at = row * width
            after[at * channels : (at + low) * channels] = 0
            after[(at + high) * channels : (at + width) * channels] = 0
            if channels == 1:
                for column in range(at + low, at + high):
                    after[column] = before[np.uint64((y >> 16) * width + (x >> 16))]
                    x += a
                    y += d
            else:
                for column in range(at + low, at + high):
                    found = ((y >> 16) * width + (x >> 16)) * channels
                    for channel in range(channels):
                        after[column * channels + channel] = before[np.uint64(found + channel)]
                    x += a
                    y += d


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _inside(start, step, limit, count):  # type: ignore[no-untyped-def]
    """The run of i in [0, count) with 0 <= start + i * step < limit."""
    if step == 0:
        return (0, count) if 0 <= start < limit else (0, 0)
    if step > 0:
        low, high = -(start // step), -((start - limit) // step)
    else:
        low, high = (start - limit) // -step + 1, start // -step + 1
    return max(low, 0), min(high, count)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _roll(source: np.ndarray, target: np.ndarray, members: np.ndarray, shift: np.ndarray) -> None:
    _, height, width, channels = source.shape
    for number in range(len(members)):
        before = source[members[number]].reshape(-1)
        after = target[members[number]].reshape(-1)
        places = np.empty(width, np.int32)
        for column in range(width):
            places[column] = (height - shift[number, column]) % height
        for row in range(height):
            for column in range(width):
                place = places[column]
                at, found = (row * width + column) * channels, (place * width + column) * channels
                for channel in range(channels):
                    after[at + channel] = before[found + channel]
                place += 1
                places[column] = 0 if place == height else place
