"""Batches outside Keras' `fit`: an iterator over NumPy arrays, and a `tf.data.Dataset`.

`AugmentedSet.batches` and `AugmentedSet.to_tf_dataset` document them; `torch_batches` is the PyTorch dataset.
"""

import threading
import weakref
from collections.abc import Iterator
from copy import copy
from itertools import count
from typing import TYPE_CHECKING, Any, Self

from ...augment.errors import EpochbankError
from ..streaming.batches import TrainingBatches
from ..streaming.stream import Stream
from .batch_options import BatchOptions
from .transform import Transform, transformed

if TYPE_CHECKING:
    import tensorflow as tf


def check_epochs(first_epoch: int, epochs: int | None) -> None:
    """Raise `EpochbankError` if `first_epoch` or `epochs` is out of range."""
    if first_epoch < 0:
        raise EpochbankError(f"epoch {first_epoch}; expected 0 or more.", usage=True)
    if epochs is not None and epochs < 1:
        raise EpochbankError(f"{epochs} epochs; expected 1 or more, or None for no limit.", usage=True)


def epoch_numbers(first_epoch: int, epochs: int | None) -> Iterator[int]:
    """Iterate over the numbers of `epochs` epochs from `first_epoch` on; without end if `epochs` is None."""
    return count(first_epoch) if epochs is None else iter(range(first_epoch, first_epoch + epochs))


class BatchIterator(Iterator[Any]):
    """Iterate over batches, epoch after epoch: new arrays uint8 (B, H, W, C) and int32 (B,). Not thread-safe.

    The decoding threads end after the last batch, with `close()`, at the end of a `with` block, or when the iterator is
    dropped.
    """

    def __init__(
        self,
        stream: Stream,
        first_epoch: int,
        epochs: int | None,
        first_batch: int,
        options: BatchOptions,
        transform: Transform | None = None,
    ):
        """Iterate over `epochs` epochs, None for no limit, from batch `first_batch` of `first_epoch` on.

        `options` give the form of the batches. With `transform`, yield its results instead of the batches.
        """
        check_epochs(first_epoch, epochs)
        self.position = first_epoch, first_batch
        """Epoch and number of the next batch, or (epoch, `per_epoch`) after the last batch of an epoch."""
        self._stream, self._options, self._transform = stream, options, transform
        self._end = None if epochs is None else first_epoch + epochs
        if not 0 <= first_batch <= self.per_epoch:
            raise EpochbankError(f"batch {first_batch}; expected 0 to {self.per_epoch} of an epoch.", usage=True)

    @property
    def per_epoch(self) -> int:
        """Number of batches in the current epoch; only a schedule of originals makes epochs different."""
        return self._stream.batches.steps(self.position[0])

    def __next__(self) -> Any:
        epoch, number = self.position
        if number == self.per_epoch:
            epoch, number = epoch + 1, 0
        if epoch == self._end:
            self.close()
            raise StopIteration
        delivered = self._options.deliver(self._stream.batch(epoch, number), len(self._stream.stored_set.class_names))
        batch = transformed(self._transform, delivered)
        self.position = epoch, number + 1
        return batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads and end the iteration."""
        self._end = self.position[0] + (self.position[1] == self.per_epoch)
        self._stream.close()


class _Iterations:
    """Assign epochs to the iterations over a dataset: each continues after those that began before it."""

    def __init__(self, first_epoch: int, epochs: int | None):
        check_epochs(first_epoch, epochs)
        self._next, self._epochs, self._lock = first_epoch, epochs, threading.Lock()

    def begin(self) -> Iterator[int]:
        """Yield the epochs of a new iteration."""
        with self._lock:
            first, self._next = self._next, self._next + (self._epochs or 1)
        for epoch in epoch_numbers(first, self._epochs):
            with self._lock:
                self._next = max(self._next, epoch + 1)
            yield epoch


def tf_dataset(stream: Stream, options: BatchOptions, first_epoch: int, epochs: int | None) -> "tf.data.Dataset":
    """Return the dataset of `AugmentedSet.to_tf_dataset` with the training batches of `stream`."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise EpochbankError(
            f"TensorFlow cannot be imported ({error}), but to_tf_dataset needs it. "
            "Install it: pip install 'epochbank[train]'."
        ) from error
    iterations = _Iterations(first_epoch, epochs)
    batches: Any = stream.batches
    # TensorFlow keeps a generator function forever, so it refers to `stream`, which never starts a thread, and only
    # weakly to the stream that the dataset owns.
    owned = copy(stream)
    reference = weakref.ref(owned)

    num_classes = len(stream.stored_set.class_names)

    def iteration() -> Iterator[tuple[Any, Any]]:
        source = reference() or copy(stream)
        for epoch in iterations.begin():
            for number in range(batches.steps(epoch)):
                yield options.deliver(source.batch(epoch, number), num_classes)

    rows = batches.batch_size if batches.drop_last else None
    views = options.views
    images = tf.TensorSpec((rows and rows * (1 if options.split_views else views), *stream.stored_set.shape), tf.uint8)
    targets = tf.TensorSpec((images.shape[0],), tf.int32)
    if options.soft:
        targets = tf.TensorSpec((images.shape[0], None if options.sparse_targets else num_classes), tf.float32)
    signature = (images,) * views if options.split_views else images, targets
    size = tf.data.INFINITE_CARDINALITY if epochs is None else tf.data.UNKNOWN_CARDINALITY
    if epochs is not None and isinstance(batches, TrainingBatches):
        size = epochs * len(batches)
    dataset = tf.data.Dataset.from_generator(iteration, output_signature=signature)
    if size != tf.data.UNKNOWN_CARDINALITY:  # Iterations over a schedule of originals differ.
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(size))
    dataset = dataset.prefetch(2)
    tf_options = tf.data.Options()
    if batches.world_size > 1:  # The images are divided among the ranks already.
        tf_options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = dataset.with_options(tf_options)
    dataset.stream = owned
    return dataset
