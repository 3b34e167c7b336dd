"""Callbacks that keep the best model and stop a training run that diverges."""

import math
from pathlib import Path
from typing import Any

import keras

from ...augment.shared.atomic import new_file
from .ranks import Ranks, without_distribution


class BestModel(keras.callbacks.Callback):
    """Save the model to `path` after each epoch in which `monitor` reaches a new minimum.

    The file is replaced atomically. Rank 0 of `ranks` saves it.
    """

    def __init__(self, path: Path, monitor: str, ranks: Ranks):
        super().__init__()
        self._path, self._monitor, self._ranks = path, monitor, ranks
        self.best = float("inf")
        """The lowest value so far."""
        self.best_epoch = -1
        """Epoch of the lowest value; -1 before the first."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save the model if this epoch is the best."""
        value = (logs or {}).get(self._monitor, float("inf"))
        if value < self.best:
            if self._ranks.leads:
                with new_file(self._path) as temporary, without_distribution():
                    self.model.save(temporary)
            self.best, self.best_epoch = value, epoch


class StopAtNaN(keras.callbacks.Callback):
    """Stop training when the loss is not finite, on all ranks.

    It checks every 100 steps only: Keras' `TerminateOnNaN` waits for the device after each step.
    """

    _EVERY = 100

    def __init__(self, ranks: Ranks):
        super().__init__()
        self._ranks = ranks

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the mean loss of the epoch so far."""
        if batch and batch % self._EVERY == 0:
            self._check(self.model.get_metrics_result())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the loss of the epoch."""
        self._check(logs or {})

    def _check(self, logs: dict[str, Any]) -> None:
        if self._ranks.any(not math.isfinite(float(logs.get("loss", 0.0)))):
            self.model.stop_training = True
