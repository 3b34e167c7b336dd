"""Bicubic resizing in Pillow's 22-bit fixed point, pasted on black.

Source of the arithmetic: Pillow's `libImaging/Resample.c` of release 13.
"""

import numba
import numpy as np

from augment.operations.base import Parameters

_BITS = 22  # PRECISION_BITS: 8 for the result, 2 for overflow
_SUPPORT = 2.0  # of the bicubic filter


def scale(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.resize((width, height))` pasted at (left, top) on black."""
    _scale(source, target, members, *(parameters[name] for name in ("width", "height", "left", "top")))
    return members[:0]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _bicubic(x):  # type: ignore[no-untyped-def]
    x = abs(x)
    if x < 1.0:
        return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    if x < 2.0:
        return (((x - 5) * x + 8) * x - 4) * -0.5
    return 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _coefficients(before, after):  # type: ignore[no-untyped-def]
    """First source pixel, how many, and their weights (int32, fixed point) for each of `after` pixels."""
    step = before / after
    stretch = max(step, 1.0)
    support = _SUPPORT * stretch
    first, count = np.empty(after, np.int64), np.empty(after, np.int64)
    most = int(np.ceil(support)) * 2 + 1
    weights, exact = np.zeros((after, most), np.int32), np.empty(most)
    inverse = 1.0 / stretch
    for pixel in range(after):
        centre = (pixel + 0.5) * step
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), before)
        total = 0.0
        for at in range(high - low):
            exact[at] = _bicubic((at + low - centre + 0.5) * inverse)
            total += exact[at]
        for at in range(high - low):
            weight = exact[at] / total if total != 0.0 else exact[at]
            weights[pixel, at] = int((-0.5 if weight < 0 else 0.5) + weight * (1 << _BITS))
        first[pixel], count[pixel] = low, high - low
    return first, count, weights


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _clip(total):  # type: ignore[no-untyped-def]
    return min(max(total >> np.int32(_BITS), np.int32(0)), np.int32(255))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _along(before, after, width, channels, first, count, weights, turned):  # type: ignore[no-untyped-def]
    """Resize each line of `before` ((rows, width * channels)) into `after`, by way of `turned` (int32)."""
    rows = before.shape[0]
    turned = turned[: rows * width * channels].reshape(width * channels, rows)
    for row in range(rows):
        for at in range(width * channels):
            turned[at, row] = before[row, at]
    sums = np.empty(rows, np.int32)
    for pixel in range(len(first)):
        for channel in range(channels):
            sums[:] = np.int32(1 << (_BITS - 1))
            for tap in range(count[pixel]):
                weight = weights[pixel, tap]
                column = turned[(first[pixel] + tap) * channels + channel]
                for row in range(rows):
                    sums[row] += column[row] * weight
            for row in range(rows):
                after[row, pixel * channels + channel] = _clip(sums[row])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _down(before, after, first, count, weights):  # type: ignore[no-untyped-def]
    """Resize the columns of `before` ((rows, line)) into `after` ((len(first), line))."""
    line = before.shape[1]
    sums = np.empty(line, np.int32)
    for pixel in range(len(first)):
        sums[:] = np.int32(1 << (_BITS - 1))
        for tap in range(count[pixel]):
            weight, row = weights[pixel, tap], before[first[pixel] + tap]
            for at in range(line):
                sums[at] += np.int32(row[at]) * weight
        out = after[pixel]
        for at in range(line):
            out[at] = _clip(sums[at])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _scale(
    source: np.ndarray,
    target: np.ndarray,
    members: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    lefts: np.ndarray,
    tops: np.ndarray,
) -> None:
    _, rows, columns, channels = source.shape
    turned = np.empty(rows * columns * channels, np.int32)
    between = np.empty(rows * columns * channels, np.uint8)
    for number in range(len(members)):
        before = source[members[number]].reshape(rows, columns * channels)
        after = target[members[number]].reshape(rows, columns * channels)
        width, height, left, top = widths[number], heights[number], lefts[number], tops[number]
        after[:top] = 0
        after[top + height :] = 0
        after[top : top + height, : left * channels] = 0
        after[top : top + height, (left + width) * channels :] = 0
        inner = after[top : top + height, left * channels : (left + width) * channels]
        if width == columns and height == rows:
            inner[:] = before
            continue
        if width == columns:
            first, count, weights = _coefficients(rows, height)
            _down(before, inner, first, count, weights)
            continue
        if height == rows:
            first, count, weights = _coefficients(columns, width)
            _along(before, inner, columns, channels, first, count, weights, turned)
            continue
        # Since its release 13 Pillow takes first the direction that leaves the other less to do.
        if rows - height > (columns - width) * 2:
            first, count, weights = _coefficients(rows, height)
            middle = between[: height * columns * channels].reshape(height, columns * channels)
            _down(before, middle, first, count, weights)
            first, count, weights = _coefficients(columns, width)
            _along(middle, inner, columns, channels, first, count, weights, turned)
        else:
            first, count, weights = _coefficients(columns, width)
            middle = between[: rows * width * channels].reshape(rows, width * channels)
            _along(before, middle, columns, channels, first, count, weights, turned)
            first, count, weights = _coefficients(rows, height)
            _down(middle, inner, first, count, weights)
