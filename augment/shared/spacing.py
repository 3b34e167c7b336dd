"""Evenly spaced samples."""

import numpy as np


def evenly_spaced(count: int, limit: int | None) -> np.ndarray:
    """Return indices (int64, ascending) of all `count` items, or of `limit` of them, evenly spaced."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.arange(limit) * count // limit
