"""HDF5 as a first attempt: one file, and the random rows of a batch by h5py's fancy indexing."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peers.contender import BATCH, Contender, Images, bytes_of

REQUIRES = ("h5py",)
_CHUNK = 64
"""Images in a chunk."""
_LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks": {"compression": None},
    "gzip": {"compression": "gzip", "compression_opts": 1},
}


def prepare(images: Images, folder: Path) -> None:
    import h5py

    shape = images.images.shape
    for layout, options in _LAYOUTS.items():
        chunks = (min(_CHUNK, len(images.labels)), *shape[1:]) if options else None
        with h5py.File(folder / f"{layout}.h5", "x") as file:
            stored = file.create_dataset("image", shape, np.uint8, chunks=chunks, **options)
            for start in range(0, len(images.labels), _CHUNK):
                stored[start : start + _CHUNK] = images.images[start : start + _CHUNK]
            file["label"] = images.labels


def contenders(images: Images, folder: Path) -> list[Contender]:
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
            rows = np.sort(order[start : start + BATCH])  # h5py requires increasing order.
            yield images[rows], labels[rows]
