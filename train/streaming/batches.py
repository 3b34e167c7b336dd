"""Which pictures make up batch i of training epoch e: pure functions of sizes, mix, e and i."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

from ...augment.errors import EpochbankError

PassKey = tuple[str, int, int]
"""Part, stored epoch, and how many times it was gone through before."""


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

    @property
    def key(self) -> PassKey:
        """The pass that it belongs to."""
        return self[:3]


class Batches(Protocol):
    """Which pictures make up a batch: `TrainingBatches` or `EvaluationBatches`."""

    @property
    def images(self) -> int:
        """Pictures of the part that is shown."""
        ...

    @property
    def batch_size(self) -> int:
        """Pictures in a full batch."""
        ...

    def __len__(self) -> int: ...

    def segments(self, epoch: int, number: int) -> list[Segment]:
        """What batch `number` of `epoch` is made of, in this order."""
        ...

    def next_pass(self, key: PassKey) -> PassKey:
        """The pass that follows on pass `key` in the course of training."""
        ...

    def stretch(self, key: PassKey) -> tuple[int, int]:
        """The pictures of a pass that are shown: the first, and the one after the last."""
        ...


@dataclass(frozen=True)
class TrainingBatches:
    """An epoch shows every training picture once distorted, and a share of originals in each batch.

    Several readers part each pass among them: each shows its own pictures, all the same number of batches.
    """

    images: int
    """Training pictures of the set."""
    epochs: tuple[int, ...]
    """Numbers of the stored epochs; training epoch e shows the (e mod N)-th."""
    batch_size: int
    mix: float
    """Share of originals in a batch; at 1 the originals alone."""
    reader: int = 0
    readers: int = 1
    drop_last: bool = False
    """Leave out the last batch where it is not full: other pictures in each epoch."""

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
        if not 0 <= self.reader < self.readers:
            raise EpochbankError(
                f"reader {self.reader} of {self.readers} readers; expected one counted from 0: --shard 0/4 is "
                "the first of four.",
                words=True,
            )
        if self.leading == 1 and self.images % self.readers and not self.drop_last:
            raise EpochbankError(
                f"{self.images} training pictures one by one among {self.readers} readers; expected a number that they "
                "can part evenly. Make the batch larger.",
                words=True,
            )
        if not self._count:
            raise EpochbankError(
                f"{self.images} training pictures among {self.readers} readers make no batch of {self.batch_size}. "
                "Make the batch smaller, or the readers fewer.",
                words=True,
            )

    @cached_property
    def originals(self) -> int:
        """Originals in a full batch: the rest of it is distorted."""
        return round(self.batch_size * self.mix)

    @cached_property
    def leading(self) -> int:
        """Pictures of a full batch whose number makes an epoch: distorted ones, or originals at mix 1."""
        return self.batch_size - self.originals if self.mix < 1 else self.batch_size

    @cached_property
    def first(self) -> int:
        """The first picture of each pass that is this reader's."""
        return self.reader * self.images // self.readers

    @cached_property
    def own(self) -> int:
        """Pictures of each pass that are this reader's; readers differ by one at most."""
        return (self.reader + 1) * self.images // self.readers - self.first

    def __len__(self) -> int:
        """Batches in an epoch, the same for all readers; the last may be smaller."""
        return self._count

    @cached_property
    def _count(self) -> int:
        fewest = self.images // self.readers
        if self.drop_last:
            return fewest // self.leading
        return min(math.ceil(math.ceil(self.images / self.readers) / self.leading), fewest)

    @cached_property
    def shown(self) -> int:
        """Pictures that an epoch shows this reader, originals included."""
        leading = self._begin(self._count)
        return leading if self.mix == 1 else leading + self._originals_before(leading)

    def segments(self, epoch: int, number: int) -> list[Segment]:
        """What batch `number` of training epoch `epoch` is made of, in this order."""
        start, stop = self._begin(number), self._begin(number + 1)
        if self.mix == 1:
            return [Segment("train", 0, epoch, self.first + start, self.first + stop)]
        which, passing = epoch % len(self.epochs), epoch // len(self.epochs)
        before = self._originals_before(self._begin(self._count)) * epoch
        return [
            Segment("epoch", self.epochs[which], passing, self.first + start, self.first + stop),
            *self._original_segments(before + self._originals_before(start), before + self._originals_before(stop)),
        ]

    def next_pass(self, key: PassKey) -> PassKey:
        """The pass that follows on pass `key` in the course of training."""
        part, stored, passing = key
        if part == "train":
            return part, stored, passing + 1
        which = self.epochs.index(stored) + 1
        return part, self.epochs[which % len(self.epochs)], passing + which // len(self.epochs)

    def stretch(self, key: PassKey) -> tuple[int, int]:
        """The pictures of a pass that this reader shows: the first, and the one after the last."""
        return self.first, self.first + self.own

    def _begin(self, number: int) -> int:
        """The first of this reader's pictures in batch `number`; each batch after it has at least one, too."""
        if self.drop_last:
            return number * self.leading
        return min(number * self.leading, self.own - (self._count - number))

    def _originals_before(self, distorted: int) -> int:
        """Originals that come along with the first `distorted` pictures of an epoch."""
        return distorted * self.originals // self.leading

    def _original_segments(self, start: int, stop: int) -> list[Segment]:
        """Originals come in an endless row of passes, each over all training pictures of this reader."""
        segments = []
        while start < stop:
            passing, at = divmod(start, self.own)
            count = min(stop - start, self.own - at)
            segments.append(Segment("train", 0, passing, self.first + at, self.first + at + count))
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

    def next_pass(self, key: PassKey) -> PassKey:
        """The same again."""
        return key

    def stretch(self, key: PassKey) -> tuple[int, int]:
        """All pictures of the part."""
        return 0, self.images
