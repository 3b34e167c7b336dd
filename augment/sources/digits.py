"""The built-in source: 1,797 real handwritten digits, 8 x 8, that come with scikit-learn."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .base import Decoded, Scan


@lru_cache(maxsize=1)
def _load() -> Any:
    """What scikit-learn parses anew each time."""
    from sklearn.datasets import load_digits

    return load_digits()


class DigitsReader:
    """Pictures of `sklearn.datasets.load_digits`, their 17 levels of ink stretched to 0 to 255.

    Many digits touch the edge; a margin of one pixel keeps the distortions from cutting them off.
    """

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """10 x 10 pictures."""
        levels = _load().images[indices]
        yield np.pad(np.round(levels * (255 / 16)).astype(np.uint8), [(0, 0), (1, 1), (1, 1)])

    def origin(self, index: int) -> str:
        """Its number in scikit-learn's array."""
        return f"load_digits().images[{index}]"


class DigitsSource:
    """The optical recognition of handwritten digits data set (Alpaydin and Kaynak, 1998), test part."""

    name = "digits"

    def identity(self) -> Any:
        """The same for ever."""
        return ["digits"]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """1,797 pictures of ten classes, to be scaled up to 64 x 64; the writers are not recorded."""
        return Scan(
            reader=DigitsReader(),
            labels=_load().target.astype(np.int32),
            class_names=[str(digit) for digit in range(10)],
            size=(64, 64),
            channels=1,
        )
