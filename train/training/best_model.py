"""Keeping the best epoch's model, published whole or not at all; and ending what leads to none."""

import math
from pathlib import Path
from typing import Any

import keras

from ...augment.shared.atomic import new_file


class BestModel(keras.callbacks.Callback):
    """Saves the model to `path` after each epoch in which `monitor` is lower than ever before."""

    def __init__(self, path: Path, monitor: str):
        super().__init__()
        self._path, self._monitor = path, monitor
        self.best = float("inf")
        """The lowest value so far."""
        self.best_epoch = -1
        """The epoch that it is of; -1 before there is one."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, if this epoch is the best."""
        value = (logs or {}).get(self._monitor, float("inf"))
        if value < self.best:
            with new_file(self._path) as temporary:
                self.model.save(temporary)
            self.best, self.best_epoch = value, epoch


class StopAtNaN(keras.callbacks.Callback):
    """Ends a training whose loss is no number any more.

    Looked at now and then only: Keras' own `TerminateOnNaN` waits for the device after each step.
    """

    _EVERY = 100

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the mean loss of the epoch so far."""
        if batch and batch % self._EVERY == 0:
            self._look(self.model.get_metrics_result())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the epoch's loss."""
        self._look(logs or {})

    def _look(self, logs: dict[str, Any]) -> None:
        if not math.isfinite(float(logs.get("loss", 0.0))):
            self.model.stop_training = True
