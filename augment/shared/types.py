"""Types and constants that both stages use."""

import numpy as np

Shape = tuple[int, int, int]
"""(H, W, C) of one image."""

SPLITS = ("train", "validation", "test")
"""Names of the undistorted splits; arrays of splits store the index into this tuple."""

NO_PAIRS = np.empty((0, 2), np.int64)
"""An empty array of pairs of rows, int64 (0, 2)."""


def shape_text(shape: Shape) -> str:
    """Return the shape of an image as text: `64 x 64 gray`."""
    height, width, channels = shape
    return f"{height} x {width} {'gray' if channels == 1 else 'RGB'}"
