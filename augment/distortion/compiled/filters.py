"""Filters: Pillow's extended box blur, and its 3 x 3 kernels with copied borders.

Sources of the arithmetic: Pillow's `libImaging/BoxBlur.c` (after P. Gwosdek et al., "Theoretical Foundations of
Gaussian Convolution by Extended Box Filtering", SSVM 2011) and `libImaging/Filter.c`.
"""

from collections.abc import Callable

import numba
import numpy as np
from PIL import ImageFilter

from ..operations.base import Parameters

_PASSES = 3  # of ImageFilter.GaussianBlur
_ROW_PIXELS = 1024  # filtered horizontally in one loop, approximately


def blur(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`ImageFilter.GaussianBlur(radius)`."""
    box = _box_radius(parameters["radius"])
    whole = box.astype(np.int64)
    # As in C: a float division, truncated to an unsigned integer.
    inner = (np.float32(1 << 24) / (box * np.float32(2) + np.float32(1))).astype(np.uint32)
    edge = (((1 << 24) - (whole * 2 + 1) * inner) // 2).astype(np.uint32)
    wide = whole > 0
    for kernel, which in ((blur_small, np.flatnonzero(~wide)), (blur_large, np.flatnonzero(wide))):
        if len(which):
            kernel(source, target, members[which], whole[which], inner[which], edge[which])
    return members[:0]


def _box_radius(radius: np.ndarray) -> np.ndarray:
    """Return `_gaussian_blur_radius` of BoxBlur.c; float32 where C uses float."""
    one, two, three, six = (np.float32(number) for number in (1, 2, 3, 6))
    sigma2 = radius.astype(np.float32) * radius.astype(np.float32) / np.float32(_PASSES)
    length = np.sqrt(12.0 * sigma2.astype(np.float64) + 1.0).astype(np.float32)
    whole = np.floor((length.astype(np.float64) - 1.0) / 2.0).astype(np.float32)
    part = (two * whole + one) * (whole * (whole + one) - three * sigma2)
    part /= six * (sigma2 - (whole + one) * (whole + one))
    return whole + part


@numba.njit(nogil=True, cache=True, error_model="numpy")
def blur_small(
    source: np.ndarray,
    target: np.ndarray,
    members: np.ndarray,
    reach: np.ndarray,
    inner: np.ndarray,
    edge: np.ndarray,
) -> None:
    """Run three horizontal and three vertical passes of a box of radius below one pixel (blur radius up to 1.4)."""
    _, height, width, channels = source.shape
    each, line, rows = np.uint64(channels), np.uint64(width * channels), np.uint64(height)
    size, stride, none = rows * line, line + each + each, np.uint64(0)
    pixels, out = source.reshape(-1), target.reshape(-1)
    # Several rows at once, each with a margin of one pixel on both sides: short loops would cost more to start.
    rows_at_once = max(np.uint64(1), min(rows, np.uint64(_ROW_PIXELS) // stride))
    first = np.zeros(rows_at_once * stride + each + each, np.uint32)
    second = np.zeros_like(first)
    above, below = np.empty(size + line + line, np.uint32), np.empty(size + line + line, np.uint32)
    for number in range(len(members)):
        base = np.uint64(members[number]) * size
        ww, fw = inner[number], edge[number]
        row = none
        while row < rows:
            count = min(rows_at_once, rows - row)
            length = count * stride - each - each
            for line_number in range(count):
                start, to = base + (row + line_number) * line, line_number * stride + each
                for at in range(line):
                    first[to + at] = pixels[start + at]
            _extend(first, count, stride, each)
            _weighted_pass(first, second, each, length, each, ww, fw)
            _extend(second, count, stride, each)
            _weighted_pass(second, first, each, length, each, ww, fw)
            _extend(first, count, stride, each)
            _weighted_pass(first, second, each, length, each, ww, fw)
            for line_number in range(count):
                start, to = line_number * stride + each, (row + line_number + np.uint64(1)) * line
                for at in range(line):
                    above[to + at] = second[start + at]
            row += count
        _extend(above, np.uint64(1), size + line + line, line)
        _weighted_pass(above, below, line, size, line, ww, fw)
        _extend(below, np.uint64(1), size + line + line, line)
        _weighted_pass(below, above, line, size, line, ww, fw)
        _extend(above, np.uint64(1), size + line + line, line)
        _weighted_pass(above, out, base, size, line, ww, fw)


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _extend(values, count, stride, margin):
    """Copy the outermost `margin` values of each of `count` runs into the margins before and after it."""
    for number in range(count):
        low, high = number * stride, (number + np.uint64(1)) * stride - margin
        for at in range(margin):
            values[low + at] = values[low + margin + at]
            values[high + at] = values[high - margin + at]


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _weighted_pass(before, after, out, length, step, ww, fw):
    """Run one pass: `after[out + i]` from `before[i]`, `before[i + step]` and `before[i + 2 step]`."""
    half = np.uint32(1 << 23)
    for at in range(length):
        far = np.uint32(before[at] + before[at + step + step])
        # Truncated to 32 bits at each step; in 64 bits the loop would be half as fast.
        after[out + at] = np.uint32(np.uint32(before[at + step] * ww) + np.uint32(far * fw) + half) >> np.uint32(24)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def blur_large(
    source: np.ndarray,
    target: np.ndarray,
    members: np.ndarray,
    reach: np.ndarray,
    inner: np.ndarray,
    edge: np.ndarray,
) -> None:
    """Run three horizontal and three vertical passes of a box of radius one pixel or more, by running sums."""
    _, height, width, channels = source.shape
    line = width * channels
    first, second = np.empty(height * line, np.uint8), np.empty(height * line, np.uint8)
    sums = np.empty(line, np.uint32)
    for number in range(len(members)):
        before, after = source[members[number]].reshape(-1), target[members[number]].reshape(-1)
        whole, ww, fw = reach[number], inner[number], edge[number]
        for row in range(height):
            one, two = first[row * line : (row + 1) * line], second[row * line : (row + 1) * line]
            _blur_row(before[row * line : (row + 1) * line], one, whole, ww, fw, channels)
            _blur_row(one, two, whole, ww, fw, channels)
            _blur_row(two, one, whole, ww, fw, channels)
        _blur_columns(first, second, sums, height, line, whole, ww, fw)
        _blur_columns(second, first, sums, height, line, whole, ww, fw)
        _blur_columns(first, after, sums, height, line, whole, ww, fw)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _blur_row(before, after, reach, ww, fw, channels):
    """Run one horizontal pass over a row of interleaved `channels`; the pixel at the edge repeats outside."""
    half, last = np.uint32(1 << 23), len(before) - channels
    for channel in range(channels):
        total = np.uint32(0)
        for offset in range(-reach - 1, reach):
            total += np.uint32(before[min(max(offset, 0) * channels, last) + channel])
        for at in range(0, len(before), channels):
            low, high = max(at - (reach + 1) * channels, 0), min(at + reach * channels, last)
            total += np.uint32(before[high + channel]) - np.uint32(before[low + channel])
            beyond = min(at + (reach + 1) * channels, last)
            far = np.uint32(before[low + channel]) + np.uint32(before[beyond + channel])
            after[at + channel] = (total * ww + far * fw + half) >> np.uint32(24)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _blur_columns(before, after, sums, height, line, reach, ww, fw):
    """Run one vertical pass over all columns at once."""
    half, last = np.uint32(1 << 23), height - 1
    sums[:] = 0
    for offset in range(-reach - 1, reach):
        row = before[min(max(offset, 0), last) * line :][:line]
        for at in range(line):
            sums[at] += np.uint32(row[at])
    for number in range(height):
        low, high = max(number - reach - 1, 0), min(number + reach, last)
        beyond = min(number + reach + 1, last)
        left, right = before[low * line : (low + 1) * line], before[beyond * line : (beyond + 1) * line]
        added, out = before[high * line : (high + 1) * line], after[number * line : (number + 1) * line]
        for at in range(line):
            sums[at] = np.uint32(sums[at] + added[at] - left[at])
            far = np.uint32(np.uint32(left[at]) + np.uint32(right[at]))
            out[at] = np.uint32(np.uint32(sums[at] * ww) + np.uint32(far * fw) + half) >> np.uint32(24)


def _three_by_three(kernel: type[ImageFilter.BuiltinFilter]) -> Callable[..., np.ndarray]:
    """Return the kernel of a filter with equal weights around the center, in integers of 16 bits.

    Pillow adds up floats and rounds half up; none of these sums comes near enough to a half for that to matter.
    """
    _, scale, _, weights = kernel.filterargs
    around, center = np.int16(2 * weights[0]), np.int16(2 * (weights[4] - weights[0]))
    half, divisor = np.int16(scale), np.uint16(2 * scale)
    most = np.int16(255 * 2 * scale + scale)

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def filtered(source: np.ndarray, target: np.ndarray, members: np.ndarray) -> None:
        _, height, width, channels = source.shape
        each, line, one = np.uint64(channels), np.uint64(width * channels), np.uint64(1)
        size = np.uint64(height) * line
        inner = size - line - line if height > 2 else np.uint64(0)
        before, after = source.reshape(-1), target.reshape(-1)
        rows = np.empty(inner, np.int16)
        for number in range(len(members)):
            base = np.uint64(members[number]) * size
            for at in range(line):
                after[base + at] = before[base + at]
                after[base + size - line + at] = before[base + size - line + at]
            if height < 3:
                continue
            below = base + line
            for at in range(inner):
                pair = np.int16(np.int16(before[base + at]) + np.int16(before[below + at]))
                rows[at] = np.int16(pair + np.int16(before[below + line + at]))
            # One loop over all rows, including their ends, which are overwritten below.
            for at in range(inner - each - each if width > 2 else np.uint64(0)):
                pair = np.int16(rows[at] + rows[at + each])
                box = np.int16(pair + rows[at + each + each])
                total = np.int16(np.int16(box * around) + np.int16(np.int16(before[below + each + at]) * center))
                total = min(max(np.int16(total + half), np.int16(0)), most)
                after[below + each + at] = np.uint16(total) // divisor
            for row in range(one, np.uint64(height - 1)):
                start = base + row * line
                for at in range(each):
                    after[start + at] = before[start + at]
                    after[start + line - one - at] = before[start + line - one - at]

    def run(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Apply the 3 x 3 filter; the border is copied."""
        filtered(source, target, members)
        return members[:0]

    return run


sharpen = _three_by_three(ImageFilter.SHARPEN)
smooth = _three_by_three(ImageFilter.SMOOTH)
