"""The Keras callback of an `AugmentedSequence`: it sets the epoch, and measures and reports the data wait."""

from typing import TYPE_CHECKING, Any

import keras

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ...augment.shared.workers import core_count
from ..streaming.data_wait import DataWait, ThreadTimes, advice, total_of
from ..streaming.schedule import ScheduledBatches

if TYPE_CHECKING:
    from .sequence import AugmentedSequence


class EpochCallback(keras.callbacks.Callback):
    """Set the epoch of a sequence before Keras requests its batches.

    It has no hook at the end of a batch, because that would make Keras wait for the device after each step.
    """

    def __init__(self, sequence: "AugmentedSequence", *, report: bool):
        super().__init__()
        self._sequence, self._report = sequence, report
        self._first = True
        self._earlier_epochs = 0
        self._earlier_times: ThreadTimes = sequence.stream.thread_times()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Note that Keras creates a new iterator."""
        self._first = True
        self._earlier_epochs = len(self._sequence.meter.epochs)
        self._earlier_times = self._sequence.stream.thread_times()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the batches of `epoch` from now on.

        With `steps_per_epoch`, an epoch of Keras has that many steps, and one iterator continues through several of
        them. The sequence then shows its next epoch when that iterator has reached the end of the current one.
        """
        data, steps = self._sequence, self.params["steps"]
        if isinstance(data.stream.batches, ScheduledBatches):
            data.show(epoch)
            if steps != len(data):
                raise EpochbankError(
                    f"Keras makes {steps} steps in epoch {epoch}, which has {len(data)}: with a schedule of originals, "
                    "epochs have different numbers of steps. Call `fit` once for each epoch: data.show(epoch); "
                    "model.fit(data, initial_epoch=epoch, epochs=epoch + 1, shuffle=False)."
                )
            new_iterator = True
        elif steps == len(data):
            data.show(epoch)
            new_iterator = True
        elif self._first:
            data.show(-(-epoch * min(steps, len(data)) // len(data)))
            new_iterator = True
        else:
            new_iterator = data.show_next()
        self._first = False
        data.epoch_is_set()
        data.meter.begin_epoch(new_iterator=new_iterator)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the start of a step."""
        self._sequence.meter.begin_step(batch)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Stop measuring, because validation steps are not training steps."""
        self._sequence.meter.end_steps()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the data wait of the epoch to the logs, and the stored epoch if the set is followed."""
        data_wait = self._sequence.meter.end_epoch()
        if logs is not None:
            logs.update(data_wait.columns())
            if self._sequence.stored_epochs is not None:
                logs["stored_epoch"] = self._sequence.stored_epochs[-1]

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stop the threads, free the images, and print the data wait of this `fit` in one sentence."""
        data = self._sequence
        data.close()
        if self._report and self.params.get("verbose", 0):
            data_wait: DataWait = total_of(data.meter.epochs[self._earlier_epochs :])
            times, codec = data.stream.thread_times().since(self._earlier_times), data.stream.stored_set.codec
            notify(advice(data_wait, times, codec, core_count(), threads_option="threads="))
