"""Which pictures make up batch i of training epoch e: pure functions of sizes, mix, e and i."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from augment.errors import EpochbankError


class Segment(NamedTuple):
    """Pictures start, ..., stop - 1 of one pass over a part or stored epoch."""

    part: str
    """`epoch`, `train`, `validation` or `test`."""
    stored: int
    """The stored epoch's number; 0 for an undistorted part."""
    passing: int
    """How many times it was gone through before: each pass has an order of its own."""
    start: int
    stop: int


@dataclass(frozen=True)
class TrainingBatches:
    """An epoch shows every training picture once distorted, and a share of originals in each batch."""

    images: int
    """Training pictures."""
    epochs: tuple[int, ...]
    """Numbers of the stored epochs; training epoch e shows the (e mod N)-th."""
    batch_size: int
    mix: float
    """Share of originals in a batch; at 1 the originals alone."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise EpochbankError(f"batch size {self.batch_size}; expected 1 or more.", words=True)
        if not 0 <= self.mix <= 1:
            raise EpochbankError(f"mix {self.mix:g}; expected a share from 0 to 1 of originals.", words=True)
        if 0 < self.mix < 1 and not 0 < self.originals < self.batch_size:
            raise EpochbankError(
                f"mix {self.mix:g} of a batch of {self.batch_size} is {self.originals} originals; expected at least "
                "one original and one distorted picture. Make the batch larger, or mix 0 or 1.",
                words=True,
            )

    @property
    def originals(self) -> int:
        """Originals in a full batch: the rest of it is distorted."""
        return round(self.batch_size * self.mix)

    @property
    def leading(self) -> int:
        """Pictures of a full batch whose number makes an epoch: distorted ones, or originals at mix 1."""
        return self.batch_size - self.originals if self.mix < 1 else self.batch_size

    def __len__(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(self.images / self.leading)

    def segments(self, epoch: int, number: int) -> list[Segment]:
        """What batch `number` of training epoch `epoch` is made of, in this order."""
        start, stop = number * self.leading, min((number + 1) * self.leading, self.images)
        if self.mix == 1:
            return [Segment("train", 0, epoch, start, stop)]
        which, passing = epoch % len(self.epochs), epoch // len(self.epochs)
        first = self._originals_before(self.images) * epoch
        return [
            Segment("epoch", self.epochs[which], passing, start, stop),
            *self._original_segments(first + self._originals_before(start), first + self._originals_before(stop)),
        ]

    def _originals_before(self, distorted: int) -> int:
        """Originals that come along with the first `distorted` pictures of an epoch."""
        return distorted * self.originals // self.leading

    def _original_segments(self, start: int, stop: int) -> list[Segment]:
        """Originals come in an endless row of passes, each over all training pictures."""
        segments = []
        while start < stop:
            passing, at = divmod(start, self.images)
            count = min(stop - start, self.images - at)
            segments.append(Segment("train", 0, passing, at, at + count))
            start += count
        return segments


def suitable_batch_size(images: int, mix: float) -> int:
    """256, or for a small set the power of two, 16 at least, that still makes some forty steps an epoch."""
    shown = images / (1 - mix) if mix < 1 else images
    return max(16, min(256, 1 << int(math.log2(max(1, shown / 40)))))


@dataclass(frozen=True)
class EvaluationBatches:
    """Every picture of an undistorted part once, in its stored order."""

    part: str
    images: int
    batch_size: int

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise EpochbankError(f"batch size {self.batch_size}; expected 1 or more.", words=True)

    def __len__(self) -> int:
        """Batches in the part; the last may be smaller."""
        return math.ceil(self.images / self.batch_size)

    def segments(self, epoch: int, number: int) -> list[Segment]:
        """What batch `number` is made of: the same in every epoch."""
        start = number * self.batch_size
        return [Segment(self.part, 0, 0, start, min(start + self.batch_size, self.images))]
