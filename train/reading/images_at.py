"""Images at single positions of a split or stored epoch, to look at."""

import numpy as np

from .chunk_table import ChunkTable


def images_at(table: ChunkTable, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels at `positions` (int64 (n,), any order): uint8 (n, H, W, C) and int32 (n,).

    Each chunk is read and decoded once. Raises `EpochbankError` if one cannot be read or is damaged.
    """
    images, labels = np.empty((len(positions), *table.shape), np.uint8), np.empty(len(positions), np.int32)
    stops = np.cumsum(table.chunk_sizes)
    chunks = np.searchsorted(stops, positions, side="right")
    for chunk in np.unique(chunks).tolist():
        count = int(table.chunk_sizes[chunk])
        some, some_labels = np.empty((count, *table.shape), np.uint8), np.empty(count, np.int32)
        table.read(chunk, some, some_labels)
        here = np.flatnonzero(chunks == chunk)
        within = positions[here] - (stops[chunk] - count)
        images[here], labels[here] = some[within], some_labels[within]
    return images, labels
