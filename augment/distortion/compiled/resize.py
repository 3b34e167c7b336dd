"""Bicubic resizing in Pillow's 22-bit fixed point, from a box of one image to a box of another on a plain background.

Source of the arithmetic: `libImaging/Resample.c` of Pillow 13.
"""

import numba
import numpy as np

from ..operations.base import Parameters
from ..operations.fill import fill_of
from .fill import fill_around

_BITS = 22  # PRECISION_BITS: 8 for the result, 2 for overflow
_SUPPORT = 2.0  # of the bicubic filter


def scale(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.resize((width, height))` pasted at (left, top) on `fill`."""
    fill, boxes = fill_of(parameters), _boxes(parameters)
    background = black(source, members) + np.uint8(max(fill, 0))
    resize_boxes(source, target, members, whole(source, members), boxes, background)
    if fill < 0:
        fill_around(target, members, boxes, fill)
    return members[:0]


def crop(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.crop(box).resize(size)`."""
    resize_boxes(source, target, members, _boxes(parameters), whole(source, members), black(source, members))
    return members[:0]


def _boxes(parameters: Parameters) -> np.ndarray:
    """Return left, top, width, height of each image's box, int64 (k, 4)."""
    return np.stack([parameters[name] for name in ("left", "top", "width", "height")], 1)


def black(source: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return black backgrounds, uint8 (k, C)."""
    return np.zeros((len(members), source.shape[3]), np.uint8)


def whole(source: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return the boxes of whole images, int64 (k, 4)."""
    return np.tile(np.array([0, 0, source.shape[2], source.shape[1]]), (len(members), 1))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _bicubic(x):
    x = abs(x)
    if x < 1.0:
        return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    if x < 2.0:
        return (((x - 5) * x + 8) * x - 4) * -0.5
    return 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _coefficients(before, after):
    """Return first source pixel, number of pixels, and weights (int32, fixed point) for each of `after` pixels."""
    step = before / after
    ratio = max(step, 1.0)
    support = _SUPPORT * ratio
    first, count = np.empty(after, np.int64), np.empty(after, np.int64)
    most = int(np.ceil(support)) * 2 + 2
    weights, exact = np.zeros((after, most), np.int32), np.empty(most)
    inverse = 1.0 / ratio
    for pixel in range(after):
        center = (pixel + 0.5) * step
        low = max(int(center - support + 0.5), 0)
        high = min(int(center + support + 0.5), before)
        total = 0.0
        for at in range(high - low):
            exact[at] = _bicubic((at + low - center + 0.5) * inverse)
            total += exact[at]
        for at in range(high - low):
            weight = exact[at] / total if total != 0.0 else exact[at]
            weights[pixel, at] = int((-0.5 if weight < 0 else 0.5) + weight * (1 << _BITS))
        first[pixel], count[pixel] = low, high - low
    return first, count, weights


_CACHED_SIDE = 128
"""The longest side whose coefficients are cached."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _plan(known, plans, before, after):
    """Return the coefficients, cached in `plans` at the index `known[before, after]`."""
    if before > _CACHED_SIDE or after > _CACHED_SIDE:
        return _coefficients(before, after)
    if known[before, after] < 0:
        known[before, after] = len(plans)
        plans.append(_coefficients(before, after))
    return plans[known[before, after]]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _clip(total):
    return min(max(total >> np.int32(_BITS), np.int32(0)), np.int32(255))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _resize_rows(before, pitch, rows, line, after, pitch_after, channels, plan, scratch, sums):
    """Resize the first `line` bytes of each of `rows` lines, `pitch` bytes apart; `scratch` holds them transposed."""
    first, count, weights = plan
    rows, most = np.uint64(rows), line // channels - 1
    for place in range(np.uint64(line)):
        for row in range(rows):
            scratch[place * rows + row] = before[row * np.uint64(pitch) + place]
    for pixel in range(len(first)):
        for channel in range(channels):
            for row in range(rows):
                sums[row] = np.int32(1 << (_BITS - 1))
            for tap in range(0, count[pixel], 2):
                weight, weight_next = weights[pixel, tap], weights[pixel, tap + 1]
                at = np.uint64((first[pixel] + tap) * channels + channel) * rows
                following = np.uint64(min(first[pixel] + tap + 1, most) * channels + channel) * rows
                for row in range(rows):
                    sums[row] += np.int32(scratch[at + row]) * weight + np.int32(scratch[following + row]) * weight_next
            at = np.uint64(pixel * channels + channel)
            for row in range(rows):
                after[at + row * np.uint64(pitch_after)] = _clip(sums[row])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _resize_columns(before, pitch, line, after, pitch_after, plan, sums):
    """Resize the columns of lines of `line` bytes, `pitch` bytes apart, to the number of lines in `plan`."""
    first, count, weights = plan
    line, most = np.uint64(line), first[-1] + count[-1] - 1
    for pixel in range(len(first)):
        for column in range(line):
            sums[column] = np.int32(1 << (_BITS - 1))
        for tap in range(0, count[pixel], 2):
            weight, weight_next = weights[pixel, tap], weights[pixel, tap + 1]
            at = np.uint64((first[pixel] + tap) * pitch)
            following = np.uint64(min(first[pixel] + tap + 1, most) * pitch)
            for column in range(line):
                sums[column] += (
                    np.int32(before[at + column]) * weight + np.int32(before[following + column]) * weight_next
                )
        at = np.uint64(pixel * pitch_after)
        for column in range(line):
            after[at + column] = _clip(sums[column])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def backgrounds(images, background):
    """Compute `ingest.preprocess.backgrounds` from a histogram of each border."""
    count, height, width, channels = images.shape
    histogram = np.empty(256, np.int64)
    for number in range(count):
        for channel in range(channels):
            histogram[:] = 0
            for column in range(width):
                histogram[images[number, 0, column, channel]] += 1
                histogram[images[number, height - 1, column, channel]] += 1
            for row in range(height):
                histogram[images[number, row, 0, channel]] += 1
                histogram[images[number, row, width - 1, channel]] += 1
            value, below = 0, histogram[0]
            while below <= width + height:  # The median of the border's 2 (width + height) pixels.
                value += 1
                below += histogram[value]
            background[number, channel] = value


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fill(bytes_, background):
    """Fill `bytes_` with pixels of the color `background` (uint8 (C,))."""
    if len(background) == 1:
        bytes_[:] = background[0]
        return
    for at in range(len(bytes_)):
        bytes_[at] = background[at % len(background)]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def resize_boxes(
    source: np.ndarray,
    target: np.ndarray,
    members: np.ndarray,
    boxes: np.ndarray,
    boxes_after: np.ndarray,
    backgrounds: np.ndarray,
) -> None:
    """Resize the box `boxes[k]` of each image to the box `boxes_after[k]` of its target, on `backgrounds[k]`."""
    _, rows, columns, channels = source.shape
    pitch, pitch_after = columns * channels, target.shape[2] * channels
    scratch = np.empty(rows * pitch, np.uint8)
    # Between the two passes: the rows of one image and the columns of the other.
    longest = max(rows, target.shape[1]) * max(pitch, pitch_after)
    between, sums = np.empty(longest, np.uint8), np.empty(max(longest, 1), np.int32)
    # Cached, because images of a block share most of their sizes.
    known, plans = np.full((_CACHED_SIDE + 1, _CACHED_SIDE + 1), -1), [_coefficients(1, 1)]
    for number in range(len(members)):
        left, top, wide, high = boxes[number]
        before = source[members[number]].reshape(-1)[top * pitch + left * channels :]
        left, top, width, height = boxes_after[number]
        after = target[members[number]].reshape(-1)
        background = backgrounds[number]
        _fill(after[: top * pitch_after], background)
        _fill(after[(top + height) * pitch_after :], background)
        for row in range(top, top + height if width * channels < pitch_after else top):
            _fill(after[row * pitch_after :][: left * channels], background)
            _fill(after[row * pitch_after :][(left + width) * channels : pitch_after], background)
        inner = after[top * pitch_after + left * channels :]
        line, line_after = wide * channels, width * channels
        if width == wide and height == high:
            for row in range(np.uint64(height)):
                at, at_after = row * np.uint64(pitch), row * np.uint64(pitch_after)
                for place in range(np.uint64(line)):
                    inner[at_after + place] = before[at + place]
            continue
        across, down = _plan(known, plans, wide, width), _plan(known, plans, high, height)
        if width == wide:
            _resize_columns(before, pitch, line, inner, pitch_after, down, sums)
        elif height == high:
            _resize_rows(before, pitch, high, line, inner, pitch_after, channels, across, scratch, sums)
        # Pillow 13 resizes columns first if that, by shrinking, leaves less work for the rows.
        elif high > height and high - height > (wide - width) * 2:
            _resize_columns(before, pitch, line, between, line, down, sums)
            _resize_rows(between, line, height, line, inner, pitch_after, channels, across, scratch, sums)
        else:
            _resize_rows(before, pitch, high, line, between, line_after, channels, across, scratch, sums)
            _resize_columns(between, line_after, line_after, inner, pitch_after, down, sums)
