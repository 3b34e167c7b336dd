"""What Keras is given: `PyDataset`s over a stream. They run on every backend, with threads of our own.

Keras' own workers are left alone (`workers=1`): they rebuild their pool every epoch and may deliver
batches of an epoch that was broken off. A Keras callback tells the true epoch.
"""

from typing import Any

import keras

from augment.errors import EpochbankError
from train.bank import Bank
from train.batches import EvaluationBatches, TrainingBatches
from train.stream import Batch, Stream


class _StreamSequence(keras.utils.PyDataset):
    """Batches of a stream, and the fault that broke it off."""

    stream: Stream
    fault: EpochbankError | None = None
    """Some backends wrap an exception of `data[i]` beyond recognition: here it is itself."""

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
        bank: Bank,
        batch_size: int = 256,
        mix: float = 0.5,
        seed: int = 0,
        *,
        threads: int | None = None,
        **keras_options: Any,
    ):
        """`mix` is the share of originals in a batch, 0 to 1; `keras_options` are those of `PyDataset`.

        Raises `EpochbankError` for a batch size or mix that cannot be.
        """
        super().__init__(**keras_options)
        batches = TrainingBatches(bank.images["train"], bank.epochs, batch_size, mix)
        self.stream = Stream(bank, batches, seed=seed, threads=threads)
        self.epoch = 0
        """The training epoch whose batches `data[i]` gives; set by the callback."""
        self._driven = False
        self._begun = 0

    def __getitem__(self, index: int) -> Batch:
        return self._batch(self.epoch, index)

    def on_epoch_begin(self) -> None:
        """Keras' own hook. Without the callback, each beginning is taken for the next epoch."""
        if not self._driven:
            self.epoch, self._begun = self._begun, self._begun + 1

    def callback(self) -> keras.callbacks.Callback:
        """The callback that tells this sequence which epoch Keras is in; for `fit(callbacks=[...])`."""
        return _EpochCallback(self)


class _EpochCallback(keras.callbacks.Callback):
    """Keras calls it with the true epoch before it asks for that epoch's batches."""

    def __init__(self, sequence: AugmentedSequence):
        super().__init__()
        self._sequence = sequence

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """From now on this callback alone says which epoch it is."""
        self._sequence._driven = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the batches of `epoch` from now on."""
        self._sequence.epoch = epoch


class EvaluationSequence(_StreamSequence):
    """The pictures of an undistorted part once, in their stored order, batch by batch."""

    def __init__(self, bank: Bank, part: str, batch_size: int = 256, *, threads: int | None = None):
        """`part` is `validation`, `test` or `train`; `EpochbankError` where it has no pictures."""
        super().__init__()
        if not bank.images[part]:
            raise EpochbankError(
                f"{bank.path} has no {part} part: it was made with --{part} 0. Make a set with one, or name another."
            )
        self.stream = Stream(bank, EvaluationBatches(part, bank.images[part], batch_size), seed=None, threads=threads)

    def __getitem__(self, index: int) -> Batch:
        return self._batch(0, index)
