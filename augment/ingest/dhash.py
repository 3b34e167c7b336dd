"""A perceptual hash: 128 bits that hardly change if an image is re-encoded, brightened or slightly noisy.

This is the difference hash (N. Krawetz, "Kind of Like That", 2013): each bit says whether one cell of a coarse grid is
brighter than the previous one. A tolerance is added because drawings have a plain background, where noise would decide.
"""

import numpy as np

_CELLS = 9
"""Cells along each side of the grid."""
_TOLERANCE = 16
"""A difference counts if it exceeds the range between the darkest and the brightest cell divided by this number."""


def dhash(images: np.ndarray) -> np.ndarray:
    """Return the hashes of `images` (uint8 (n, H, W, C)): uint64 (n, 2), horizontal and vertical differences.

    The hash of a plain image is 0.
    """
    count, height, width, channels = images.shape
    small = np.uint16 if height // _CELLS * 255 < 1 << 16 else np.uint32
    rows = _sums(images.reshape(count, height, width * channels), small)
    if channels > 1:
        rows = rows.reshape(count, _CELLS, width, channels).sum(axis=3, dtype=np.int64)
    grid = np.ascontiguousarray(_sums(rows.transpose(0, 2, 1), np.int64).transpose(0, 2, 1))
    least = np.ptp(grid, axis=(1, 2))[:, None, None]
    horizontal, vertical = np.diff(grid, axis=2)[:, :-1], np.diff(grid, axis=1)[:, :, :-1]
    bits = np.stack([horizontal, vertical], axis=1) * _TOLERANCE > least[:, None]
    return np.packbits(bits.reshape(count, 128), axis=1).view(">u8").astype(np.uint64)


def _sums(lines: np.ndarray, dtype: type) -> np.ndarray:
    """Sum `lines` (n, side, m) in cells of equal size, centered on the side: (n, cells, m).

    Each line of a side shorter than the number of cells is repeated first.
    """
    side = lines.shape[1]
    if side < _CELLS:
        lines, side = np.repeat(lines, -(-_CELLS // side), axis=1), side * -(-_CELLS // side)
    first, size = side % _CELLS // 2, side // _CELLS
    sums: np.ndarray = lines[:, first : first + _CELLS * size : size].astype(dtype)
    for number in range(1, size):  # Several times as fast as a sum along that axis.
        sums += lines[:, first + number : first + _CELLS * size : size]
    return sums
