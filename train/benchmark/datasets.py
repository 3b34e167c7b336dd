"""The two data sets that `train bench` lets a model train on in turn: the stream, and one batch of it."""

import time
from typing import Any

import keras

from ..streaming.data_wait import StallMeter
from ..streaming.stream import Batch, Stream


class _Timer(keras.callbacks.Callback):
    """Times an epoch's steps but the first, which waits for the framework to begin; tells the meter of each."""

    def __init__(self, meter: StallMeter):
        super().__init__()
        self._meter = meter
        self._steps = 0
        self._begun = 0.0
        self.seconds_a_step = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._meter.begin_epoch(anew=True)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._meter.begin_step(batch)
        self._steps += 1
        if self._steps == 2:
            self._begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # The logs are numbers by now: the device has done all steps.
        self.seconds_a_step = (time.perf_counter() - self._begun) / max(1, self._steps - 1)
        self._meter.end_epoch()


class _Steps(keras.utils.PyDataset):
    def __init__(self, steps: int):
        super().__init__()
        self._steps = steps
        self.meter = StallMeter()

    def __len__(self) -> int:
        return self._steps

    def timer(self) -> _Timer:
        """The callback that times an epoch."""
        return _Timer(self.meter)


class Streamed(_Steps):
    """So many full batches of a stream, on through its epochs."""

    def __init__(self, stream: Stream, steps: int):
        super().__init__(steps)
        self._stream = stream

    def __getitem__(self, index: int) -> Batch:
        asked = self.meter.clock()
        batch = self._stream.batch(*divmod(index, len(self._stream.batches)))
        self.meter.delivered(asked, self._stream.depth())
        return batch


class Cached(_Steps):
    """The same batch so many times."""

    def __init__(self, batch: Batch, steps: int):
        super().__init__(steps)
        self._batch = batch

    def __getitem__(self, index: int) -> Batch:
        return self._batch
