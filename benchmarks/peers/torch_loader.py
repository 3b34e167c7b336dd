"""PyTorch's DataLoader over a NumPy memory map, a batch at a time: `__getitem__` takes all rows of a batch."""

from pathlib import Path

import numpy as np

from peers.contender import BATCH, WORKERS, Contender, Pictures, bytes_of

REQUIRES = ("torch",)


class _Rows:
    """A map-style dataset whose items are batches."""

    def __init__(self, pictures: Pictures):
        self._images, self._labels = pictures.images, pictures.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
        return self._images[rows], self._labels[rows]


def prepare(pictures: Pictures, folder: Path) -> None:
    """Nothing: the NumPy files are there."""


def contenders(pictures: Pictures, folder: Path) -> list[Contender]:
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, default_convert

    rows = _Rows(pictures)
    stored = bytes_of(pictures.folder / "images.npy") + bytes_of(pictures.folder / "labels.npy")
    loaders = {
        workers: DataLoader(
            rows,
            sampler=BatchSampler(RandomSampler(rows), BATCH, drop_last=False),
            batch_size=None,
            collate_fn=default_convert,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        for workers in (0, WORKERS)
    }
    return [
        Contender("torch DataLoader, memory map", f"{workers} workers", "yes", stored, lambda _, loader=loader: loader)
        for workers, loader in loaders.items()
    ]
