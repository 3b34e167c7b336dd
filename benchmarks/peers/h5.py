"""HDF5 as one writes it first: one file, and the random rows of a batch by h5py's fancy indexing."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peers.contender import BATCH, Contender, Pictures, bytes_of

REQUIRES = ("h5py",)
_CHUNK = 64
"""Pictures in a chunk, as epochbank has them at this size."""
_LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks": {"compression": None},
    "gzip": {"compression": "gzip", "compression_opts": 1},
}


def prepare(pictures: Pictures, folder: Path) -> None:
    import h5py

    shape = pictures.images.shape
    for layout, options in _LAYOUTS.items():
        chunks = (min(_CHUNK, len(pictures.labels)), *shape[1:]) if options else None
        with h5py.File(folder / f"{layout}.h5", "x") as file:
            stored = file.create_dataset("image", shape, np.uint8, chunks=chunks, **options)
            for start in range(0, len(pictures.labels), _CHUNK):
                stored[start : start + _CHUNK] = pictures.images[start : start + _CHUNK]
            file["label"] = pictures.labels


def contenders(pictures: Pictures, folder: Path) -> list[Contender]:
    return [
        Contender(f"h5py, random rows, {layout}", "1 thread", "yes", bytes_of(path), partial(_batches, path))
        for layout in _LAYOUTS
        for path in [folder / f"{layout}.h5"]
    ]


def _batches(path: Path, epoch: int) -> Iterator[Any]:
    import h5py

    with h5py.File(path) as file:
        images, labels = file["image"], file["label"][()]
        order = np.random.default_rng(epoch).permutation(len(labels))
        for start in range(0, len(order), BATCH):
            rows = np.sort(order[start : start + BATCH])  # h5py takes them in rising order only
            yield images[rows], labels[rows]
