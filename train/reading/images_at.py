"""Images at single positions of a split or stored epoch, to look at."""

import numpy as np

from ...augment.errors import EpochbankError
from .chunk_table import ChunkTable
from .stored_set import StoredSet


def named_images(stored_set: StoredSet, split: str, epoch: int, count: int) -> tuple[np.ndarray, list[str]]:
    """Return the first `count` images of a split or stored epoch, uint8 (n, H, W, C), and the names of their classes.

    Raises `EpochbankError` if a chunk cannot be read or is damaged, or a label is not one of the classes.
    """
    table, names = stored_set.table(split, epoch), stored_set.class_names
    images, labels = images_at(table, np.arange(min(count, int(table.chunk_sizes.sum()))))
    wrong = [label for label in labels.tolist() if not 0 <= label < len(names)]
    if wrong:
        raise EpochbankError(
            f"{stored_set.name} contains the label {wrong[0]}; expected 0 to {len(names) - 1}, the labels of its "
            "classes. Restore the set from a copy, or generate it again."
        )
    return images, [names[label] for label in labels.tolist()]


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
