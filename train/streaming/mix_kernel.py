"""MixUp and CutMix of a batch, compiled; it releases the GIL."""

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, error_model="numpy")
def mix(images: np.ndarray, out: np.ndarray, partner: np.ndarray, weights: np.ndarray, boxes: np.ndarray) -> None:
    """Write each of `images` (uint8 (B, H, W, C)), mixed with its partner, to `out`, as `MixDraw` describes."""
    _, _, width, channels = images.shape
    for number in range(len(images)):
        own, other = images[number].reshape(-1), images[partner[number]].reshape(-1)
        mixed, weight = out[number].reshape(-1), np.uint16(weights[number])
        if weight == 256:
            for at in range(len(own)):
                mixed[at] = own[at]
        else:
            rest, half = np.uint16(256 - weight), np.uint16(128)
            for at in range(len(own)):
                total = np.uint16(np.uint16(own[at]) * weight) + np.uint16(np.uint16(other[at]) * rest)
                mixed[at] = np.uint16(np.uint16(total) + half) >> np.uint16(8)
        left, top, across, down = boxes[number]
        for row in range(top, top + down):
            start = (row * width + left) * channels
            for at in range(start, start + across * channels):
                mixed[at] = other[at]
