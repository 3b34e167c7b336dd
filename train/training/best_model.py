"""Callbacks that keep the best model, and stop a training run that no longer improves or diverges."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import keras

from ...augment.shared.atomic import new_file
from .history import WORST, best_epoch, quality
from .ranks import Ranks, without_distribution


class BestModel(keras.callbacks.Callback):
    """Save the model to `path` after each epoch that is better than all before; see `history.best_epoch`.

    Training stops after `patience` epochs that are not better, if it is not 0. The file is replaced atomically. Rank 0
    of `ranks` saves it.
    """

    def __init__(self, path: Path, patience: int, rows: Sequence[Mapping[str, float]], ranks: Ranks):
        """`rows` are the logs of the epochs of earlier sessions."""
        super().__init__()
        self._path, self._patience, self._ranks = path, patience, ranks
        self.epoch = best_epoch(rows)
        """The best epoch so far; None before the first."""
        self._best = WORST if self.epoch is None else quality(rows[self.epoch])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save the model if this epoch is the best; stop training if the best one is too long ago."""
        found = quality(logs or {})
        if found > self._best:
            if self._ranks.leads:
                with new_file(self._path) as temporary, without_distribution():
                    self.model.save(temporary)
            self._best, self.epoch = found, epoch
        elif self._patience and epoch - (-1 if self.epoch is None else self.epoch) >= self._patience:
            self.model.stop_training = True
            if self._ranks.leads and self.epoch is not None:
                click.echo(f"Stopped after {self._patience} epochs without a better one than epoch {self.epoch + 1}.")


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
