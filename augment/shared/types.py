"""Types and constants that both stages use."""

import numpy as np

Shape = tuple[int, int, int]
"""(H, W, C) of one image."""

SPLITS = ("train", "validation", "test")
"""Names of the undistorted splits; arrays of splits store the index into this tuple."""

NO_PAIRS = np.empty((0, 2), np.int64)
"""An empty array of pairs of rows, int64 (0, 2)."""
