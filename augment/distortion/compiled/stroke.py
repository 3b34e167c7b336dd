"""Thicker and thinner strokes: separable maxima, blended in whole numbers.

Sources of the arithmetic: Pillow's `libImaging/RankFilter.c` (beyond the border is the pixel at it) and
`libImaging/Blend.c` (float32, cut off; exact for a part in 256ths).
"""

import numba
import numpy as np

from ..operations.base import Parameters


def stroke(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Thicker by `strength` steps, or thinner."""
    _stroke(source, target, members, np.rint(parameters["strength"] * 256).astype(np.int64))
    return members[:0]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _dilate(before, after, high, line, channels):
    """`MaxFilter(3)` of flat lines between two spare ones; `high` (uint8, a pixel larger at either end) is scratch."""
    size = len(before) - 2 * line
    before[:line], before[line + size :] = before[line : 2 * line], before[size : line + size]
    above, here, below, out = before[:size], before[line : line + size], before[2 * line :], high[channels:-channels]
    for at in range(size):
        out[at] = max(max(above[at], below[at]), here[at])
    left, middle, right, out = high[:size], high[channels:-channels], high[2 * channels :], after[line : line + size]
    for at in range(size):
        out[at] = max(max(left[at], right[at]), middle[at])
    # Neighbours of the first and last pixel of a line are not those of the flat picture.
    inner = min(channels, line - channels)
    for first in range(0, size, line):
        last = first + line - channels
        for channel in range(channels):
            out[first + channel] = max(middle[first + channel], middle[first + inner + channel])
            out[last + channel] = max(middle[last + channel], middle[last - inner + channel])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _stroke(source, target, members, strengths):
    _, height, width, channels = source.shape
    line = width * channels
    one, two = np.empty((height + 2) * line, np.uint8), np.empty((height + 2) * line, np.uint8)
    high = np.zeros(height * line + 2 * channels, np.uint8)
    for number in range(len(members)):
        before, after = source[members[number]].reshape(-1), target[members[number]].reshape(-1)
        whole, part = divmod(abs(strengths[number]), 256)
        # Thinning is thickening of the negative.
        flip = np.uint8(255 if strengths[number] < 0 else 0)
        _flip(before, one[line : line + len(before)], flip)
        for _ in range(whole):
            _dilate(one, two, high, line, channels)
            one, two = two, one
        if part == 0:
            _flip(one[line : line + len(after)], after, flip)
        else:
            _dilate(one, two, high, line, channels)
            _blend(one[line : line + len(after)], two[line : line + len(after)], after, np.uint16(part), flip)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _flip(before, after, flip):
    for at in range(len(after)):
        after[at] = before[at] ^ flip


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _blend(one, two, after, part, flip):
    """From `one`, flipped, by `part` 256ths towards `two`, flipped."""
    rest = np.uint16(256) - part
    for at in range(len(after)):
        after[at] = (np.uint16(one[at] ^ flip) * rest + np.uint16(two[at] ^ flip) * part) >> np.uint16(8)
