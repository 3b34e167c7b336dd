"""Elastic distortion in integers: noise, running sums, bilinear sampling in 1/256 pixel."""

import numba
import numpy as np

from ..operations.base import Parameters
from ..operations.elastic import fields_of
from ..operations.fill import REFLECT, fill_of
from .seeds import fill_words


def elastic(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Sample every pixel where the displacement field of `seed` points."""
    fields = fields_of(parameters["alpha"], parameters["sigma"])
    _elastic(source, target, members, parameters["seed"], *fields, fill_of(parameters))
    return members[:0]


def elastic_ink(source: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Return the ink that the fields keep inside the frame, to first order, and all ink; int64 (k, 2)."""
    return _ink(source, members, parameters["seed"], *fields_of(parameters["alpha"], parameters["sigma"]))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _running_sum(before, after, sums, lines, width):
    """Sum each of `lines` lines and the `width` - 1 lines after it, with wrap-around."""
    length = len(sums)
    sums[:] = 0
    for number in range(width):
        line = before[number % lines * length :][:length]
        for at in range(length):
            sums[at] += line[at]
    next_line = width % lines
    for number in range(lines):
        line, out = before[number * length : (number + 1) * length], after[number * length : (number + 1) * length]
        following = before[next_line * length : (next_line + 1) * length]
        for at in range(length):
            out[at] = sums[at]
            sums[at] += following[at] - line[at]
        next_line = 0 if next_line + 1 == lines else next_line + 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _field(words, one, two, height, width, seed, widths, shift, scale):
    """Return the field of `seed`, int32, flat (H, 2, W): dx and dy of each row, in 1/256 pixel.

    `words`, `one` and `two` are scratch; the result is in `one` or `two`.
    """
    fill_words(seed, words)
    noise = words.view(np.uint8)
    for at in range(len(one)):
        one[at] = np.int32(2) * np.int32(noise[at]) - np.int32(255)
    sums = np.empty(2 * height, np.int32)
    for box in widths:
        _running_sum(one, two, sums, width, box)
        one, two = two, one
    half, bits = np.int32(1 << shift >> 1), np.int32(shift)
    for number in range(2 * width):  # From a line of dx and one of dy per column to such lines per row.
        line, at = one[number * height : (number + 1) * height], (number & 1) * width + (number >> 1)
        for row in range(height):
            two[at] = (line[row] + half) >> bits
            at += 2 * width
    one, two = two, one
    sums = np.empty(2 * width, np.int32)
    for box in widths:
        _running_sum(one, two, sums, height, box)
        one, two = two, one
    for at in range(len(one)):
        one[at] = np.int32(np.float32(one[at]) * scale)
    return one


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _elastic(source, target, members, seeds, widths, shifts, scales, fill):
    _, height, width, channels = source.shape
    words = np.empty((2 * height * width + 7) // 8, np.uint64)
    one, two = np.empty(2 * height * width, np.int32), np.empty(2 * height * width, np.int32)
    step = width + 3
    count = (height + 2) * step
    padded = np.full(count + 2 * step, max(fill, 0), np.uint8)
    packed = np.empty((channels, count), np.uint32)
    places, right, below = np.empty(width, np.int32), np.empty(width, np.uint32), np.empty(width, np.uint32)
    fours = np.empty(width, np.uint32)
    for number in range(len(members)):
        before, after = source[members[number]].reshape(-1), target[members[number]].reshape(-1)
        field = _field(words, one, two, height, width, seeds[number], widths[number], shifts[number], scales[number])
        for channel in range(channels):
            for row in range(height):
                line, out = before[row * width * channels + channel :], padded[(row + 1) * step + 1 :][:width]
                for column in range(width):
                    out[column] = line[np.uint64(column * channels)]
            if fill < 0:
                _extend(padded, height, width)
            _pack(padded, packed[channel], step)
        for row in range(height):
            dx, dy = field[2 * row * width :][:width], field[(2 * row + 1) * width :][:width]
            if fill == REFLECT:
                _reflect(dx, dy, row, height)
            _locate(dx, dy, row, height, step, places, right, below)
            for channel in range(channels):
                out = after[row * width * channels + channel :]
                _sample(packed[channel], places, right, below, fours, out, channels)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _extend(padded, height, width):
    """Repeat the outermost pixels of an image in its border: one pixel left and above, two right and below."""
    step = width + 3
    for row in range(height + 3):
        from_row = min(max(row - 1, 0), height - 1) + 1
        for column in range(step):
            from_column = min(max(column - 1, 0), width - 1) + 1
            padded[row * step + column] = padded[from_row * step + from_column]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _reflect(dx, dy, row, height):
    """Mirror the coordinates of a row at the borders of the image, in 1/256 pixel: `operations.elastic._reflected`."""
    width = len(dx)
    for column in range(width):
        dx[column] = _mirrored((column << 8) + dx[column], width) - (column << 8)
        dy[column] = _mirrored((row << 8) + dy[column], height) - (row << 8)


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _mirrored(place, count):
    place = (place + 128) % (count << 9)
    return min(place, (count << 9) - place) - 128


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _locate(dx, dy, row, height, step, places, right, below):
    """Compute where each pixel of a row is sampled: the place of its first neighbor, and the fractions in 256ths."""
    one, border, bits = np.int32(1), np.int32(-256), np.int32(8)
    width, line, most_x, most_y = len(dx), np.int32(step), np.int32(len(dx) << 8), np.int32(height << 8)
    for column in range(width):
        x = min(max(np.int32(column << 8) + dx[column], border), most_x)
        y = min(max(np.int32(row << 8) + dy[column], border), most_y)
        right[column], below[column] = x & np.int32(255), y & np.int32(255)
        places[column] = ((y >> bits) + one) * line + (x >> bits) + one


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _sample(packed, places, right, below, fours, out, channels):
    """Interpolate between the four neighbors at `places`, rounded half up, into every `channels`-th value of `out`."""
    low, one, half = np.uint32(255), np.uint32(256), np.uint32(1 << 15)
    for at in range(len(places)):
        fours[at] = packed[np.uint32(places[at])]
    for at in range(len(places)):
        four, x, y = fours[at], right[at], below[at]
        upper = (four & low) * (one - x) + (four >> np.uint32(8) & low) * x
        lower = (four >> np.uint32(16) & low) * (one - x) + (four >> np.uint32(24)) * x
        fours[at] = (upper * (one - y) + lower * y + half) >> np.uint32(16)
    for at in range(len(places)):
        out[np.uint64(at * channels)] = fours[at]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _pack(padded, packed, step):
    """Pack each pixel with its neighbors on the right, below, and below right into one number, lowest byte first."""
    count = len(packed)
    upper, lower = padded[:count], padded[step : step + count]
    upper_right, lower_right = padded[1 : 1 + count], padded[step + 1 : step + 1 + count]
    for at in range(count):
        packed[at] = (
            np.uint32(upper[at])
            | np.uint32(upper_right[at]) << np.uint32(8)
            | np.uint32(lower[at]) << np.uint32(16)
            | np.uint32(lower_right[at]) << np.uint32(24)
        )


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _ink(source, members, seeds, widths, shifts, scales):
    _, height, width, channels = source.shape
    words = np.empty((2 * height * width + 7) // 8, np.uint64)
    one, two = np.empty(2 * height * width, np.int32), np.empty(2 * height * width, np.int32)
    result = np.empty((len(members), 2), np.int64)
    line = np.empty(width, np.int32)
    for number in range(len(members)):
        image = source[members[number]].reshape(-1)
        field = _field(words, one, two, height, width, seeds[number], widths[number], shifts[number], scales[number])
        kept = total = 0
        for row in range(height):
            dx, dy = field[2 * row * width :][:width], field[(2 * row + 1) * width :][:width]
            line[:] = 0
            for channel in range(channels):
                for column in range(width):
                    line[column] += image[np.uint64((row * width + column) * channels + channel)]
            for column in range(width):
                # Unsigned: a negative coordinate becomes a large one, outside the frame.
                x = np.uint32(np.int32(column << 8 | 128) - dx[column])
                y = np.uint32(np.int32(row << 8 | 128) - dy[column])
                inside = (x < np.uint32(width << 8)) & (y < np.uint32(height << 8))
                total += line[column]
                kept += line[column] if inside else 0
        result[number, 0], result[number, 1] = kept, total
    return result
