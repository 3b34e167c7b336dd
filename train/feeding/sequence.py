"""What Keras is given: `PyDataset`s over a stream. They run on every backend, with threads of our own.

Keras' own workers are never used: they rebuild their pool every epoch and may deliver batches of an
epoch that was broken off. `data[i]` depends on the epoch that is shown, and only Keras' hooks and the
callback change that one, at times when no batch of another epoch can be under way.
"""

import threading
from typing import Any

import keras

from ...augment.errors import EpochbankError
from ..streaming.batches import EvaluationBatches, TrainingBatches
from ..streaming.data_wait import StallMeter
from ..streaming.order import Shuffle
from ..streaming.stream import Batch, Stream
from .augmented_set import AugmentedSet
from .ranks import readers_here

_DEPTH_EVERY = 4
"""Batches after which the depth of the queue is looked at again: looking is not free."""


class _StreamSequence(keras.utils.PyDataset):
    """Batches of a stream, and the fault that broke it off."""

    stream: Stream
    fault: EpochbankError | None = None
    """Some backends wrap an exception of `data[i]` beyond recognition: here it is itself."""

    @property
    def workers(self) -> int:
        """1, whatever was given: Keras is to start no workers, for the stream has threads of its own."""
        return 1

    def __len__(self) -> int:
        return len(self.stream.batches)

    def _batch(self, epoch: int, index: int) -> Batch:
        try:
            return self.stream.batch(epoch, index)
        except EpochbankError as fault:
            self.fault = fault
            raise


class AugmentedSequence(_StreamSequence):
    """Training batches: each epoch every training picture once distorted, mixed with originals.

    `data[i]` is uint8 (B, H, W, C) and int32 (B,), a pure function of `seed`, `epoch` and i. Give
    `data.callback()` to `fit`, and `shuffle=False`: the order is new in every epoch already.
    """

    def __init__(
        self,
        bank: AugmentedSet,
        batch_size: int = 256,
        mix: float = 0.5,
        seed: int = 0,
        *,
        threads: int | None = None,
        ahead: int = 8,
        shuffle: Shuffle = "pictures",
        shard: tuple[int, int] | None = None,
        drop_last: bool = False,
        workers: int = 1,
        max_queue_size: int | None = None,
        use_multiprocessing: bool = False,
    ):
        """`mix` is the share of originals in a batch, 0 to 1; `threads` decode up to `ahead` batches ahead.

        `shuffle` "chunks" shuffles whole chunks alone: faster, but pictures of a chunk meet whenever it is reused.
        `shard` (k, n) shows the k-th of n parts of the training pictures, batches of `batch_size` each; None asks
        `keras.distribution`, under which the last batch is left out unless it is full (`drop_last`). Keras' words
        `workers` and `max_queue_size` stand for `threads` and `ahead`. Raises `EpochbankError` for what cannot be.
        """
        super().__init__()
        if use_multiprocessing:
            raise EpochbankError(
                "use_multiprocessing=True; expected False: decoding threads need no processes, and processes "
                "freeze. Give threads=.",
                words=True,
            )
        here = readers_here(batch_size)
        reader, readers = (here.reader, here.readers) if shard is None else shard
        batches = TrainingBatches(
            bank.images["train"], bank.epochs, batch_size, mix, reader, readers, drop_last or here.full
        )
        threads = threads or (workers if workers > 1 else None)
        ahead = max_queue_size or ahead
        self.stream = Stream(bank, batches, seed=seed, threads=threads, ahead=ahead, shuffle=shuffle)
        self.epoch = 0
        """The training epoch whose batches `data[i]` gives; Keras' hooks and the callback set it."""
        self.start = 0
        """Batches left out at the beginning of the epoch: `data[0]` is number `start` of it."""
        self.meter = StallMeter()
        self._depth = 0
        self._asked: set[int] = set()
        self._driven = False
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.stream.batches) - self.start

    def __getitem__(self, index: int) -> Batch:
        asked = self.meter.clock()
        with self._lock:
            self._asked.add(index)
        batch = self._batch(self.epoch, self.start + index)
        if index % _DEPTH_EVERY == 0:
            self._depth = self.stream.depth()
        self.meter.delivered(asked, self._depth)
        return batch

    def show(self, epoch: int) -> None:
        """Give the batches of training epoch `epoch` from now on."""
        with self._lock:
            self.epoch = epoch
            self._asked.clear()

    def show_next(self) -> bool:
        """Go on to the next epoch if all batches of this one were asked for; returns whether they were."""
        with self._lock:
            done = len(self._asked) >= len(self)
        if done:
            self.show(self.epoch + 1)
        return done

    def on_epoch_begin(self) -> None:
        """Keras' own hook, after the callback's. Without that, the next epoch follows when this one is done."""
        if not self._driven:
            self.show_next()
        self._driven = False

    def callback(self) -> keras.callbacks.Callback:
        """The callback that tells this sequence which epoch Keras is in, and measures what steps wait.

        For `fit(callbacks=[...])`, before those that write logs: it adds `data_wait` (seconds), `data_wait_share`
        (of the epoch, validation left out) and `queue_depth` (batches ready when a step began, on average).
        """
        return _EpochCallback(self)


class _EpochCallback(keras.callbacks.Callback):
    """Keras calls it with the true epoch before it asks for that epoch's batches.

    It has no hook at a batch's end: that would have Keras wait for the device after each step.
    """

    def __init__(self, sequence: AugmentedSequence):
        super().__init__()
        self._sequence = sequence
        self._first = True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Iterators are made anew."""
        self._first = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the batches of `epoch` from now on.

        With `steps_per_epoch`, Keras' epochs are stretches of that many steps, through which one iterator goes on:
        the next epoch of ours begins where it has come to its end.
        """
        data, steps = self._sequence, self.params["steps"]
        if steps == len(data):
            data.show(epoch)
            anew = True
        elif self._first:
            data.show(-(-epoch * min(steps, len(data)) // len(data)))
            anew = True
        else:
            anew = data.show_next()
        self._first, data._driven = False, True
        data.meter.begin_epoch(anew=anew)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A step begins."""
        self._sequence.meter.begin_step(batch)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Validation is not training."""
        self._sequence.meter.end_steps()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add what the epoch's steps waited to the logs."""
        waits = self._sequence.meter.end_epoch()
        if logs is not None:
            logs.update(waits.columns())


class EvaluationSequence(_StreamSequence):
    """The pictures of an undistorted part once, in their stored order, batch by batch."""

    def __init__(self, bank: AugmentedSet, part: str, batch_size: int = 256, *, threads: int | None = None):
        """`part` is `validation`, `test` or `train`; `EpochbankError` where it has no pictures."""
        super().__init__()
        if not bank.images[part]:
            raise EpochbankError(
                f"{bank.path} has no {part} part: it was made with --{part} 0. Make a set with one, or name another."
            )
        self.stream = Stream(bank, EvaluationBatches(part, bank.images[part], batch_size), seed=None, threads=threads)

    def __getitem__(self, index: int) -> Batch:
        return self._batch(0, index)
