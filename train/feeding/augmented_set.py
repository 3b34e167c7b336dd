"""A set as training sees it: opened once, streamed as often as one likes."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...augment.errors import EpochbankError
from ...augment.store.catalog import find_set
from ...augment.store.description import Description, read_description
from ...augment.store.manifest import Entry, published_epochs, read_manifest
from ..reading.chunk_table import ChunkTable
from ..streaming.order import Shuffle

if TYPE_CHECKING:
    import tensorflow as tf

    from .iterators import BatchIterator
    from .sequence import EvaluationSequence
    from .torch_batches import TorchBatches


@dataclass(frozen=True)
class AugmentedSet:
    """A set that is open for training: what is published when it is opened, and nothing that comes later."""

    path: Path
    description: Description
    entries: tuple[Entry, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a picture."""
        return self.description.shape

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, by label."""
        return self.description.class_names

    @property
    def images(self) -> dict[str, int]:
        """Pictures in each of the parts `train`, `validation`, `test`."""
        return self.description.images

    @property
    def codec(self) -> str:
        """Of the shards that were published last."""
        return self.entries[-1].codec

    @cached_property
    def epochs(self) -> tuple[int, ...]:
        """Numbers of the published epochs."""
        return tuple(epoch.epoch for epoch in published_epochs(self.entries, self.images["train"]))

    @cached_property
    def _shards(self) -> dict[tuple[str, int], list[Entry]]:
        shards: dict[tuple[str, int], list[Entry]] = {}
        for entry in self.entries:
            shards.setdefault((entry.part, entry.epoch), []).append(entry)
        return shards

    def table(self, part: str, epoch: int = 0) -> ChunkTable:
        """Where the chunks of a part, or of a stored epoch (`part="epoch"`), lie.

        `EpochbankError` where it is not wholly published.
        """
        entries = self._shards.get((part, epoch), [])
        expected = self.images["train" if part == "epoch" else part]
        if sum(entry.images for entry in entries) != expected:
            raise EpochbankError(
                f"{self.path}: {f'epoch {epoch}' if part == 'epoch' else f'the {part} part'} is unfinished. "
                "Give the same `augment run` again, which completes it."
            )
        return ChunkTable(self.path, entries, self.shape)

    def validation(self, batch_size: int = 256) -> "EvaluationSequence":
        """The validation part, undistorted, in order, for Keras."""
        return self.part("validation", batch_size)

    def test(self, batch_size: int = 256) -> "EvaluationSequence":
        """The test part, undistorted, in order, for Keras."""
        return self.part("test", batch_size)

    def part(self, part: str, batch_size: int = 256) -> "EvaluationSequence":
        """An undistorted part, in its stored order, for Keras; `EpochbankError` where it is empty."""
        from .sequence import EvaluationSequence

        return EvaluationSequence(self, part, batch_size)

    def batches(
        self,
        batch_size: int = 256,
        mix: float = 0.5,
        seed: int = 0,
        *,
        first_epoch: int = 0,
        epochs: int | None = None,
        first_batch: int = 0,
        threads: int | None = None,
        shuffle: Shuffle = "pictures",
        reader: int = 0,
        readers: int = 1,
        drop_last: bool = False,
    ) -> "BatchIterator":
        """Training batches as NumPy arrays, epoch after epoch: uint8 (B, H, W, C) and int32 (B,).

        They are those of `AugmentedSequence` with the same `batch_size`, `mix` (share of originals), `seed` and
        `shuffle`, from batch `first_batch` of `first_epoch` on, `epochs` of them, None for no end. The iterator's
        `position` is what to give as (`first_epoch`, `first_batch`), with fewer `epochs`, to go on. `reader` of
        `readers` is the part of one process among several; `drop_last` leaves out the batch that is not full.
        `EpochbankError` for what cannot be, and from the iterator where a chunk is damaged.
        """
        from ..streaming.stream import Stream
        from .iterators import BatchIterator, training_batches

        parts = training_batches(self, batch_size, mix, reader, readers, drop_last)
        return BatchIterator(
            Stream(self, parts, seed=seed, threads=threads, shuffle=shuffle), first_epoch, epochs, first_batch
        )

    def to_tf_dataset(
        self,
        batch_size: int = 256,
        mix: float = 0.5,
        seed: int = 0,
        *,
        first_epoch: int = 0,
        epochs: int | None = 1,
        threads: int | None = None,
        shuffle: Shuffle = "pictures",
        reader: int = 0,
        readers: int = 1,
        drop_last: bool = False,
    ) -> "tf.data.Dataset":
        """Training batches as a `tf.data.Dataset`: uint8 (B, H, W, C) and int32 (B,), batched already.

        Each iteration shows the next epoch, a whole one in an order of its own, as if reshuffled: the first one
        `first_epoch`, and each as many as `epochs` says, None for no end. One that is broken off counts as well (so
        does the look that Keras takes beforehand under a `tf.distribute` strategy). The count is the dataset's own.
        B is static with `drop_last`. The other arguments are those of `batches`; with several `readers` the dataset is
        not to be sharded any more: it is for `strategy.distribute_datasets_from_function`. Threads end when the dataset
        is dropped. `EpochbankError` for what cannot be, and without TensorFlow; a damaged chunk is an error of
        TensorFlow's that has its text.
        """
        from ..streaming.stream import Stream
        from .iterators import tf_dataset, training_batches

        parts = training_batches(self, batch_size, mix, reader, readers, drop_last)
        return tf_dataset(Stream(self, parts, seed=seed, threads=threads, shuffle=shuffle), first_epoch, epochs)

    def to_torch(
        self,
        batch_size: int = 256,
        mix: float = 0.5,
        seed: int = 0,
        *,
        first_epoch: int = 0,
        epochs: int | None = 1,
        threads: int | None = None,
        shuffle: Shuffle = "pictures",
        reader: int | None = None,
        readers: int | None = None,
        drop_last: bool = False,
    ) -> "TorchBatches":
        """Training batches as a PyTorch `IterableDataset`, for `DataLoader(dataset, batch_size=None)`.

        An item is a whole batch: uint8 (B, H, W, C) and int64 (B,), as `cross_entropy` wants labels.
        `pictures.permute(0, 3, 1, 2)` is (B, C, H, W) in channels-last memory, without a copy. Each iteration
        shows the next epoch, `epochs` at a time (None: no end), with any number of `DataLoader` workers, persistent or
        not, which part its batches among them; `set_epoch` says which is next. `reader` and `readers` are those of
        `torch.distributed` where they are None and it is initialised: all ranks have as many batches. The other
        arguments are those of `batches`. `EpochbankError` for what cannot be, and without PyTorch.
        """
        from .iterators import training_batches
        from .torch_batches import TorchBatches

        place = None if readers is None and reader is None else (reader or 0, readers or 1)
        parts = training_batches(self, batch_size, mix, *(place or (0, 1)), drop_last)
        return TorchBatches(self, parts, seed, first_epoch, epochs, threads, shuffle, place)


def open_set(path: str | Path | None = None, sets: str | Path = "sets") -> AugmentedSet:
    """Open the set at `path`, or called so in `sets`, or the newest there.

    `EpochbankError` where there is none, it is damaged or of a newer format, or no epoch is published.
    """
    directory = find_set(path, Path(sets))
    bank = AugmentedSet(directory, read_description(directory), tuple(read_manifest(directory)))
    if not bank.epochs:
        raise EpochbankError(
            f"{directory} has no published epoch: its `augment run` has not ended, or was stopped in the first one. "
            "Give the same `augment run` again, which goes on from there."
        )
    return bank
