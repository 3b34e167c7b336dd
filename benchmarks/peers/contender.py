"""What is measured: a way to read the pictures in batches, and the pictures that every way is given."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 256
WORKERS = 2
"""Threads or worker processes, as the peer has them."""


@dataclass(frozen=True)
class Pictures:
    """The pictures and labels of stored epoch 0, in stored order, as two NumPy files; and epochbank's sets."""

    folder: Path

    @cached_property
    def images(self) -> np.ndarray:
        """uint8 (n, H, W, C), mapped."""
        return np.load(self.folder / "images.npy", mmap_mode="r")

    @cached_property
    def labels(self) -> np.ndarray:
        """int32 (n,)."""
        return np.load(self.folder / "labels.npy")

    def sets_of(self, codec: str) -> Path:
        """Directory of epochbank's set with this codec, the only one there."""
        return self.folder / f"sets-{codec}"


@dataclass(frozen=True)
class Contender:
    """One way of reading the pictures."""

    name: str
    variant: str
    """Of the variants of a name, the fastest is reported."""
    shuffled: str
    """`yes`, `window` (a buffer or a block at a time), `chunks` (whole ones alone) or `no`."""
    bytes: int
    """On disk."""
    batches: Callable[[int], Iterable[Any]]
    """The batches of an epoch, (pictures, labels) each; it is asked for epochs 0, 1, 2, ..."""
    close: Callable[[], None] = lambda: None
    """Called when it has been measured, where something would go on working."""


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
