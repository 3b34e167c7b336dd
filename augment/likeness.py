"""The likeness of a picture: 64 bits that stay much the same when it is saved anew, brightened or a little noisy.

Each bit says whether one cell of a coarse grid is brighter than its left neighbour by more than a tolerance (the
difference hash; N. Krawetz, "Kind of Like That", 2013, with the tolerance added: ink stands on a plain ground).
"""

import numpy as np

_ROWS, _COLUMNS = 8, 9
_TOLERANCE = 1 / 16
"""Of the range between the darkest and the brightest cell."""


def likeness(pictures: np.ndarray) -> np.ndarray:
    """uint64 (n,) for pictures uint8 (n, H, W, C); 0 for one that is all alike."""
    count, height, width, channels = pictures.shape
    # Sums of whole numbers below 2^24 are exact in float32, whatever the order, and faster.
    exact = np.float32 if (height // _ROWS + 1) * (width // _COLUMNS + 1) * 255 * channels < 1 << 24 else np.float64
    across = np.repeat(_cells(width, _COLUMNS, exact), channels, axis=0)
    lines = pictures.reshape(count * height, width * channels).astype(exact) @ across
    down = _cells(height, _ROWS, exact)
    grid = np.matmul(down.T, lines.reshape(count, height, _COLUMNS)).astype(np.float64)
    grid /= np.maximum(1, np.outer(down.sum(axis=0), across.sum(axis=0)))
    least = (np.ptp(grid, axis=(1, 2)) * _TOLERANCE)[:, None, None]
    bits = np.diff(grid, axis=2) > least
    return np.packbits(bits.reshape(count, 64), axis=1).view(">u8")[:, 0].astype(np.uint64)


def _cells(side: int, cells: int, dtype: type) -> np.ndarray:
    """(side, cells): 1 where a pixel lies in a cell; the cells are as equal as whole pixels allow."""
    edges = np.arange(cells + 1) * max(side, cells) // cells
    at = np.arange(side)[:, None]
    return ((at >= edges[:-1]) & (at < edges[1:])).astype(dtype)
