"""Time training steps on the two datasets of `train bench`: the stream, and one cached batch."""

import time
from typing import Any

import keras

from ..streaming.data_wait import DataWaitMeter
from ..streaming.stream import Batch, Stream


class _StepTimer(keras.callbacks.Callback):
    """Time the steps of an epoch except the first, which includes the start-up of the framework."""

    def __init__(self, meter: DataWaitMeter):
        super().__init__()
        self._meter = meter
        self._steps = 0
        self._started = 0.0
        self.seconds_per_step = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._meter.begin_epoch()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._meter.begin_step(batch)
        self._steps += 1
        if self._steps == 2:
            self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # The logs are numbers, so the device has finished all steps.
        self.seconds_per_step = (time.perf_counter() - self._started) / max(1, self._steps - 1)
        self._meter.end_epoch()


class _Steps(keras.utils.PyDataset):
    def __init__(self, steps: int):
        super().__init__()
        self._steps = steps
        self.meter = DataWaitMeter()

    def __len__(self) -> int:
        return self._steps


class StreamedSteps(_Steps):
    """The first `steps` batches of a stream of full batches, across its epochs."""

    def __init__(self, stream: Stream, steps: int):
        super().__init__(steps)
        self._stream = stream

    def __getitem__(self, index: int) -> Batch:
        asked = self.meter.clock()
        batch = self._stream.batch(*divmod(index, self._stream.batches.steps(0)))
        self.meter.delivered(asked, self._stream.depth())
        return batch


class CachedSteps(_Steps):
    """The same batch `steps` times."""

    def __init__(self, batch: Batch, steps: int):
        super().__init__(steps)
        self._batch = batch

    def __getitem__(self, index: int) -> Batch:
        return self._batch


def seconds_per_step(model: keras.Model, data: StreamedSteps | CachedSteps) -> float:
    """Train `model` on `data` for one epoch; return the mean time of its steps except the first."""
    timer = _StepTimer(data.meter)
    model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[timer])
    return timer.seconds_per_step
