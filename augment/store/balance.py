"""Class-balanced sampling: how many images of each class an epoch has, and which ones. Pure functions.

The images of a class are sampled in rounds: each round is a permutation of all of them. An epoch continues where the
previous one stopped, so that the counts of two images of a class never differ by more than one.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import EpochbankError
from ..shared.permutation import Key, permute_within

_MOST = 1_000_000_000
"""Largest number of images of a class in an epoch."""


@dataclass(frozen=True)
class PerClass:
    """Bounds on the number of images per class in an epoch. Classes without training images stay empty."""

    least: int
    most: int

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most <= _MOST:
            raise EpochbankError(
                f"--per-class {self.least}:{self.most} is invalid; expected MIN:MAX with 1 <= MIN <= MAX <= {_MOST:,}, "
                "such as --per-class 100:1000.",
                usage=True,
            )

    def counts(self, sizes: np.ndarray) -> np.ndarray:
        """Return the images per class in an epoch, int64 (K,); `sizes` (int (K,)) are the training images per class."""
        return np.where(sizes > 0, np.clip(sizes, self.least, self.most), 0).astype(np.int64)

    def num_images(self, sizes: np.ndarray) -> int:
        """Return the number of images in an epoch."""
        return int(self.counts(sizes).sum())


@dataclass(frozen=True)
class ClassSampler:
    """Chooses the training images of each epoch, class by class."""

    per_class: PerClass
    sizes: np.ndarray
    """int64 (K,): number of training images of each class."""
    by_class: np.ndarray
    """int64 (N,): the training images sorted by class."""
    key: Key

    def images(self, epoch: int, slots: np.ndarray) -> np.ndarray:
        """Return the training image (int64, same shape) in each of `slots` of an epoch.

        `slots` is int64, from 0 to the number of images in an epoch minus 1; slots are sorted by class.
        """
        counts = self.per_class.counts(self.sizes)
        ends = np.cumsum(counts)
        label = np.searchsorted(ends, slots, side="right")
        draw = epoch * counts[label] + slots - (ends - counts)[label]
        return self._image_of(label, draw)

    def slots_of(self, epoch: int, label: int, image: int) -> np.ndarray:
        """Return the slots (int64) of an epoch that show training image `image` of class `label`, possibly none."""
        counts = self.per_class.counts(self.sizes)
        first = int(counts[:label].sum())
        slots = np.arange(first, first + int(counts[label]))
        return slots[self.images(epoch, slots) == image]

    def _image_of(self, label: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """Return the image of each `draw`, the number of a sample of the class, counted from 0 over all epochs."""
        sizes = self.sizes[label]
        round_, index = np.divmod(draw, sizes)
        tweak = label.astype(np.uint64) << np.uint64(32) | round_.astype(np.uint64)
        within = permute_within(index, sizes, self.key, tweak)
        return np.asarray(self.by_class[(np.cumsum(self.sizes) - self.sizes)[label] + within])
