"""Run `train` as one rank and record what it read; optionally send it a signal. Tests run this in separate processes.

    python ranks_fit.py RECORD EPOCH:STEP SIGNAL fit ...

At the end of the training, RECORD (JSON) has the numbers of the images that each epoch showed this rank, and a digest
of the weights. SIGNAL 0 is none; otherwise the process sends it to itself before the step.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import keras

from conftest import numbers
from epochbank.train.cli import main
from epochbank.train.streaming.batches import TrainingBatches
from epochbank.train.streaming.stream import Stream
from epochbank.train.training.checkpoint import Checkpoint

record, where, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
read: dict[int, dict[int, list[int]]] = {}
batch_of, begin_step, end_training = Stream.batch, Checkpoint.on_train_batch_begin, Checkpoint.on_train_end


def recorded(self: Stream, epoch: int, index: int) -> Any:
    batch = batch_of(self, epoch, index)
    if isinstance(self.batches, TrainingBatches):
        read.setdefault(epoch, {})[index] = numbers(batch[0]).tolist()
    return batch


def signaled(self: Checkpoint, batch: int, logs: dict[str, Any] | None = None) -> None:
    begin_step(self, batch, logs)
    if number and where == f"{self.epoch}:{self._data.start + batch}":
        os.kill(os.getpid(), number)


def written(self: Checkpoint, logs: dict[str, Any] | None = None) -> None:
    end_training(self, logs)
    weights = hashlib.sha256()
    for variable in self.model.trainable_variables:
        weights.update(keras.ops.convert_to_numpy(variable).tobytes())
    epochs = {epoch: [one for index in sorted(found) for one in found[index]] for epoch, found in read.items()}
    record.write_text(json.dumps({"read": epochs, "weights": weights.hexdigest()}))


Stream.batch, Checkpoint.on_train_batch_begin = recorded, signaled  # type: ignore[method-assign]
Checkpoint.on_train_end = written  # type: ignore[method-assign]
main(sys.argv[4:])
