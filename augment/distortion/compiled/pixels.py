"""Gray values and colors, pixel by pixel: contrast table, noise, color matrix.

Source of the arithmetic: Pillow's `libImaging/Matrix.c` (float32, rounded half up; exact for multiples of 1/4096).
"""

import numba
import numpy as np

from ..operations.base import Parameters
from ..operations.pixels import NOISE_MEAN, contrast_tables, noise_factors
from .seeds import fill_words


def contrast(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Replace every gray value by its entry in the table."""
    _replace(source, target, members, contrast_tables(parameters))
    return members[:0]


def noise(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Add the noise of `seed`."""
    _add_noise(source, target, members, noise_factors(parameters["amount"]), parameters["seed"])
    return members[:0]


def color(source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray:
    """`Image.convert("RGB", matrix)`."""
    _convert(source, target, members, np.rint(parameters["matrix"] * 4096).astype(np.int32))
    return members[:0]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _replace(source, target, members, tables):
    for number in range(len(members)):
        before, after = source[members[number]].reshape(-1), target[members[number]].reshape(-1)
        table = tables[number]
        for at in range(len(before)):
            after[at] = table[before[at]]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add_noise(source, target, members, factors, seeds):
    words = np.empty((source[0].size + 1) // 2, np.uint64)
    low = np.uint32(255)
    for number in range(len(members)):
        before, after = source[members[number]].reshape(-1), target[members[number]].reshape(-1)
        fill_words(seeds[number], words)
        fours, factor = words.view(np.uint32), factors[number]
        for at in range(len(before)):
            four = fours[at]
            total = (
                (four & low) + (four >> np.uint32(8) & low) + (four >> np.uint32(16) & low) + (four >> np.uint32(24))
            )
            value = np.int32(before[at]) * np.int32(65536) + (np.int32(total) - np.int32(NOISE_MEAN)) * factor
            value = (value + np.int32(32768)) >> np.int32(16)
            after[at] = min(max(value, np.int32(0)), np.int32(255))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _convert(source, target, members, matrices):
    zero, most, bits = np.int32(0), np.int32(255), np.int32(12)
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    for number in range(len(members)):
        before, after = source[members[number]].reshape(-1), target[members[number]].reshape(-1)
        rr, rg, rb, r, gr, gg, gb, g, br, bg, bb, b = matrices[number]
        r, g, b = r + np.int32(2048), g + np.int32(2048), b + np.int32(2048)
        for pixel in range(np.uint64(len(before) // 3)):
            at = three * pixel
            red, green, blue = np.int32(before[at]), np.int32(before[at + one]), np.int32(before[at + two])
            after[at] = min(max((red * rr + green * rg + blue * rb + r) >> bits, zero), most)
            after[at + one] = min(max((red * gr + green * gg + blue * gb + g) >> bits, zero), most)
            after[at + two] = min(max((red * br + green * bg + blue * bb + b) >> bits, zero), most)
