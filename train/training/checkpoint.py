"""Checkpoints: the state of a training run in one file, from which it resumes at the same batch."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from ...augment.errors import EpochbankError
from ..feeding.sequence import AugmentedSequence
from .backend import random_state, restore_random_state
from .interrupt import Interruption, Stopped
from .ranks import Ranks
from .snapshot import Snapshot, write_snapshot

_STEPS_TO_AGREE = 10
"""Number of steps between agreements of all ranks on whether to write a checkpoint, or to stop."""


@dataclass(frozen=True)
class CheckpointInterval:
    """Steps and minutes after which a checkpoint is due; one of the two is enough."""

    steps: int | None = None
    """None disables step-based checkpoints."""
    minutes: float = 5.0
    """0 disables time-based checkpoints."""

    def is_over(self, steps: int, seconds: float) -> bool:
        """Return whether a checkpoint is due, `steps` and `seconds` after the last one."""
        return (self.steps is not None and steps >= self.steps) or (0 < 60 * self.minutes <= seconds)


class Checkpoint(keras.callbacks.Callback):
    """Write checkpoints, and restore the checkpoint that training resumes from.

    It must be the last callback in the list, because it saves the complete logs. Checkpoints are taken before a step
    and after an epoch: a hook at the end of a step would make Keras wait for the device after each step.
    """

    def __init__(
        self,
        path: Path,
        data: AugmentedSequence,
        *,
        interval: CheckpointInterval,
        interruption: Interruption,
        best_changed: Callable[[int], bool] = lambda epoch: False,
        resume_from: Snapshot | None = None,
        ranks: Ranks | None = None,
    ):
        """With `resume_from`, training resumes in epoch `self.epoch` at batch `self.batch`.

        A checkpoint also follows each epoch for which `best_changed(epoch)` is true, so that the best model is not
        newer than the checkpoint for long. Rank 0 of `ranks` writes the file; all of them agree on the steps at which
        it is written, and at which they stop after a signal to one of them.
        """
        super().__init__()
        state = resume_from.state if resume_from is not None else {}
        self.epoch: int = state.get("epoch", 0)
        """The current epoch."""
        self.batch: int = state.get("batch", 0)
        """Batches of the current epoch that an earlier session completed."""
        self.ended: bool = state.get("ended", False)
        """Whether training stopped before the last epoch."""
        self.rows: list[dict[str, Any]] = list(state.get("rows", ()))
        """The logs of each completed epoch."""
        self._path, self._data, self._resume_from = path, data, resume_from
        self._interval, self._interruption, self._best_changed = interval, interruption, best_changed
        self._ranks = ranks or Ranks()
        self._earlier_seconds: float = state.get("seconds", 0.0)
        self._started = self._written = time.monotonic()
        self._steps = 0
        self._between_epochs = False
        self._own: list[dict[str, Any]] = [{"random": []}]

    @property
    def seconds(self) -> float:
        """Training time of all sessions; work that a kill discarded does not count."""
        return self._earlier_seconds + time.monotonic() - self._started

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restore the metrics of an interrupted epoch, which Keras has just reset, or the random state of a whole one.

        That of an interrupted epoch is restored at its first step: on torch, Keras draws when it begins to iterate.
        """
        self.epoch = epoch
        if self._resume_from is not None and self.batch:
            self._resume_from.restore_metrics(self.model)
            values = _own_state(self._resume_from, self._ranks.rank).get("metrics", [])
            for variable, value in zip(self.model.metrics_variables, values, strict=False):
                variable.assign(value)
        else:
            self._restore_random_state()
        self.batch = 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a checkpoint if it is due; stop after a signal."""
        self._between_epochs = False
        if batch == 0:
            self._restore_random_state()
            return
        self._steps += 1
        if self._is_due(agree=batch % _STEPS_TO_AGREE == 0):
            loss = float(self.model.get_metrics_result().get("loss", 0.0))
            self._write(self.epoch, self._data.start + batch, loss, self._own_states())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the logs of the epoch; write a checkpoint if it is due; stop after a signal."""
        self._steps += 1
        self.rows.append({"epoch": epoch, **(logs or {})})
        self.ended = bool(self.model.stop_training)
        self._between_epochs, self._own = True, self._own_states()
        if self._is_due() or self._best_changed(epoch):
            self._write(epoch + 1, 0, (logs or {}).get("loss", 0.0), self._own)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stop if a signal came after the end of the last epoch."""
        if self._agreed_signal() is not None:
            self._write(self.epoch + 1, 0, (logs or {}).get("loss", 0.0), self._own)

    def save_epochs(self) -> None:
        """Write a checkpoint if the next epoch could not begin, so that no completed epoch is lost."""
        if self._between_epochs:
            self._write(len(self.rows), 0, self.rows[-1].get("loss", 0.0), self._own)

    def history(self) -> dict[str, list[float]]:
        """Return the logs of all epochs by name, as Keras' `History` does."""
        names = [name for name in self.rows[0] if name != "epoch"] if self.rows else []
        return {name: [row.get(name, math.nan) for row in self.rows] for name in names}

    def _restore_random_state(self) -> None:
        """Restore the random numbers of the checkpoint, once."""
        if self._resume_from is None:
            return
        snapshot, self._resume_from = self._resume_from, None
        own = _own_state(snapshot, self._ranks.rank)
        try:
            restore_random_state(own.get("random", []))
        except (ValueError, RuntimeError) as error:
            raise EpochbankError(
                f"{snapshot.path} is damaged: its random state is wrong ({error}). Remove it to restart the run from "
                "its first epoch, or start a new run in another --run directory."
            ) from error

    def _own_states(self) -> list[dict[str, Any]]:
        """Return the state that differs between ranks, for all ranks: random state, and metrics on torch."""
        own: dict[str, Any] = {"random": random_state()}
        if self._ranks.on_torch:
            own["metrics"] = [keras.ops.convert_to_numpy(one).tolist() for one in self.model.metrics_variables]
        return self._ranks.gather(own)

    def _is_due(self, *, agree: bool = True) -> bool:
        """Return whether a checkpoint is due, which all ranks agree on; by time, or after a signal, if `agree`."""
        over = self._interval.is_over(self._steps, time.monotonic() - self._written)
        if not self._ranks.several:
            return over or self._interruption.signal is not None
        if not agree:
            return self._interval.is_over(self._steps, 0.0)
        return any((self._agreed_signal() is not None, self._ranks.any(over)))

    def _agreed_signal(self) -> int | None:
        """Return the signal that any rank has received, the same on all ranks; None if there is none."""
        signals = [one for one in self._ranks.gather(self._interruption.signal) if one is not None]
        if signals:
            self._ranks.stopping = True
            self._interruption.signal = signals[0]
        return self._interruption.signal

    def _write(self, epoch: int, batch: int, loss: float, own: list[dict[str, Any]]) -> None:
        """Write a checkpoint that resumes at `batch` of `epoch`, with the `own` states of all ranks.

        Stop after a signal.
        """
        if math.isfinite(loss) and self._ranks.leads:  # Otherwise keep the checkpoint from before the divergence.
            state = {
                "epoch": epoch,
                "batch": batch,
                "ended": self.ended,
                "seconds": self.seconds,
                "rows": self.rows,
                "random": own[0]["random"],
            }
            if own[1:]:
                state["others"] = own[1:]
            if self._data.stored_epochs is not None:
                state["stored_epochs"] = self._data.stored_epochs[: epoch + (batch > 0)]
            write_snapshot(self._path, self.model, state)
        self._steps, self._written = 0, time.monotonic()
        if self._interruption.signal is not None and (self._ranks.stopping or not self._ranks.several):
            raise Stopped("", self._interruption.signal)


def _own_state(snapshot: Snapshot, rank: int) -> dict[str, Any]:
    others = snapshot.state.get("others", [])
    return {"random": snapshot.state.get("random", [])} if rank == 0 else (others[rank - 1 : rank] or [{}])[0]
