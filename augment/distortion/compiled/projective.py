"""Affine and perspective warps: Pillow's generic transform with its nearest, bilinear and bicubic filters.

Source of the arithmetic: Pillow's `libImaging/Geometry.c` (`ImagingGenericTransform`). A few rows of the target are
computed at a time, in three loops: source coordinates, the pixels there, the interpolation between them. On the grid of
`distortion.operations.projective` Pillow's doubles are exact, so that bilinear warps can be computed in integers.
"""

from functools import lru_cache

import numba
import numpy as np

from ..operations.base import Parameters
from ..operations.fill import BICUBIC, BILINEAR, NEAREST, fill_of
from ..operations.projective import GRID_BITS, affine_matrices
from .fill import fold_coordinates
from .interpolate import (
    bicubic_horizontal,
    bicubic_vertical,
    bilinear,
    color_words,
    gather,
    gray_words,
    integer_bilinear,
    interleave,
    nearest,
)
from .warp import warp_nearest

_TAPS = {NEAREST: 1, BILINEAR: 2, BICUBIC: 4}  # pixels that a filter reads in each direction
_INTEGER_LIMIT = 32768  # coordinates below it fit in 32-bit integers
_BLOCK = 2048  # pixels that are computed at a time, in whole rows
_STEP, _ONE = 1 << GRID_BITS - 1, 1 << GRID_BITS  # 1 in the fixed point of steps between pixels, and of coordinates
i32, u32 = np.int32, np.uint32


