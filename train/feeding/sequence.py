"""Keras `PyDataset`s over a stream, for every backend.

They use the threads of the stream and never Keras' workers, which rebuild their pool in every epoch and may deliver
batches of an epoch that was interrupted. `data[i]` depends on the current epoch. Only Keras' hooks and the callback
change the epoch, when no batch of another epoch can be in flight. `keras_streams` says when threads end.
"""

import threading
from collections.abc import Sequence
from typing import Any

import keras

from ...augment.errors import EpochbankError
from ...augment.shared.renamed import accepts_old_names, warn_renamed
from ..streaming.batches import EvaluationBatches
from ..streaming.data_wait import DataWaitMeter
from ..streaming.distill import DEFAULT, Distillation
from ..streaming.follow import Follow, check_follow
from ..streaming.order import Shuffle
from ..streaming.schedule import Originals
from ..streaming.stream import Stream
from .batch_options import BatchOptions, Final, training_batches
from .epoch_callback import EpochCallback
from .given_set import AnySet, opened
from .keras_streams import set_resting, start
from .loss_check import check_loss
from .ranks import needs_full_batches, process_here
from .transform import Transform, check_transform, transformed

_DEPTH_EVERY = 4
"""Measure the depth of the queue for every fourth batch only, because it takes time."""


class _StreamSequence(keras.utils.PyDataset):
    """Batches of a stream."""

    stream: Stream
    transform: Transform | None
    options: BatchOptions = BatchOptions()
    fault: EpochbankError | None = None
    """The exception that `data[i]` raised. Some backends wrap it in a way that hides its type."""

    @property
    def workers(self) -> int:
        """Always 1, so that Keras starts no workers: the stream has its own threads."""
        return 1

    def __len__(self) -> int:
        return self.stream.batches.steps(0)

    def __repr__(self) -> str:
        set_path, batches = str(self.stream.stored_set.path), self.stream.batches
        split = f", {batches.split!r}" if isinstance(batches, EvaluationBatches) else ""
        return f"{type(self).__name__}({set_path!r}{split}, batch_size={batches.batch_size}, steps={len(self)})"

    def close(self) -> None:
        """Stop the threads and free the images. A later request for a batch starts the threads again."""
        self.stream.release()
        set_resting(self.stream, True)

    def _attach(self, stream: Stream, transform: Transform | None) -> None:
        self.stream, self.transform = stream, check_transform(transform)

    def _batch(self, epoch: int, index: int) -> Any:
        if self.stream.idle is None:
            start(self.stream)
        try:
            batch = self.options.deliver(self.stream.batch(epoch, index), len(self.stream.stored_set.class_names))
            return transformed(self.transform, batch)
        except EpochbankError as fault:
            self.fault = fault
            raise


