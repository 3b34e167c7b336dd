"""Pillow's nearest, bilinear and bicubic filters, over many pixels at a time.

Source of the arithmetic: Pillow's `libImaging/Geometry.c`. Arrays run over pixels. A filter reads `words` (uint32, one
line per word that a pixel needs). Neighbor k of a pixel is a byte of its word in line `which[k]`; multiplying the word
by `shift[k]`, a power of two, moves that byte to the top. The fractions `x` and `y` give the position of a pixel
between its neighbors.
"""

import numba
import numpy as np

from ..operations.projective import GRID_BITS

i32, u32, u64 = np.int32, np.uint32, np.uint64


@numba.njit(nogil=True, cache=True, error_model="numpy")
def gray_words(before, cells, height, width):
    """Pack 2 x 2 pixels into each word, the first in the lowest byte; the pixels at the edge repeat outside."""
    pitch, last = u64(width + 4), u64(width - 1)
    for row in range(height + 3):
        above = u64(min(max(row - 2, 0), height - 1) * width)
        below = u64(min(max(row - 1, 0), height - 1) * width)
        out = u64(row + 4) * pitch
        for at in range(last):
            high = u32(u32(before[below + at]) << u32(16)) | u32(u32(before[below + at + u64(1)]) << u32(24))
            cells[out + at + u64(2)] = u32(before[above + at]) | u32(u32(before[above + at + u64(1)]) << u32(8)) | high
        left = u32((u32(before[above]) | u32(u32(before[below]) << u32(16))) * u32(257))
        right = u32((u32(before[above + last]) | u32(u32(before[below + last]) << u32(16))) * u32(257))
        for at in range(u64(2)):
            cells[out + at] = left
            cells[out + last + at + u64(2)] = right


@numba.njit(nogil=True, cache=True, error_model="numpy")
def color_words(before, cells, height, width):
    """Pack one pixel into each word, red in the lowest byte; the pixels at the edge repeat outside."""
    pitch, wide = u64(width + 4), u64(width)
    for row in range(height + 4):
        line, out = u64(min(max(row - 2, 0), height - 1) * width * 3), u64(row + 4) * pitch
        for at in range(wide):
            place = line + u64(3) * at
            more = u32(u32(before[place + u64(1)]) << u32(8)) | u32(u32(before[place + u64(2)]) << u32(16))
            cells[out + at + u64(2)] = u32(before[place]) | more
        for at in range(u64(2)):
            cells[out + at] = cells[out + u64(2)]
            cells[out + wide + at + u64(2)] = cells[out + wide + u64(1)]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def gather(cells, places, words):
    """Copy the words of `cells` at `places` (uint32) to `words`."""
    for column in range(len(places)):
        words[column] = cells[places[column]]


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _byte(word, shift):
    return i32(u32(word * shift) >> u32(24))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def nearest(words, shift, out):
    """Copy the one neighbor."""
    for column in range(len(out)):
        out[column] = np.uint8(u32(words[column] * shift) >> u32(24))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def integer_bilinear(words, which, shift, parts, out):
    """Compute `bilinear` in integers; `parts` (uint32) holds x in the low half and y in the high half, in grid units.

    The last product has more than 32 bits and is added up in two parts.
    """
    one, two, three, four = words[which[0]], words[which[1]], words[which[2]], words[which[3]]
    s1, s2, s3, s4 = shift
    bits = i32(GRID_BITS)
    for column in range(len(out)):
        dx, dy = i32(parts[column] & u32(0xFFFF)), i32(parts[column] >> u32(16))
        a, b, c, d = _byte(one[column], s1), _byte(two[column], s2), _byte(three[column], s3), _byte(four[column], s4)
        upper = i32(i32(a << bits) + i32(i32(b - a) * dx))
        lower = i32(i32(c << bits) + i32(i32(d - c) * dx))
        step = i32(lower - upper)
        fine = i32(i32(i32(step & i32(255)) * dy) >> i32(8))
        total = i32(i32(upper << i32(GRID_BITS - 8)) + i32(i32(step >> i32(8)) * dy) + fine)
        out[column] = np.uint8(total >> i32(2 * GRID_BITS - 8))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def bilinear(words, which, shift, x, y, out):
    """Interpolate between four neighbors, row by row: `BILINEAR_BODY`, its doubles truncated to integers."""
    one, two, three, four = words[which[0]], words[which[1]], words[which[2]], words[which[3]]
    s1, s2, s3, s4 = shift
    for column in range(len(out)):
        a, b, c, d = _byte(one[column], s1), _byte(two[column], s2), _byte(three[column], s3), _byte(four[column], s4)
        upper = np.float64(a) + np.float64(i32(b - a)) * x[column]
        lower = np.float64(c) + np.float64(i32(d - c)) * x[column]
        out[column] = np.uint8(i32(upper + (lower - upper) * y[column]))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def bicubic_horizontal(words, which, shift, x, band):
    """Interpolate between four neighbors in a row: `BICUBIC`, float64, with integer coefficients."""
    one, two, three, four = words[which[0]], words[which[1]], words[which[2]], words[which[3]]
    s1, s2, s3, s4 = shift[0], shift[1], shift[2], shift[3]
    for column in range(len(band)):
        a, b, c, d = _byte(one[column], s1), _byte(two[column], s2), _byte(three[column], s3), _byte(four[column], s4)
        second, third, fourth = i32(c - a), i32(i32(2) * i32(a - b) + c - d), i32(b - a - c + d)
        cubic = np.float64(third) + x[column] * np.float64(fourth)
        band[column] = np.float64(b) + x[column] * (np.float64(second) + x[column] * cubic)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def bicubic_vertical(bands, y, out):
    """Interpolate between four such rows: `BICUBIC`, clipped to bytes."""
    one, two, three, four = bands[0], bands[1], bands[2], bands[3]
    for column in range(len(out)):
        a, b, c, d, part = one[column], two[column], three[column], four[column], y[column]
        cubic = (2.0 * (a - b) + c - d) + part * (b - a - c + d)
        total = b + part * ((c - a) + part * cubic)
        out[column] = np.uint8(i32(min(max(total, 0.0), 255.0)))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def interleave(lines, out):
    """Turn lines of red, green and blue into pixels."""
    red, green, blue = lines[0], lines[1], lines[2]
    for column in range(len(out) // 3):
        out[3 * column], out[3 * column + 1], out[3 * column + 2] = red[column], green[column], blue[column]
