"""Balance: how many pictures of each class an epoch has, and which. Pure functions.

The pictures of a class are dealt in rounds, each of them once a round, in an order of the round's own. An epoch takes
what it needs from where the one before it stopped: no picture is ever ahead of another of its class by more than one.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import EpochbankError
from ..shared.permutation import Key, permute_within

_MOST = 1_000_000_000
"""Pictures of a class in an epoch."""


@dataclass(frozen=True)
class PerClass:
    """An epoch has at least `least` and at most `most` pictures of each class that has any."""

    least: int
    most: int

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most <= _MOST:
            raise EpochbankError(
                f"--per-class {self.least}:{self.most}; expected MIN:MAX with MIN from 1 to MAX, and MAX up to "
                f"{_MOST:,}, such as 100:1000.",
                words=True,
            )

    def counts(self, sizes: np.ndarray) -> np.ndarray:
        """Pictures of each class in an epoch, int64 (K,), for classes of `sizes` (int (K,)) training pictures."""
        return np.where(sizes > 0, np.clip(sizes, self.least, self.most), 0).astype(np.int64)

    def images(self, sizes: np.ndarray) -> int:
        """Pictures in an epoch."""
        return int(self.counts(sizes).sum())


@dataclass(frozen=True)
class Deal:
    """What is dealt: the training pictures, parted by class."""

    per_class: PerClass
    sizes: np.ndarray
    """int64 (K,): training pictures of each class."""
    by_class: np.ndarray
    """int64 (N,): the training pictures, class by class, each class in order."""
    key: Key

    def pictures(self, epoch: int, slots: np.ndarray) -> np.ndarray:
        """Which training picture (int64, same shape) each of `slots` (int64, from 0 to pictures in an epoch - 1) of an
        epoch shows; slots are in order of class."""
        counts = self.per_class.counts(self.sizes)
        ends = np.cumsum(counts)
        label = np.searchsorted(ends, slots, side="right")
        dealt = epoch * counts[label] + slots - (ends - counts)[label]
        return self._at(label, dealt)

    def slots_of(self, epoch: int, label: int, picture: int) -> np.ndarray:
        """The slots (int64) of an epoch that show a picture of class `label`; none, one or several."""
        counts = self.per_class.counts(self.sizes)
        first = int(counts[:label].sum())
        slots = np.arange(first, first + int(counts[label]))
        return slots[self.pictures(epoch, slots) == picture]

    def _at(self, label: np.ndarray, dealt: np.ndarray) -> np.ndarray:
        """The picture that comes `dealt`-th, from the beginning of the first round, in its class."""
        sizes = self.sizes[label]
        dealing, at = np.divmod(dealt, sizes)
        within = permute_within(
            at, sizes, self.key, label.astype(np.uint64) << np.uint64(32) | dealing.astype(np.uint64)
        )
        return np.asarray(self.by_class[(np.cumsum(self.sizes) - self.sizes)[label] + within])
