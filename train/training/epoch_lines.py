"""One line for each epoch of training, in at most 100 columns, and a bar.

On a terminal the bar is that of the epoch; in a notebook, where each bar would stay in the output, that of the run.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from ...augment.shared.notebook import in_notebook
from ...augment.shared.progress import Progress, duration
from ...augment.shared.streams import is_terminal

_SECONDS_BETWEEN_UPDATES = 0.1


class EpochLines(keras.callbacks.Callback):
    """Print the metrics of each epoch to standard output. A resumed run counts its epochs as the first session did."""

    def __init__(self, epochs: int, steps: Callable[[int], int]):
        """`epochs` is the number of epochs of the whole run, and `steps` returns the number of steps in one."""
        super().__init__()
        self.first_step = 0
        """Steps of the first epoch that an earlier session has made."""
        self._epochs, self._steps = epochs, steps
        self._of_run = in_notebook()
        self._bar: Progress | None = None
        self._label = ""
        self._started = self._shown_at = 0.0
        self._shown = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock, and the bar."""
        self._started = self._shown_at = time.monotonic()
        self._shown = 0
        label = f"epoch {epoch + 1}/{self._epochs}"
        if self._of_run and self._bar is None:
            steps = sum(map(self._steps, range(epoch, self._epochs))) - self.first_step
            self._bar = Progress("training", steps, "steps").__enter__()
        elif is_terminal() and not self._of_run:
            self._bar = Progress(label, self._steps(epoch) - self.first_step, "steps").__enter__()
        self._label = label

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar, a few times per second."""
        if self._bar is not None and time.monotonic() - self._shown_at > _SECONDS_BETWEEN_UPDATES:
            self._bar.advance(batch - self._shown, self._label)
            self._shown, self._shown_at = batch, time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the line."""
        if self._bar is not None:
            self._bar.advance(self._steps(epoch) - self.first_step - self._shown, self._label)
        if not self._of_run:
            self.close()
        self.first_step = 0
        print(epoch_line(epoch, self._epochs, logs or {}, time.monotonic() - self._started), flush=True)

    def close(self) -> None:
        """End the bar; also after an exception, in the middle of an epoch."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None


def epoch_line(epoch: int, epochs: int, logs: Mapping[str, float], seconds: float) -> str:
    """Return the line of epoch `epoch`, counted from 0, of `epochs`: loss, accuracy, and seconds with validation."""
    parts = []
    for prefix, name in (("", ""), ("val_", "val ")):
        if f"{prefix}loss" in logs:
            parts.append(f"{name}loss {logs[f'{prefix}loss']:.4f}")
        if f"{prefix}accuracy" in logs:
            parts.append(f"{name}accuracy {100 * logs[f'{prefix}accuracy']:.2f} %")
    return f"epoch {epoch + 1}/{epochs}: {', '.join([*parts, duration(seconds)])}"