def affine(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.transform(size, AFFINE, matrix, resample)`; nearest without rotation or shear is left to Pillow."""
    matrix, taps, (height, width) = parameters["matrix"], _taps(parameters), source.shape[1:3]
    fill = fill_of(parameters)
    if taps == 1:
        return warp_nearest(source, target, members, affine_matrices(matrix), np.zeros(len(members), bool), fill)
    steps = matrix * [_STEP, _STEP, _ONE, _STEP, _STEP, _ONE]
    whole = (steps == np.trunc(steps)).all(1) & (taps == 2) & (max(height, width) < _INTEGER_LIMIT) & (fill >= 0)
    for x, y in ((0, 0), (width, height), (0, height), (width, 0)):
        for a, b, c in (matrix[:, :3].T, matrix[:, 3:].T):
            whole &= np.abs(x * a + y * b + c) < _INTEGER_LIMIT
    matrices = np.zeros((len(members), 8))
    matrices[:, :6] = matrix
    _transform(source, target, members, matrices, whole, fill, taps, *_neighbors(taps, width, source.shape[3]))
    return members[:0]


def perspective(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.transform(size, PERSPECTIVE, matrix, resample)`."""
    taps, whole, fill = _taps(parameters), np.zeros(len(members), bool), fill_of(parameters)
    _transform(source, target, members, parameters["matrix"], whole, fill, taps, *_neighbors(taps, *source.shape[2:]))
    return members[:0]


def _taps(parameters: Parameters) -> int:
    """Return the taps of the filter, which all images of an operation share."""
    return _TAPS[int(parameters["resample"][0])] if len(parameters["resample"]) else 1


@lru_cache(maxsize=16)
def _neighbors(taps: int, width: int, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where the `taps` x `taps` neighbors of a pixel are in the words of `gray_words` or `color_words`.

    The three arrays are: the offsets of the words to read, relative to the first neighbor's word (int32); the index of
    each neighbor's word among them (int32); for each channel and neighbor, the power of two that moves its byte to the
    top of the word (uint32).
    """
    pitch, (down, across) = width + 4, np.divmod(np.arange(taps * taps), taps)
    if channels == 1:  # A word has 2 x 2 pixels.
        words = (taps + 1) // 2
        offsets = [2 * row * pitch + 2 * column for row in range(words) for column in range(words)]
        which, bits = down // 2 * words + across // 2, (8 * (2 * (down % 2) + across % 2))[None]
    else:
        offsets = (down * pitch + across).tolist()
        which, bits = np.arange(taps * taps), np.repeat([[0], [8], [16]], taps * taps, 1)
    return np.array(offsets, np.int32), which.astype(np.int32), (1 << 24 - bits).astype(np.uint32)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _transform(
    source: np.ndarray,
    target: np.ndarray,
    members: np.ndarray,
    matrices: np.ndarray,
    whole: np.ndarray,
    fill: int,
    taps: int,
    offsets: np.ndarray,
    which: np.ndarray,
    shifts: np.ndarray,
) -> None:
    _, height, width, channels = source.shape
    pitch = width + 4
    # Four rows of the gray value outside, then the image with a border of two pixels.
    cells = np.full((height + 8) * pitch, u32(max(fill, 0)) * u32(0x1010101), np.uint32)
    first = (5 * pitch + 1) if taps == 4 else (6 * pitch + 2)  # word of the first neighbor of pixel (0, 0)
    block = min(max(_BLOCK // width, 1), height) * width
    places, parts, across = np.empty(block, np.uint32), np.empty(block, np.uint32), np.empty((2, width), np.uint32)
    x, y, bands = np.empty(block), np.empty(block), np.empty((4, block))
    words, lines = np.empty((len(offsets), block), np.uint32), np.empty((channels, block), np.uint8)
    for number in range(len(members)):
        before, after = source[members[number]].reshape(-1), target[members[number]].reshape(-1)
        if channels == 1:
            gray_words(before, cells, height, width)
        else:
            color_words(before, cells, height, width)
        matrix = matrices[number]
        if whole[number]:
            _steps(matrix, across)
        for start in range(0, height * width, block):
            count = min(block, height * width - start)
            if whole[number]:
                _integer_places(matrix, start // width, across, places[:count], parts, height, width, first)
            else:
                _sources(matrix, start // width, width, x[:count], y)
                if fill < 0:
                    fold_coordinates(x[:count], y, height, width, fill)
                _places(x, y, places[:count], 0.0 if taps == 1 else 0.5, height, width, first)
            for word in range(len(offsets)):
                gather(cells[offsets[word] :], places[:count], words[word])
            for channel in range(channels):
                out = after[start : start + count] if channels == 1 else lines[channel, :count]
                shift = shifts[channel]
                if taps == 1:
                    nearest(words[0], shift[0], out)
                elif whole[number]:
                    integer_bilinear(words, which, shift, parts, out)
                elif taps == 2:
                    bilinear(words, which, shift, x, y, out)
                else:
                    for tap in range(4):
                        bicubic_horizontal(words, which[4 * tap :], shift[4 * tap :], x, bands[tap, :count])
                    bicubic_vertical(bands, y, out)
            if channels == 3:
                interleave(lines, after[start * 3 : (start + count) * 3])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _steps(matrix, across):
    """Compute what each column adds to the source's x and y, in fixed point."""
    a, d = np.int64(matrix[0] * _STEP), np.int64(matrix[3] * _STEP)
    for column in range(across.shape[1]):
        across[0, column], across[1, column] = u32(a * (2 * column + 1)), u32(d * (2 * column + 1))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _integer_places(matrix, row, across, places, parts, height, width, first):
    """Compute places and fractions of rows from `row`, in integers; `parts` holds x in the low half, y in the high."""
    half, pitch, bits, part = u32(_STEP), u32(width + 4), u32(GRID_BITS), u32(_ONE - 1)
    wide, high, start = u32(width * _ONE), u32(height * _ONE), u32(first - (width + 4) - 1)
    b, c = np.int64(matrix[1] * _STEP), np.int64(matrix[2] * _ONE) + _STEP
    e, f = np.int64(matrix[4] * _STEP), np.int64(matrix[5] * _ONE) + _STEP
    xs, ys = across[0], across[1]
    for at in range(0, len(places), width):
        x_row, y_row = u32(b * (2 * row + 1) + c), u32(e * (2 * row + 1) + f)
        row += 1
        to, rest = places[at : at + width], parts[at : at + width]
        for column in range(width):
            x, y = u32(xs[column] + x_row), u32(ys[column] + y_row)
            inside = (u32(x - half) < wide) & (u32(y - half) < high)
            place = u32(u32(u32(y >> bits) * pitch) + u32(x >> bits) + start)
            to[column] = place if inside else u32(0)
            rest[column] = (x & part) | u32((y & part) << u32(16))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _sources(matrix, row, width, x, y):
    """Compute the source coordinates of rows from `row`: `affine_transform` and `perspective_transform`."""
    a, b, c, d, e, f, g, h = matrix
    for at in range(0, len(x), width):
        y_in = row + 0.5
        row += 1
        across, down, depth = b * y_in, e * y_in, h * y_in
        to_x, to_y = x[at : at + width], y[at : at + width]
        if g == 0.0 and h == 0.0:
            for column in range(width):
                x_in = np.float64(i32(column)) + 0.5
                to_x[column], to_y[column] = a * x_in + across + c, d * x_in + down + f
        else:
            for column in range(width):
                x_in = np.float64(i32(column)) + 0.5
                divisor = g * x_in + depth + 1.0
                to_x[column], to_y[column] = (a * x_in + across + c) / divisor, (d * x_in + down + f) / divisor


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _places(x, y, places, half, height, width, first):
    """Compute the words to read, 0 outside the image; turn `x` and `y` into fractions."""
    wide, high, pitch = np.float64(width), np.float64(height), np.float64(width + 4)
    # Outside the image, a column and a row for which the place is 0.
    x_out, y_out = -np.float64(first % (width + 4)) + half, -np.float64(first // (width + 4)) + half
    for column in range(len(places)):
        inside = (x[column] >= 0.0) & (x[column] < wide) & (y[column] >= 0.0) & (y[column] < high)
        x_in, y_in = (x[column] if inside else x_out) - half, (y[column] if inside else y_out) - half
        left, top = np.floor(x_in), np.floor(y_in)
        x[column], y[column] = x_in - left, y_in - top
        places[column] = u32(i32(top * pitch + left + first))
