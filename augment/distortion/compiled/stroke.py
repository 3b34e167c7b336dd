"""Thicker and thinner strokes: separable maxima, blended in integers.

Sources of the arithmetic: Pillow's `libImaging/RankFilter.c` (the pixel at the border repeats outside) and
`libImaging/Blend.c` (float32, truncated; exact for multiples of 1/256).
"""

import numba
import numpy as np

from ..operations.base import Parameters


def stroke(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Thicken by `strength` steps, or thin if it is below 0."""
    _stroke(source, target, members, np.rint(parameters["strength"] * 256).astype(np.int64))
    return members[:0]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _dilate(before, after, high, line, channels):
    """Apply `MaxFilter(3)` to flat rows between two spare rows; `high` (one pixel longer at both ends) is scratch."""
    size = len(before) - 2 * line
    before[:line], before[line + size :] = before[line : 2 * line], before[size : line + size]
    above, center, below, out = before[:size], before[line : line + size], before[2 * line :], high[channels:-channels]
    for at in range(size):
        out[at] = max(max(above[at], below[at]), center[at])
    left, middle, right, out = high[:size], high[channels:-channels], high[2 * channels :], after[line : line + size]
    for at in range(size):
        out[at] = max(max(left[at], right[at]), middle[at])
    # The first and last pixel of a row have other neighbors than in the flat image.
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
        # Thinning is thickening the negative.
        flip = np.uint8(255 if strengths[number] < 0 else 0)
        _xor(before, one[line : line + len(before)], flip)
        for _ in range(whole):
            _dilate(one, two, high, line, channels)
            one, two = two, one
        if part == 0:
            _xor(one[line : line + len(after)], after, flip)
        else:
            _dilate(one, two, high, line, channels)
            _blend(one[line : line + len(after)], two[line : line + len(after)], after, np.uint16(part), flip)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _xor(before, after, flip):
    for at in range(len(after)):
        after[at] = before[at] ^ flip


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _blend(one, two, after, part, flip):
    """Blend `one`, inverted by `flip`, with `part` 256ths of `two`, inverted too."""
    rest = np.uint16(256) - part
    for at in range(len(after)):
        after[at] = (np.uint16(one[at] ^ flip) * rest + np.uint16(two[at] ^ flip) * part) >> np.uint16(8)
