"""PyTorch's DataLoader over a NumPy memory map; `__getitem__` takes all rows of a batch."""

from pathlib import Path

import numpy as np

from peers.contender import BATCH, WORKERS, Contender, Images, bytes_of

REQUIRES = ("torch",)


class _Rows:
    """A map-style dataset whose items are batches."""

    def __init__(self, images: Images):
        self._images, self._labels = images.images, images.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
        return self._images[rows], self._labels[rows]


def prepare(images: Images, folder: Path) -> None:
    """Do nothing: the NumPy files exist already."""


def contenders(images: Images, folder: Path) -> list[Contender]:
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, default_convert

    rows = _Rows(images)
    stored = bytes_of(images.folder / "images.npy") + bytes_of(images.folder / "labels.npy")
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
