"""The built-in source: 1,797 handwritten digits of 8 x 8 pixels, which come with scikit-learn."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .base import Decoded, Scan


@lru_cache(maxsize=1)
def _load() -> Any:
    """Load the dataset once per process: scikit-learn parses its file on each call."""
    from sklearn.datasets import load_digits

    return load_digits()


class DigitsReader:
    """Reads the images of `sklearn.datasets.load_digits`, whose 17 levels are scaled to 0 to 255.

    Many digits touch the edge. A margin of one pixel keeps them inside the frame when they are distorted.
    """

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """Yield images of 10 x 10 pixels."""
        levels = _load().images[indices]
        yield np.pad(np.round(levels * (255 / 16)).astype(np.uint8), [(0, 0), (1, 1), (1, 1)])

    def origin(self, index: int) -> str:
        """Return the position of the image in scikit-learn's array."""
        return f"load_digits().images[{index}]"


class DigitsSource:
    """Test split of the dataset Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998)."""

    name = "digits"

    def identity(self) -> Any:
        """Return a constant."""
        return ["digits"]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Return 1,797 images of ten classes, to be resized to 64 x 64. The dataset does not name the writers."""
        return Scan(
            reader=DigitsReader(),
            labels=_load().target.astype(np.int32),
            class_names=[str(digit) for digit in range(10)],
            size=(64, 64),
            channels=1,
        )
