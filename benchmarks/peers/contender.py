"""A contender (a way to read the images in batches), and the images that all contenders read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 256
WORKERS = 2
"""Number of threads or worker processes of a peer."""


@dataclass(frozen=True)
class Images:
    """Images and labels of stored epoch 0 in stored order, as two NumPy files, and epochbank's sets."""

    folder: Path

    @cached_property
    def images(self) -> np.ndarray:
        """Memory map, uint8 (n, H, W, C)."""
        return np.load(self.folder / "images.npy", mmap_mode="r")

    @cached_property
    def labels(self) -> np.ndarray:
        """int32 (n,)."""
        return np.load(self.folder / "labels.npy")

    def sets_of(self, codec: str) -> Path:
        """Return the directory that holds the set with this codec only."""
        return self.folder / f"sets-{codec}"


@dataclass(frozen=True)
class Contender:
    """A way to read the images."""

    name: str
    variant: str
    """The fastest variant of each name is reported."""
    shuffled: str
    """`yes`, `window` (within a buffer or block), `chunks` (whole chunks only) or `no`."""
    bytes: int
    """Bytes on disk."""
    batches: Callable[[int], Iterable[Any]]
    """Returns the batches (images, labels) of an epoch; called with epochs 0, 1, 2, ..."""
    augmented: bool = False
    """Whether the batches have other pixels and targets than those that are stored."""
    close: Callable[[], None] = lambda: None
    """Stops background work after the measurement."""


def bytes_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
