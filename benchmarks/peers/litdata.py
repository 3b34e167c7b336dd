"""litData: chunks of samples, StreamingDataset and StreamingDataLoader.

It shuffles by default: the chunks, blocks of 256 samples in them, and the samples of a block.
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peers.contender import BATCH, WORKERS, Contender, Images, bytes_of

REQUIRES = ("litdata", "torch")
os.environ.setdefault("LITDATA_DISABLE_VERSION_CHECK", "1")  # It would query the package index.


def prepare(images: Images, folder: Path) -> None:
    import litdata

    litdata.optimize(
        partial(_sample, images),
        inputs=list(range(len(images.labels))),
        output_dir=str(folder / "chunks"),
        chunk_bytes="64MB",
        num_workers=WORKERS,
        verbose=False,
    )


def _sample(images: Images, row: int) -> dict[str, Any]:
    return {"image": np.array(images.images[row]), "label": int(images.labels[row])}


def contenders(images: Images, folder: Path) -> list[Contender]:
    stored = bytes_of(folder)
    return [
        Contender("litdata", f"{workers} workers", "window", stored, partial(_batches, _loader(folder, workers)))
        for workers in (0, WORKERS)
    ]


def _loader(folder: Path, workers: int) -> Any:
    import litdata

    data = litdata.StreamingDataset(str(folder / "chunks"), shuffle=True, drop_last=False)
    return litdata.StreamingDataLoader(data, batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0)


def _batches(loader: Any, epoch: int) -> Any:
    return ((batch["image"], batch["label"]) for batch in loader)