class AugmentedSequence(_StreamSequence):
    """Training batches for Keras: each epoch shows every training image once distorted, mixed with originals.

    `data[i]` is images uint8 (B, H, W, C) and labels int32 (B,), or what the options below make of them. It is a pure
    function of `seed`, `epoch` and i. Pass `callbacks=[data.callback()]` to `fit`, and `shuffle=False`, because the
    order is different in every epoch already.
    """

    @accepts_old_names(mix="originals", ahead="prefetch", bank="stored_set")
    def __init__(
        self,
        stored_set: AnySet,
        batch_size: int = 256,
        originals: Originals = 0.5,
        seed: int = 0,
        *,
        threads: int | None = None,
        prefetch: int = 8,
        shuffle: Shuffle = "images",
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        final: Final | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        label_smoothing: float = 0.0,
        views: int = 1,
        split_views: bool = False,
        sparse_targets: bool = False,
        teacher: str | None = None,
        distill: Distillation = DEFAULT,
        transform: Transform | None = None,
        follow: bool = False,
        workers: int = 1,
        max_queue_size: int | None = None,
        use_multiprocessing: bool = False,
        shard: tuple[int, int] | None = None,
    ):
        """Stream a set.

        Parameters
        ----------
        stored_set
            An open set, its path, or its name in `sets/`.
        batch_size
            Number of images in a full batch.
        originals
            Share of originals in each batch, 0 to 1; at 1 an epoch shows the originals only. With an
            `OriginalsSchedule`, epochs have different numbers of batches, so call Keras' `fit` once for each epoch,
            after `show(epoch)`.
        seed
            Seed of the order, which is a pure function of (seed, epoch).
        threads
            Decoding threads; None for one per core, up to 4. Keras' `workers` has the same meaning.
        prefetch
            Number of batches that are decoded ahead. Keras' `max_queue_size` has the same meaning.
        shuffle
            `images`; or `chunks` to shuffle whole chunks only: faster, but the images of a chunk stay together; or
            `shards` to shuffle within a few shards at a time, for a set in an object store and a small cache.
        rank, world_size
            Number of this process, and of all processes that train one model: each streams its own part of the
            training images. If both are None, they are those of `keras.distribution`, `torch.distributed` or
            `jax.distributed` if initialized. Under `keras.distribution` the last batch is omitted unless it is full.
        drop_last
            Omit the last batch if it is not full.
        final
            Final augmentation: the name of a built-in final recipe (`characters`, `photo`), or the path of a TOML file.
            The decoding threads apply it to all training images, originals included.
        mixup, cutmix
            Alpha of MixUp and of CutMix, 0 for none; with both, each image gets one of them at random. Targets are then
            float32 (B, classes) instead of int32 (B,), for `CategoricalCrossentropy`.
        label_smoothing
            Share of each target that is divided among all classes, 0 to less than 1. Targets are float32 (B, classes).
        views
            Number of views of each image in a batch, which differ in their final augmentation: a batch has
            `batch_size` / `views` different images. All first views come first, then all second views, and so on.
        split_views
            Return ((view, view, ...), labels), for contrastive and consistency losses.
        sparse_targets
            Return soft targets as float32 (B, 2 m), m class numbers and their weights, for `SparseSoftCrossentropy`.
            Pass `label_smoothing` to the loss, too, which applies it. With a teacher, they are float32 (B, 2 m + 1).
        teacher
            Name of a teacher of the set, whose labels `augment teach` wrote. Targets are then float32 (B, classes).
        distill
            (A, T): the share of the teacher in the targets, 0 to 1, and the temperature, 1 or more. One above 1 needs
            `sparse_targets` and `SparseSoftCrossentropy(temperature=T)`.
        transform
            Function of (images, targets) of a batch that returns (x, y) or (x, y, sample_weight) for Keras, such as
            one-hot labels. It must be pure for training to be reproducible.
        follow
            At the beginning of each training epoch, pick up stored epochs that were published since, and drop retired
            ones. A training epoch shows the first published epoch that was not shown yet, or else the one that was
            shown least recently. Requires world size 1. Pass the path of the set, because an open set protects the
            files of its epochs from deletion.
        shard
            Old form of (`rank`, `world_size`).

        Raises
        ------
        EpochbankError
            If there is no such set or teacher, a value is out of range, or no batch can be formed.
        """
        super().__init__()
        if use_multiprocessing:
            raise EpochbankError(
                "use_multiprocessing=True; expected False, because batches are decoded in threads. "
                "Use threads= for more of them.",
                usage=True,
            )
        stored_set = opened(stored_set)
        drop_last = needs_full_batches(batch_size) or drop_last
        if shard is not None:
            if rank is not None or world_size is not None:
                raise TypeError("AugmentedSequence() got both rank= or world_size= and their old form shard=")
            warn_renamed("shard=", "rank= and world_size=")
            rank, world_size = shard
        rank, world_size = process_here(rank, world_size)
        check_follow(follow, world_size)
        self._follow = Follow(stored_set) if follow and originals != 1 else None
        self.options = BatchOptions(
            final, mixup, cutmix, label_smoothing, views, split_views, sparse_targets, teacher, distill
        )
        batches = training_batches(
            stored_set,
            self.options,
            batch_size,
            originals,
            rank,
            world_size,
            drop_last,
            None if self._follow is None else self._follow.choices,
        )
        threads = threads or (workers if workers > 1 else None)
        prefetch = max_queue_size or prefetch
        stored_set = stored_set if self._follow is None else self._follow.stored_set
        stream = Stream(
            stored_set,
            batches,
            seed=seed,
            threads=threads,
            prefetch=prefetch,
            shuffle=shuffle,
            **self.options.stream_options(stored_set, seed),
        )
        self._attach(stream, transform)
        self.epoch = 0
        """Training epoch whose batches `data[i]` returns. Keras' hooks and the callback set it."""
        self.start = 0
        """Number of batches to skip at the beginning of the epoch: `data[0]` is its batch `start`."""
        self.meter = DataWaitMeter()
        self._depth = 0
        self._requested: set[int] = set()
        self._epoch_set = self._has_callback = False
        self._lock = threading.Lock()
        self.show(0)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.stream.batches.steps(self.epoch) - self.start

    def __getitem__(self, index: int) -> Any:
        requested = self.meter.clock()
        if index == 0 and self.options.soft and self.transform is None:
            check_loss(len(self.stream.stored_set.class_names), self.options.sparse_targets)
        with self._lock:
            self._requested.add(index)
        batch = self._batch(self.epoch, self.start + index)
        if index % _DEPTH_EVERY == 0:
            self._depth = self.stream.depth()
        self.meter.delivered(requested, self._depth)
        return batch

    def show(self, epoch: int) -> None:
        """Return the batches of training epoch `epoch` from now on.

        If the set is followed, this decides which stored epoch they show. Raises `EpochbankError` if that is damaged.
        """
        if self._follow is not None:
            try:
                self._follow.begin(epoch, self.stream, middle=self.start > 0)
            except EpochbankError as fault:
                self.fault = fault
                raise
        with self._lock:
            self.epoch = epoch
            self._requested.clear()

    @property
    def stored_epochs(self) -> list[int] | None:
        """Stored epochs that the training epochs up to the current one show, in order; None without `follow`."""
        return None if self._follow is None else self._follow.choices.before(self.epoch + 1)

    def restore(self, stored_epochs: Sequence[int]) -> None:
        """Let the first training epochs show `stored_epochs`, as in an earlier session. Call `show` afterwards."""
        if self._follow is not None:
            self._follow.restore(stored_epochs, self.stream)

    def show_next(self) -> bool:
        """Continue with the next epoch if all batches of this one were requested; return whether they were."""
        with self._lock:
            done = len(self._requested) >= len(self)
        if done:
            self.show(self.epoch + 1)
        return done

    def on_epoch_begin(self) -> None:
        """Continue with the next epoch, unless the callback has set it. Keras calls this after the callback."""
        if not self._epoch_set:
            self.show_next()
        self._has_callback, self._epoch_set = self._epoch_set, False
        set_resting(self.stream, False)

    def on_epoch_end(self) -> None:
        """Let another stream that starts stop the threads, unless the callback does it at the end of `fit`."""
        set_resting(self.stream, not self._has_callback)

    def epoch_is_set(self) -> None:
        """Note that the callback has set the epoch that begins now."""
        self._epoch_set = True

    def callback(self, *, report: bool = True) -> keras.callbacks.Callback:
        """Return a Keras callback that sets the epoch of this sequence and measures data wait.

        Put it before callbacks that write logs. It adds to the logs `data_wait` (seconds waiting for data),
        `data_wait_share` (share of the epoch without validation, 0 to 1) and `queue_depth` (batches that were ready
        when a step began, on average). At the end of `fit` it stops the threads and frees the images. With `report`,
        unless `fit` has `verbose=0`, it then says in one sentence how long steps waited for data.
        """
        return EpochCallback(self, report=report)


