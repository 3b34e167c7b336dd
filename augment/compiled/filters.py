"""Filters: Pillow's extended box blur and its 3 x 3 kernels with copied borders.

Sources of the arithmetic: Pillow's `libImaging/BoxBlur.c` (after P. Gwosdek et al., "Theoretical
Foundations of Gaussian Convolution by Extended Box Filtering", SSVM 2011) and `libImaging/Filter.c`.
"""

from collections.abc import Callable

import numba
import numpy as np
from PIL import ImageFilter

from augment.operations.base import Parameters

_PASSES = 3  # ImageFilter.GaussianBlur's


def blur(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`ImageFilter.GaussianBlur(radius)`."""
    box = _box_radius(parameters["radius"])
    whole = box.astype(np.int64)
    # In C's own types: a float division, cut to an unsigned number.
    inner = (np.float32(1 << 24) / (box * np.float32(2) + np.float32(1))).astype(np.uint32)
    edge = (((1 << 24) - (whole * 2 + 1) * inner) // 2).astype(np.uint32)
    blur_pictures(source, target, members, whole, inner, edge)
    return members[:0]


def _box_radius(radius: np.ndarray) -> np.ndarray:
    """`_gaussian_blur_radius` of BoxBlur.c, float32 where it has float."""
    one, two, three, six = (np.float32(number) for number in (1, 2, 3, 6))
    sigma2 = radius.astype(np.float32) * radius.astype(np.float32) / np.float32(_PASSES)
    length = np.sqrt(12.0 * sigma2.astype(np.float64) + 1.0).astype(np.float32)
    whole = np.floor((length.astype(np.float64) - 1.0) / 2.0).astype(np.float32)
    part = (two * whole + one) * (whole * (whole + one) - three * sigma2)
    part /= six * (sigma2 - (whole + one) * (whole + one))
    return whole + part


@numba.njit(nogil=True, cache=True, error_model="numpy")
def blur_pictures(
    source: np.ndarray,
    target: np.ndarray,
    members: np.ndarray,
    radius: np.ndarray,
    inner: np.ndarray,
    edge: np.ndarray,
) -> None:
    _, height, width, channels = source.shape
    line = width * channels
    first, second = np.empty(height * line, np.uint8), np.empty(height * line, np.uint8)
    wide, sums = np.empty(line, np.uint8), np.empty(line, np.uint32)
    for number in range(len(members)):
        before = source[members[number]].reshape(-1)
        after = target[members[number]].reshape(-1)
        reach, ww, fw = radius[number], inner[number], edge[number]
        if reach == 0 and ww == np.uint32(1 << 24):
            after[:] = before
            continue
        for row in range(height):
            one, two = first[row * line : (row + 1) * line], second[row * line : (row + 1) * line]
            _along(before[row * line : (row + 1) * line], one, reach, ww, fw, channels)
            _along(one, two, reach, ww, fw, channels)
            _along(two, one, reach, ww, fw, channels)
        _down(first, second, sums, height, line, reach, ww, fw)
        _down(second, first, sums, height, line, reach, ww, fw)
        _down(first, after, sums, height, line, reach, ww, fw)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _along(before, after, reach, ww, fw, channels):  # type: ignore[no-untyped-def]
    """One pass along a line of interleaved `channels`; what lies outside is the pixel at the edge."""
    line, half = len(before), np.uint32(1 << 23)
    last = line - channels
    if reach == 0 and last > 0:
        for channel in range(channels):
            edge = np.uint32(before[channel])
            after[channel] = (edge * ww + (edge + before[channels + channel]) * fw + half) >> np.uint32(24)
            edge = np.uint32(before[last + channel])
            after[last + channel] = (edge * ww + (before[last - channels + channel] + edge) * fw + half) >> np.uint32(
                24
            )
        left, middle, right, out = (
            before[: line - 2 * channels],
            before[channels:last],
            before[2 * channels :],
            after[channels:last],
        )
        for at in range(len(out)):
            far = np.uint32(left[at]) + np.uint32(right[at])
            out[at] = (np.uint32(middle[at]) * ww + far * fw + half) >> np.uint32(24)
        return
    for channel in range(channels):
        total = np.uint32(0)
        for offset in range(-reach - 1, reach):
            total += np.uint32(before[min(max(offset, 0) * channels, last) + channel])
        for at in range(0, line, channels):
            low, high = max(at - (reach + 1) * channels, 0), min(at + reach * channels, last)
            total += np.uint32(before[high + channel]) - np.uint32(before[low + channel])
            beyond = min(at + (reach + 1) * channels, last)
            far = np.uint32(before[low + channel]) + np.uint32(before[beyond + channel])
            after[at + channel] = (total * ww + far * fw + half) >> np.uint32(24)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _down(before, after, sums, height, line, reach, ww, fw):  # type: ignore[no-untyped-def]
    """One pass down the columns, all of them side by side."""
    half, last = np.uint32(1 << 23), height - 1
    sums[:] = 0
    if reach > 0:
        for offset in range(-reach - 1, reach):
            row = before[min(max(offset, 0), last) * line :][:line]
            for at in range(line):
                sums[at] += np.uint32(row[at])
    for number in range(height):
        low, high = max(number - reach - 1, 0), min(number + reach, last)
        beyond = min(number + reach + 1, last)
        left, right = before[low * line : (low + 1) * line], before[beyond * line : (beyond + 1) * line]
        added, out = before[high * line : (high + 1) * line], after[number * line : (number + 1) * line]
        if reach == 0:
            for at in range(line):
                far = np.uint32(left[at]) + np.uint32(right[at])
                out[at] = (np.uint32(added[at]) * ww + far * fw + half) >> np.uint32(24)
        else:
            for at in range(line):
                sums[at] += np.uint32(added[at]) - np.uint32(left[at])
                far = np.uint32(left[at]) + np.uint32(right[at])
                out[at] = (sums[at] * ww + far * fw + half) >> np.uint32(24)


def _three_by_three(kernel: type[ImageFilter.BuiltinFilter]) -> Callable[..., np.ndarray]:
    _, scale, _, weights = kernel.filterargs
    # Pillow adds up floats and rounds half up; no sum of these comes near enough to a half for that to matter.
    centre, around, divisor = 2 * int(weights[4] - weights[0]), 2 * int(weights[0]), 2 * int(scale)
    rounding, most = int(scale), 255 * 2 * int(scale) + int(scale)

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def filtered(source: np.ndarray, target: np.ndarray, members: np.ndarray) -> None:
        _, height, width, channels = source.shape
        line = width * channels
        inner = line - 2 * channels
        rows = np.empty(line, np.int32)
        for number in range(len(members)):
            before = source[members[number]].reshape(-1)
            after = target[members[number]].reshape(-1)
            after[:line] = before[:line]
            after[(height - 1) * line :] = before[(height - 1) * line :]
            for row in range(1, height - 1):
                above, here, below = (
                    before[(row - 1) * line : row * line],
                    before[row * line : (row + 1) * line],
                    before[(row + 1) * line : (row + 2) * line],
                )
                out = after[row * line : (row + 1) * line]
                out[:channels] = here[:channels]
                out[line - channels :] = here[line - channels :]
                if inner <= 0:
                    continue
                for at in range(line):
                    rows[at] = np.int32(above[at]) + np.int32(here[at]) + np.int32(below[at])
                left, middle, right = rows[:inner], rows[channels : channels + inner], rows[2 * channels :]
                centres, result = here[channels : channels + inner], out[channels : channels + inner]
                for at in range(inner):
                    box = left[at] + middle[at] + right[at]
                    total = np.int32(around) * box + np.int32(centre) * np.int32(centres[at]) + np.int32(rounding)
                    total = min(max(total, np.int32(0)), np.int32(most))
                    result[at] = np.uint32(total) // np.uint32(divisor)

    def run(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
        filtered(source, target, members)
        return members[:0]

    return run


sharpen = _three_by_three(ImageFilter.SHARPEN)
smooth = _three_by_three(ImageFilter.SMOOTH)
