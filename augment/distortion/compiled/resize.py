"""Bicubic resizing in Pillow's 22-bit fixed point, of a part of a picture to a part of another on a plain ground.

Source of the arithmetic: Pillow's `libImaging/Resample.c` of release 13.
"""

import numba
import numpy as np

from ...sources.decode import Treatment, placed
from ..operations.base import Parameters

_BITS = 22  # PRECISION_BITS: 8 for the result, 2 for overflow
_SUPPORT = 2.0  # of the bicubic filter


def scale(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.resize((width, height))` pasted at (left, top) on black."""
    _resize(source, target, members, _whole(source, members), _boxes(parameters), _black(source, members))
    return members[:0]


def crop(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.crop(box).resize(size)`."""
    _resize(source, target, members, _boxes(parameters), _whole(source, members), _black(source, members))
    return members[:0]


def fit(pictures: np.ndarray, treatment: Treatment) -> np.ndarray:
    """`picture.fit` of each of `pictures` (uint8 (n, h, w, C), contiguous, C the treatment's), inverted already."""
    if pictures.shape[1:] == treatment.shape:
        return pictures
    members = np.arange(len(pictures))
    target = np.empty((len(pictures), *treatment.shape), np.uint8)
    box = placed(pictures.shape[1], pictures.shape[2], treatment)
    ground = _black(pictures, members)
    if box[2:] != (treatment.width, treatment.height):
        _grounds(pictures, ground)
    _resize(pictures, target, members, _whole(pictures, members), np.tile(np.array(box), (len(members), 1)), ground)
    return target


def _boxes(parameters: Parameters) -> np.ndarray:
    """Left, top, width, height of each picture, int64 (k, 4)."""
    return np.stack([parameters[name] for name in ("left", "top", "width", "height")], 1)


def _black(source: np.ndarray, members: np.ndarray) -> np.ndarray:
    return np.zeros((len(members), source.shape[3]), np.uint8)


def _whole(source: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The boxes of whole pictures, int64 (k, 4)."""
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
    """First source pixel, how many, and their weights (int32, fixed point) for each of `after` pixels."""
    step = before / after
    stretch = max(step, 1.0)
    support = _SUPPORT * stretch
    first, count = np.empty(after, np.int64), np.empty(after, np.int64)
    most = int(np.ceil(support)) * 2 + 2
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


_KNOWN = 128
"""The longest side whose coefficients are kept."""


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _plan(known, plans, before, after):
    """The coefficients, from `plans`, at the place that `known` has for them, where they are there."""
    if before > _KNOWN or after > _KNOWN:
        return _coefficients(before, after)
    if known[before, after] < 0:
        known[before, after] = len(plans)
        plans.append(_coefficients(before, after))
    return plans[known[before, after]]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _clip(total):
    return min(max(total >> np.int32(_BITS), np.int32(0)), np.int32(255))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _along(before, pitch, rows, line, after, pitch_after, channels, plan, turned, sums):
    """Resize the first `line` bytes of each of `rows` lines, `pitch` bytes apart, by way of `turned`."""
    first, count, weights = plan
    rows, most = np.uint64(rows), line // channels - 1
    for place in range(np.uint64(line)):
        for row in range(rows):
            turned[place * rows + row] = before[row * np.uint64(pitch) + place]
    for pixel in range(len(first)):
        for channel in range(channels):
            for row in range(rows):
                sums[row] = np.int32(1 << (_BITS - 1))
            for tap in range(0, count[pixel], 2):
                weight, weight_next = weights[pixel, tap], weights[pixel, tap + 1]
                at = np.uint64((first[pixel] + tap) * channels + channel) * rows
                following = np.uint64(min(first[pixel] + tap + 1, most) * channels + channel) * rows
                for row in range(rows):
                    sums[row] += np.int32(turned[at + row]) * weight + np.int32(turned[following + row]) * weight_next
            at = np.uint64(pixel * channels + channel)
            for row in range(rows):
                after[at + row * np.uint64(pitch_after)] = _clip(sums[row])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _down(before, pitch, line, after, pitch_after, plan, sums):
    """Resize the columns of lines of `line` bytes, `pitch` bytes apart, into as many lines as `plan` has."""
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
def _grounds(pictures, ground):
    """`picture.grounds`, by counting how often each value occurs."""
    count, height, width, channels = pictures.shape
    often = np.empty(256, np.int64)
    for number in range(count):
        for channel in range(channels):
            often[:] = 0
            for column in range(width):
                often[pictures[number, 0, column, channel]] += 1
                often[pictures[number, height - 1, column, channel]] += 1
            for row in range(height):
                often[pictures[number, row, 0, channel]] += 1
                often[pictures[number, row, width - 1, channel]] += 1
            value, below = 0, often[0]
            while below <= width + height:  # The middle of the border's 2 (width + height) pixels.
                value += 1
                below += often[value]
            ground[number, channel] = value


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _fill(bytes_, ground):
    """Pixels of the colour `ground` (uint8 (C,)), from the first byte on."""
    if len(ground) == 1:
        bytes_[:] = ground[0]
        return
    for at in range(len(bytes_)):
        bytes_[at] = ground[at % len(ground)]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _resize(
    source: np.ndarray,
    target: np.ndarray,
    members: np.ndarray,
    boxes: np.ndarray,
    boxes_after: np.ndarray,
    grounds: np.ndarray,
) -> None:
    """The part of a picture in its box of `boxes` to the size and place of that of `boxes_after`, on its ground."""
    _, rows, columns, channels = source.shape
    pitch, pitch_after = columns * channels, target.shape[2] * channels
    turned = np.empty(rows * pitch, np.uint8)
    # Between the two passes: the rows of one picture, the columns of the other.
    longest = max(rows, target.shape[1]) * max(pitch, pitch_after)
    between, sums = np.empty(longest, np.uint8), np.empty(max(longest, 1), np.int32)
    # Coefficients that were had before: pictures of a block share most of their sizes.
    known, plans = np.full((_KNOWN + 1, _KNOWN + 1), -1), [_coefficients(1, 1)]
    for number in range(len(members)):
        left, top, wide, high = boxes[number]
        before = source[members[number]].reshape(-1)[top * pitch + left * channels :]
        left, top, width, height = boxes_after[number]
        after = target[members[number]].reshape(-1)
        ground = grounds[number]
        _fill(after[: top * pitch_after], ground)
        _fill(after[(top + height) * pitch_after :], ground)
        for row in range(top, top + height if width * channels < pitch_after else top):
            _fill(after[row * pitch_after :][: left * channels], ground)
            _fill(after[row * pitch_after :][(left + width) * channels : pitch_after], ground)
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
            _down(before, pitch, line, inner, pitch_after, down, sums)
        elif height == high:
            _along(before, pitch, high, line, inner, pitch_after, channels, across, turned, sums)
        # Since its release 13 Pillow goes down first where that, shrinking, leaves less to do along.
        elif high > height and high - height > (wide - width) * 2:
            _down(before, pitch, line, between, line, down, sums)
            _along(between, line, height, line, inner, pitch_after, channels, across, turned, sums)
        else:
            _along(before, pitch, high, line, between, line_after, channels, across, turned, sums)
            _down(between, line_after, line_after, inner, pitch_after, down, sums)
