"""A share of originals that changes from one training epoch to the next."""

from dataclasses import dataclass, replace
from functools import cached_property

from ...augment.errors import EpochbankError
from .batches import PassKey, Segment, TrainingBatches

_PURE = 1 << 40
"""Added to the number of a pass that shows only originals, so that it differs from those of the mixed epochs."""


@dataclass(frozen=True)
class OriginalsSchedule:
    """A linear change of the share of originals over the training epochs; the last ones may show only originals.

    Z. He et al., "Data Augmentation Revisited: Rethinking the Distribution Gap between Clean and Augmented Data"
    (arXiv 1909.09148, 2019) train the last epochs on originals. Epochs with a larger share have more batches, because
    each epoch shows every training image once distorted; an epoch of originals shows every original once.
    """

    first: float
    """Share of originals in the first epoch, 0 to 1."""
    last: float
    """Share in the last epoch before `finish`, and in epochs after `epochs`."""
    epochs: int
    """Number of training epochs."""
    finish: int = 0
    """Number of last epochs that show only originals."""

    def __post_init__(self) -> None:
        for share in (self.first, self.last):
            if not 0 <= share <= 1:
                raise EpochbankError(f"originals {share:g} (--originals); expected a share from 0 to 1.", usage=True)
        if self.epochs < 1:
            raise EpochbankError(f"schedule of originals over {self.epochs} epochs; expected 1 or more.", usage=True)
        if not 0 <= self.finish < self.epochs:
            raise EpochbankError(
                f"finish on originals (--finish-on-originals) for {self.finish} of {self.epochs} epochs; expected 0 to "
                f"{self.epochs - 1}.",
                usage=True,
            )

    def share(self, epoch: int) -> float:
        """Return the share of originals in training epoch `epoch`."""
        mixed = self.epochs - self.finish
        if self.finish and epoch >= mixed:
            return 1.0
        return self.first + (self.last - self.first) * min(1.0, epoch / max(1, mixed - 1))

    def share_of_batch(self, epoch: int, batch_size: int) -> float:
        """Return the share in whole images of a batch: a mixed epoch has at least one of each kind in each batch."""
        share = self.share(epoch)
        count = round(share * batch_size)
        if 0 < share < 1 and batch_size > 1:
            count = min(max(count, 1), batch_size - 1)
        return count / batch_size


Originals = float | OriginalsSchedule
"""Share of originals in a batch: the same in all epochs, or a schedule."""


def parse_originals(text: str, epochs: int, finish: int = 0) -> Originals:
    """Return the share that `text` describes: `0.5`, or `0.3:0.9` for a change from the first to the last epoch.

    Raises `EpochbankError` if it is neither.
    """
    first, colon, last = text.partition(":")
    try:
        shares = float(first), float(last if colon else first)
    except ValueError:
        raise EpochbankError(
            f"originals {text!r} (--originals); expected a share from 0 to 1, such as 0.5, or two, such as 0.3:0.9, "
            "for the first and the last epoch.",
            usage=True,
        ) from None
    schedule = OriginalsSchedule(*shares, epochs, finish)
    return schedule if finish or schedule.first != schedule.last else schedule.first


@dataclass(frozen=True)
class ScheduledBatches:
    """Training batches whose share of originals follows a schedule."""

    base: TrainingBatches
    """Batches with the share of the first epoch."""
    schedule: OriginalsSchedule

    @property
    def num_images(self) -> int:
        """Number of training images of the set."""
        return self.base.num_images

    @property
    def batch_size(self) -> int:
        """Number of images in a full batch."""
        return self.base.batch_size

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.base.world_size

    @property
    def drop_last(self) -> bool:
        """Whether the last batch of an epoch is omitted if it is not full."""
        return self.base.drop_last

    def __post_init__(self) -> None:
        for epoch in range(self.schedule.epochs):
            self.of(epoch)  # Raises for a share with which no batch can be formed.

    def of(self, epoch: int) -> TrainingBatches:
        """Return the batches of all epochs with the share of training epoch `epoch`."""
        share = self.schedule.share_of_batch(epoch, self.batch_size)
        if share not in self._by_share:
            self._by_share[share] = replace(self.base, originals=share)
        return self._by_share[share]

    def with_rank(self, rank: int, world_size: int) -> "ScheduledBatches":
        """Return the batches of another rank."""
        return replace(self, base=self.base.with_rank(rank, world_size))

    def shown_by(self, epoch: int) -> tuple[int, int]:
        """Return the stored epoch that training epoch `epoch` shows, and the number of earlier passes over it."""
        return self.base.shown_by(epoch)

    def steps(self, epoch: int) -> int:
        """Return the number of batches in training epoch `epoch`."""
        return len(self.of(epoch))

    def shown(self, epoch: int) -> int:
        """Return the number of images that training epoch `epoch` shows this rank, including originals."""
        return self.of(epoch).shown(epoch)

    def segments(self, epoch: int, number: int) -> list[Segment]:
        """Return the segments that make up batch `number` of training epoch `epoch`, in order."""
        batches = self.of(epoch)
        if batches.originals == 1:
            return [one._replace(pass_number=_PURE + epoch) for one in batches.segments(epoch, number)]
        return batches.segments(epoch, number, self._originals_before(epoch))

    def next_pass(self, key: PassKey) -> PassKey:
        """Return the pass that follows pass `key`, as long as the kind of epoch does not change."""
        return self.base.next_pass(key)

    def shown_range(self, key: PassKey) -> tuple[int, int]:
        """Return (start, stop) of the images of a pass that this rank shows."""
        return self.base.shown_range(key)

    def _originals_before(self, epoch: int) -> int:
        """Return the number of originals that the mixed epochs before `epoch` show this rank."""
        while len(self._before) <= epoch:
            batches = self.of(len(self._before) - 1)
            more = batches.shown(0) - batches.rank_shown if batches.originals < 1 else 0
            self._before.append(self._before[-1] + more)
        return self._before[epoch]

    @cached_property
    def _by_share(self) -> dict[float, TrainingBatches]:
        return {}

    @cached_property
    def _before(self) -> list[int]:
        return [0]
