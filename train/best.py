"""Keeping the best epoch's model: published whole, or not at all."""

from pathlib import Path
from typing import Any

import keras

from augment.store.atomic import new_file


class BestModel(keras.callbacks.Callback):
    """Saves the model to `path` after each epoch in which `monitor` is lower than ever before."""

    def __init__(self, path: Path, monitor: str):
        super().__init__()
        self._path, self._monitor, self._best = path, monitor, float("inf")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, if this epoch is the best."""
        value = (logs or {}).get(self._monitor, float("inf"))
        if value < self._best:
            self._best = value
            with new_file(self._path) as temporary:
                self.model.save(temporary)
