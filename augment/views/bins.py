"""Bins of a histogram of numbers of images. Pure."""

import numpy as np

_BINS = 10


def bins_of(counts: np.ndarray) -> list[tuple[int, int, int]]:
    """Return the bins (least, most, number of counts) of a histogram of `counts` (int (n,), n > 0).

    There are up to 10 bins of equal width; or, if the largest count is at least 16 times the smallest, one bin for each
    power of two.
    """
    least, most = int(counts.min()), int(counts.max())
    if most >= 16 * max(1, least):
        edges = [0] * (least == 0) + [1 << power for power in range(max(1, least).bit_length() - 1, most.bit_length())]
    else:
        edges = list(range(least, most + 1, -(-(most - least + 1) // _BINS)))
    ends = [edge - 1 for edge in edges[1:]] + [most]
    heights = np.histogram(counts, [*edges, most + 1])[0].tolist()
    return [(max(low, least), high, count) for low, high, count in zip(edges, ends, heights, strict=True)]
