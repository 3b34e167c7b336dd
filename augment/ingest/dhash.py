"""The likeness of a picture: 128 bits that stay much the same when it is saved anew, brightened or a little noisy.

Each bit says whether one cell of a coarse grid is brighter than the one before it by more than a tolerance (the
difference hash; N. Krawetz, "Kind of Like That", 2013, with the tolerance added: ink stands on a plain ground).
"""

import numpy as np

_CELLS = 9
"""Of the grid, along each side."""
_TOLERANCE = 16
"""The range between the darkest and the brightest cell is so many times the least difference that counts."""


def likeness(pictures: np.ndarray) -> np.ndarray:
    """uint64 (n, 2) for pictures uint8 (n, H, W, C): across, then down; 0 for one that is all alike."""
    count, height, width, channels = pictures.shape
    small = np.uint16 if height // _CELLS * 255 < 1 << 16 else np.uint32
    rows = _sums(pictures.reshape(count, height, width * channels), small)
    if channels > 1:
        rows = rows.reshape(count, _CELLS, width, channels).sum(axis=3, dtype=np.int64)
    grid = np.ascontiguousarray(_sums(rows.transpose(0, 2, 1), np.int64).transpose(0, 2, 1))
    least = np.ptp(grid, axis=(1, 2))[:, None, None]
    across, down = np.diff(grid, axis=2)[:, :-1], np.diff(grid, axis=1)[:, :, :-1]
    bits = np.stack([across, down], axis=1) * _TOLERANCE > least[:, None]
    return np.packbits(bits.reshape(count, 128), axis=1).view(">u8").astype(np.uint64)


def _sums(lines: np.ndarray, dtype: type) -> np.ndarray:
    """(n, cells, m): the sums of `lines` (n, side, m) in cells of one size, which cover the middle of the side; a short
    side is made longer first, each line repeated."""
    side = lines.shape[1]
    if side < _CELLS:
        lines, side = np.repeat(lines, -(-_CELLS // side), axis=1), side * -(-_CELLS // side)
    first, size = side % _CELLS // 2, side // _CELLS
    sums: np.ndarray = lines[:, first : first + _CELLS * size : size].astype(dtype)
    for number in range(1, size):  # Several times as fast as a sum along that axis.
        sums += lines[:, first + number : first + _CELLS * size : size]
    return sums
