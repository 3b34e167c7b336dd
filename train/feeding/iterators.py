"""The stream for those who do not use Keras' `fit`: NumPy arrays, and a `tf.data.Dataset`.

`AugmentedSet.batches` and `AugmentedSet.to_tf_dataset` say what these are; `train.torch_batches` is PyTorch's.
"""

import threading
import weakref
from collections.abc import Iterator
from copy import copy
from itertools import count
from typing import TYPE_CHECKING, Any, Self

from ...augment.errors import EpochbankError
from ..streaming.batches import TrainingBatches
from ..streaming.stream import Batch, Stream
from .augmented_set import AugmentedSet

if TYPE_CHECKING:
    import tensorflow as tf


def training_batches(
    bank: AugmentedSet, batch_size: int, mix: float, reader: int, readers: int, drop_last: bool
) -> TrainingBatches:
    """Which pictures of `bank` make up each batch; `EpochbankError` for what cannot be."""
    return TrainingBatches(bank.images["train"], bank.epochs, batch_size, mix, reader, readers, drop_last)


def check_epochs(first_epoch: int, epochs: int | None) -> None:
    """Refuse epochs that there cannot be, with `EpochbankError`."""
    if first_epoch < 0:
        raise EpochbankError(f"epoch {first_epoch}; expected 0 or more.", words=True)
    if epochs is not None and epochs < 1:
        raise EpochbankError(f"{epochs} epochs; expected 1 or more, or None for no end.", words=True)


def course(first_epoch: int, epochs: int | None) -> Iterator[int]:
    """Numbers of `epochs` epochs from `first_epoch` on; without end for None."""
    return count(first_epoch) if epochs is None else iter(range(first_epoch, first_epoch + epochs))


class BatchIterator(Iterator[Batch]):
    """Batches, epoch after epoch: uint8 (B, H, W, C) and int32 (B,), the caller's own. For one thread.

    Its threads end with the last batch, with `close()`, at the end of a `with`, and when it is dropped.
    """

    def __init__(self, stream: Stream, first_epoch: int, epochs: int | None, first_batch: int):
        """`epochs` of them, None for no end, from batch `first_batch` of `first_epoch` on."""
        check_epochs(first_epoch, epochs)
        self.per_epoch = len(stream.batches)
        """Batches in an epoch."""
        if not 0 <= first_batch <= self.per_epoch:
            raise EpochbankError(f"batch {first_batch}; expected 0 to {self.per_epoch} of an epoch.", words=True)
        self.position = first_epoch, first_batch
        """Epoch and number of the batch that comes next, or (epoch, `per_epoch`): what to go on with later."""
        self._stream = stream
        self._end = None if epochs is None else first_epoch + epochs

    def __next__(self) -> Batch:
        epoch, number = self.position
        if number == self.per_epoch:
            epoch, number = epoch + 1, 0
        if epoch == self._end:
            self.close()
            raise StopIteration
        batch = self._stream.batch(epoch, number)
        self.position = epoch, number + 1
        return batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads; no batch comes afterwards."""
        self._end = self.position[0] + (self.position[1] == self.per_epoch)
        self._stream.close()


class _Iterations:
    """Which epochs each iteration of a dataset shows: those that no iteration before it began with."""

    def __init__(self, first_epoch: int, epochs: int | None):
        check_epochs(first_epoch, epochs)
        self._next, self._epochs, self._lock = first_epoch, epochs, threading.Lock()

    def begin(self) -> Iterator[int]:
        """The epochs of a new iteration."""
        with self._lock:
            first, self._next = self._next, self._next + (self._epochs or 1)
        for epoch in course(first, self._epochs):
            with self._lock:
                self._next = max(self._next, epoch + 1)
            yield epoch


def tf_dataset(stream: Stream, first_epoch: int, epochs: int | None) -> "tf.data.Dataset":
    """What `AugmentedSet.to_tf_dataset` returns, over the training batches of `stream`."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise EpochbankError(
            f"TensorFlow cannot be imported ({error}), and to_tf_dataset needs it. "
            "Install it: pip install 'epochbank[train]'."
        ) from error
    iterations = _Iterations(first_epoch, epochs)
    batches: Any = stream.batches
    # TensorFlow never forgets a generator function. The stream that works is the dataset's, this one has no threads.
    working = copy(stream)
    held = weakref.ref(working)

    def iteration() -> Iterator[Batch]:
        source = held() or copy(stream)
        for epoch in iterations.begin():
            for number in range(len(batches)):
                yield source.batch(epoch, number)

    rows = batches.batch_size if batches.drop_last else None
    signature = tf.TensorSpec((rows, *stream.bank.shape), tf.uint8), tf.TensorSpec((rows,), tf.int32)
    size = tf.data.INFINITE_CARDINALITY if epochs is None else epochs * len(batches)
    dataset = tf.data.Dataset.from_generator(iteration, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(size)).prefetch(2)
    options = tf.data.Options()
    if batches.readers > 1:  # They have parted the pictures already.
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = dataset.with_options(options)
    dataset.stream = working
    return dataset
