"""Which images make up batch i of training epoch e: pure functions of the sizes, the share of originals, e and i."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, NamedTuple, Protocol

from ...augment.errors import EpochbankError
from ...augment.shared.progress import counted
from .choices import Choices

PassKey = tuple[str, int, int, int]
"""Identifies a pass: split, stored epoch, the number of earlier passes over the same images, and the view.

All views of a pass have the same order, but another final augmentation."""


class Segment(NamedTuple):
    """Images start to stop - 1 of one pass over a split or stored epoch."""

    split: str
    """`epoch`, `train`, `validation` or `test`."""
    stored: int
    """Number of the stored epoch; 0 for an undistorted split."""
    pass_number: int
    """Number of earlier passes over the same images. Each pass has its own order."""
    start: int
    stop: int
    view: int = 0
    """Number of the view, which selects another final augmentation."""

    @property
    def key(self) -> PassKey:
        """The pass that the segment is a part of."""
        return self.split, self.stored, self.pass_number, self.view


class Batches(Protocol):
    """Which images make up a batch: `TrainingBatches` or `EvaluationBatches`."""

    @property
    def num_images(self) -> int:
        """Number of images of the split."""
        ...

    @property
    def batch_size(self) -> int:
        """Number of images in a full batch."""
        ...

    @property
    def world_size(self) -> int:
        """Number of ranks among which each pass is divided."""
        ...

    def steps(self, epoch: int) -> int:
        """Return the number of batches in `epoch`."""
        ...

    def segments(self, epoch: int, number: int) -> list[Segment]:
        """Return the segments that make up batch `number` of `epoch`, in order."""
        ...

    def next_pass(self, key: PassKey) -> PassKey:
        """Return the pass that follows pass `key` during training."""
        ...

    def shown_range(self, key: PassKey) -> tuple[int, int]:
        """Return (start, stop) of the images of a pass that are shown."""
        ...


@dataclass(frozen=True)
class TrainingBatches:
    """Batches of distorted images and originals: each epoch shows every training image once distorted.

    If several ranks train one model, each pass is divided among them. Each rank shows its own images, and all ranks
    have the same number of batches.
    """

    num_images: int
    """Number of training images of the set."""
    epochs: tuple[int, ...]
    """Numbers of the stored epochs, N of them; training epoch e shows the (e mod N)-th."""
    batch_size: int
    originals: float
    """Share of originals in a batch, 0 to 1; at 1 an epoch shows the originals only."""
    rank: int = 0
    world_size: int = 1
    drop_last: bool = False
    """Omit the last batch if it is not full. Which images that omits differs from epoch to epoch."""
    choices: Choices | None = field(default=None, compare=False)
    """Which stored epoch each training epoch shows, if the set is followed; None for the (e mod N)-th."""
    views: int = 1
    """Number of views of each image of a batch: all first views, then all second views, and so on."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise EpochbankError(f"batch size {self.batch_size}; expected 1 or more.", usage=True)
        if not 0 <= self.originals <= 1:
            raise EpochbankError(f"originals {self.originals:g}; expected a share from 0 to 1.", usage=True)
        if 0 < self.originals < 1 and not 0 < self.num_originals < self.batch_size:
            raise EpochbankError(
                f"originals {self.originals:g} of a batch of {self.batch_size} is {self.num_originals} originals; "
                "expected at least one original and one distorted image. Use a larger batch, or originals 0 or 1.",
                usage=True,
            )
        if not 0 <= self.rank < self.world_size:
            raise EpochbankError(
                f"rank {self.rank} with world size {self.world_size}; expected a rank from 0 to world size - 1, such "
                "as `--rank 0 --world-size 4` for the first of four processes.",
                usage=True,
            )
        if self.num_primary == 1 and self.num_images % self.world_size and not self.drop_last:
            raise EpochbankError(
                f"{self.num_images} training images, one per batch, cannot be divided evenly among {self.world_size} "
                "ranks. Use a larger batch.",
                usage=True,
            )
        if not self._count:
            several = self.world_size > 1
            kind = "full batch" if self.drop_last else "batch"
            divided = f" divided among {self.world_size} ranks" if several else ""
            needed = (
                f"expected at least {self.num_primary if self.drop_last else 1}{' for each rank' if several else ''}"
            )
            raise EpochbankError(
                f"{counted(self.num_images, 'training image')}{divided} make no {kind} of {self.batch_size}; "
                f"{needed}. Use a smaller batch{' or fewer ranks' if several else ''}.",
                usage=True,
            )

    @cached_property
    def num_originals(self) -> int:
        """Number of originals in a full batch; its other images are distorted."""
        return round(self.batch_size * self.originals)

    @cached_property
    def num_primary(self) -> int:
        """Number of primary images in a full batch: the distorted ones, or the originals if there are no others.

        An epoch shows every primary image once.
        """
        return self.batch_size - self.num_originals if self.originals < 1 else self.batch_size

    @cached_property
    def first(self) -> int:
        """First image of each pass that belongs to this rank."""
        return self.rank * self.num_images // self.world_size

    @cached_property
    def rank_images(self) -> int:
        """Number of images of each pass that belong to this rank; ranks differ by at most one."""
        return (self.rank + 1) * self.num_images // self.world_size - self.first

    def __len__(self) -> int:
        """Return the number of batches in an epoch, the same for all ranks; the last may be smaller."""
        return self._count

    @cached_property
    def _count(self) -> int:
        fewest = self.num_images // self.world_size
        if self.drop_last:
            return fewest // self.num_primary
        return min(math.ceil(math.ceil(self.num_images / self.world_size) / self.num_primary), fewest)

    def steps(self, epoch: int) -> int:
        """Return the number of batches in training epoch `epoch`, which is the same for all."""
        return self._count

    @cached_property
    def rank_shown(self) -> int:
        """Number of primary images that an epoch shows this rank."""
        return self._start(self._count)

    def shown(self, epoch: int) -> int:
        """Return the number of images that training epoch `epoch` shows this rank, including originals."""
        primary = self.rank_shown
        return primary if self.originals == 1 else primary + self._originals_before(primary)

    def of(self, epoch: int) -> "TrainingBatches":
        """Return the batches with the share of originals of training epoch `epoch`: these, for every epoch."""
        return self

    def with_rank(self, rank: int, world_size: int) -> "TrainingBatches":
        """Return the batches of another rank."""
        return replace(self, rank=rank, world_size=world_size)

    def segments(self, epoch: int, number: int, originals_before: int | None = None) -> list[Segment]:
        """Return the segments that make up batch `number` of training epoch `epoch`, in order.

        `originals_before` is the number of originals that earlier epochs have shown, by default as many as this one in
        each.
        """
        segments = self._segments(epoch, number, originals_before)
        return [segment._replace(view=view) for view in range(self.views) for segment in segments]

    def _segments(self, epoch: int, number: int, originals_before: int | None) -> list[Segment]:
        start, stop = self._start(number), self._start(number + 1)
        if self.originals == 1:
            return [Segment("train", 0, epoch, self.first + start, self.first + stop)]
        stored, pass_number = self.shown_by(epoch)
        before = originals_before
        if before is None:
            before = self._originals_before(self.rank_shown) * epoch
        return [
            Segment("epoch", stored, pass_number, self.first + start, self.first + stop),
            *self._original_segments(before + self._originals_before(start), before + self._originals_before(stop)),
        ]

    def next_pass(self, key: PassKey) -> PassKey:
        """Return the pass that follows pass `key` during training."""
        split, stored, pass_number, view = key
        if split == "train":
            return split, stored, pass_number + 1, view
        if self.choices is not None:
            return split, *self.choices.shown(self.choices.epoch_of(stored, pass_number) + 1), view
        which = self.epochs.index(stored) + 1
        return split, self.epochs[which % len(self.epochs)], pass_number + which // len(self.epochs), view

    def shown_range(self, key: PassKey) -> tuple[int, int]:
        """Return (start, stop) of the images of a pass that this rank shows."""
        return self.first, self.first + self.rank_images

    def shown_by(self, epoch: int) -> tuple[int, int]:
        """Return the stored epoch that training epoch `epoch` shows, and the number of earlier passes over it."""
        if self.choices is not None:
            return self.choices.shown(epoch)
        return self.epochs[epoch % len(self.epochs)], epoch // len(self.epochs)

    def _start(self, number: int) -> int:
        """Return the first primary image of batch `number`. Each later batch keeps at least one."""
        if self.drop_last:
            return number * self.num_primary
        return min(number * self.num_primary, self.rank_images - (self._count - number))

    def _originals_before(self, distorted: int) -> int:
        """Return the number of originals that are shown with the first `distorted` images of an epoch."""
        return distorted * self.num_originals // self.num_primary

    def _original_segments(self, start: int, stop: int) -> list[Segment]:
        """Divide originals `start` to `stop` - 1 of an endless series of passes over this rank's images by pass."""
        segments = []
        while start < stop:
            pass_number, at = divmod(start, self.rank_images)
            count = min(stop - start, self.rank_images - at)
            segments.append(Segment("train", 0, pass_number, self.first + at, self.first + at + count))
            start += count
        return segments


