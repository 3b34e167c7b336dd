"""Checkpoints: now and then, the state of a training in one file, from which it goes on at the same batch."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from ..feeding.sequence import AugmentedSequence
from .interrupt import Interruption, Stopped
from .snapshot import Snapshot, write_snapshot

NAME = "checkpoint.npz"
"""The checkpoint's file in a run directory; gone once the run is finished."""

Kept = Mapping[str, tuple[Any, tuple[str, ...]]]
"""By name: an object that changes when an epoch ends, and which of its attributes (JSON) are its state."""


@dataclass(frozen=True)
class Rule:
    """When a checkpoint is due: so many steps or minutes after the last one, whichever comes first."""

    steps: int | None = None
    """None: whatever their number."""
    minutes: float = 5.0
    """0: however long it takes."""

    def due(self, steps: int, seconds: float) -> bool:
        """Whether one is due, `steps` and `seconds` after the last one."""
        return (self.steps is not None and steps >= self.steps) or (0 < 60 * self.minutes <= seconds)


class Checkpoint(keras.callbacks.Callback):
    """Writes checkpoints, and begins with what is in one. The last callback in the list: it wants whole logs.

    Checkpoints are taken before a step and after an epoch. A hook at a step's end would have Keras wait for the
    device after each step.
    """

    def __init__(
        self,
        path: Path,
        data: AugmentedSequence,
        kept: Kept,
        *,
        rule: Rule,
        interruption: Interruption,
        best_changed: Callable[[int], bool] = lambda epoch: False,
        begin: Snapshot | None = None,
    ):
        """`begin`: go on from there, in epoch `self.epoch` with batch `self.batch`.

        A checkpoint also follows an epoch of which `best_changed` holds, so that no file is ahead of it for long.
        """
        super().__init__()
        state = begin.state if begin is not None else {}
        self.epoch: int = state.get("epoch", 0)
        """The epoch that training is in."""
        self.batch: int = state.get("batch", 0)
        """Batches of it that were done when this sitting began."""
        self.ended: bool = state.get("ended", False)
        """Whether training was ended before all epochs were done."""
        self.rows: list[dict[str, Any]] = list(state.get("rows", ()))
        """The logs of each epoch that is done."""
        self._path, self._data, self._kept, self._begin = path, data, kept, begin
        self._rule, self._interruption, self._best_changed = rule, interruption, best_changed
        self._values: dict[str, dict[str, Any]] | None = state.get("kept")
        self._seconds: float = state.get("seconds", 0.0)
        self._clock = self._written = time.monotonic()
        self._steps = 0

    @property
    def seconds(self) -> float:
        """Trained so far, in all sittings; what a kill undid does not count."""
        return self._seconds + time.monotonic() - self._clock

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Give back their state to callbacks that have just forgotten it, as they do when Keras' `fit` begins."""
        for name, values in (self._values or {}).items():
            for attribute, value in values.items():
                setattr(self._kept[name][0], attribute, value)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Go on with the metrics of the epoch that was broken off; Keras has just reset them."""
        self.epoch = epoch
        if self._begin is not None and self.batch:
            self._begin.restore_metrics(self.model)
        self._begin, self.batch = None, 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a checkpoint, if it is due; stop, if that was asked for."""
        if batch == 0:
            return
        self._steps += 1
        if self._due():
            self._write(self.epoch, self._data.start + batch, float(self.model.get_metrics_result().get("loss", 0.0)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the epoch's logs; write a checkpoint, if it is due; stop, if that was asked for."""
        self._steps += 1
        self.rows.append({"epoch": epoch, **(logs or {})})
        self._values = {name: {at: getattr(held, at) for at in names} for name, (held, names) in self._kept.items()}
        self.ended = bool(self.model.stop_training)
        if self._due() or self._best_changed(epoch):
            self._write(epoch + 1, 0, (logs or {}).get("loss", 0.0))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stop, if that was asked for since the last epoch ended."""
        if self._interruption.signal is not None:
            self._write(self.epoch + 1, 0, (logs or {}).get("loss", 0.0))

    def history(self) -> dict[str, list[float]]:
        """The logs of all epochs, by name, as Keras' `History` has them."""
        names = [name for name in self.rows[0] if name != "epoch"] if self.rows else []
        return {name: [row.get(name, math.nan) for row in self.rows] for name in names}

    def _due(self) -> bool:
        asked = self._interruption.signal is not None
        return asked or self._rule.due(self._steps, time.monotonic() - self._written)

    def _write(self, epoch: int, batch: int, loss: float) -> None:
        """Write one, which goes on with `batch` of `epoch`; stop, if that was asked for."""
        if math.isfinite(loss):  # Else whoever goes on should go on from before that.
            state = {
                "epoch": epoch,
                "batch": batch,
                "ended": self.ended,
                "seconds": self.seconds,
                "rows": self.rows,
                "kept": self._values,
            }
            write_snapshot(self._path, self.model, state)
        self._steps, self._written = 0, time.monotonic()
        if self._interruption.signal is not None:
            raise Stopped("", self._interruption.signal)