class EvaluationSequence(_StreamSequence):
    """Batches for Keras that show the images of an undistorted split once, in their stored order."""

    @accepts_old_names(bank="stored_set", part="split")
    def __init__(
        self,
        stored_set: AnySet,
        split: str,
        batch_size: int = 256,
        *,
        threads: int | None = None,
        transform: Transform | None = None,
        positions: range | None = None,
    ):
        """Stream a split of a set, which is open or named by its path or its name in `sets/`.

        `split` is `validation`, `test` or `train`; `positions` are those of the images to show, by default all;
        `transform` is that of `AugmentedSequence`. Raises `EpochbankError` if there is no such set or split, or the
        split has no images.
        """
        super().__init__()
        stored_set = opened(stored_set)
        stored_set.check_split(split)
        positions = range(stored_set.num_images[split]) if positions is None else positions
        batches = EvaluationBatches(split, len(positions), batch_size, positions.start)
        self._attach(Stream(stored_set, batches, seed=None, threads=threads), transform)
        self._within_pass = False

    def __getitem__(self, index: int) -> Any:
        return self._batch(0, index)

    def on_epoch_begin(self) -> None:
        """Note that Keras begins a pass."""
        self._within_pass = True
        set_resting(self.stream, False)

    def on_epoch_end(self) -> None:
        """Stop the threads and free the images at the end of a pass. Keras also calls this before the first one."""
        if self._within_pass:
            self._within_pass = False
            self.close()