def suitable_batch_size(num_images: int, originals: float) -> int:
    """Return 256, or for a small set the largest power of two, at least 16, with about 40 steps per epoch or more."""
    shown = num_images / (1 - originals) if originals < 1 else num_images
    return max(16, min(256, 1 << int(math.log2(max(1, shown / 40)))))


@dataclass(frozen=True)
class EvaluationBatches:
    """Batches that show every image of an undistorted split, or of a range of it, once, in its stored order."""

    split: str
    num_images: int
    batch_size: int
    first: int = 0
    """Position of the first image."""
    world_size: ClassVar[int] = 1
    """The order is that of position, for any number of ranks."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise EpochbankError(f"batch size {self.batch_size}; expected 1 or more.", usage=True)

    def __len__(self) -> int:
        """Return the number of batches; the last may be smaller."""
        return math.ceil(self.num_images / self.batch_size)

    def steps(self, epoch: int) -> int:
        """Return the number of batches."""
        return len(self)

    def segments(self, epoch: int, number: int) -> list[Segment]:
        """Return the segment that makes up batch `number`, which is the same in every epoch."""
        start, stop = self.first + number * self.batch_size, self.first + self.num_images
        return [Segment(self.split, 0, 0, start, min(start + self.batch_size, stop))]

    def next_pass(self, key: PassKey) -> PassKey:
        """Return the same pass."""
        return key

    def shown_range(self, key: PassKey) -> tuple[int, int]:
        """Return the range of all images."""
        return self.first, self.first + self.num_images
