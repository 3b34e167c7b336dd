"""Send what a training run measures to experiment trackers: TensorBoard, MLflow, Weights & Biases."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from ... import __version__
from ...augment.console import notify
from ...augment.errors import EpochbankError
from .tracker import Outcome, Settings, Tracker, without_password

_SECONDS_BETWEEN_TRIES = 600.0
"""Time after which a tracker that failed is tried again: a server that is down may cost minutes each time."""


class Trackers(keras.callbacks.Callback):
    """Send each epoch to all trackers. Without trackers, as on all ranks but 0, it does nothing.

    A tracker gets every epoch that it lacks, also those of earlier sessions. It has no hook at the end of a batch, as
    the callbacks of the packages have: that would make Keras wait for the device after each step.
    """

    def __init__(self, trackers: dict[str, Tracker] | None = None, rows: Sequence[Mapping[str, Any]] = ()):
        """`rows` are the logs of the epochs of earlier sessions."""
        super().__init__()
        self._trackers = {} if trackers is None else trackers
        self._rows = [{name: value for name, value in row.items() if name != "epoch"} for row in rows]
        self._next_try = dict.fromkeys(self._trackers, 0.0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Send the epoch, with the learning rate at its end."""
        if not self._trackers:
            return
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self._rows.append({**(logs or {}), "learning_rate": rate})
        for name in self._trackers:
            if time.monotonic() >= self._next_try[name]:
                self._send(name)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Send the results in `summary`, the contents of summary.json, and what a tracker lacks."""
        for name in self._trackers:
            self._send(name, results_of(summary))
        _close(self._trackers, "finished")

    def _send(self, name: str, results: Mapping[str, float] | None = None) -> None:
        """Send the epochs that a tracker lacks, and the results; print a message if that fails.

        A tracker that fails does not end the training: an epoch that could not be sent is sent later.
        """
        tracker = self._trackers[name]
        try:
            for epoch, metrics in enumerate(self._rows[tracker.epochs :], tracker.epochs):
                tracker.log_epoch(epoch, metrics)
                tracker.epochs = epoch + 1
            if results is not None:
                tracker.log_results(len(self._rows), results)
        except Exception as error:  # Packages and servers fail with exceptions of many types.
            self._next_try[name] = time.monotonic() + _SECONDS_BETWEEN_TRIES
            later = (
                f"Training continues, and tries again after {_SECONDS_BETWEEN_TRIES / 60:.0f} minutes."
                if results is None
                else "The run directory has everything, in metrics.csv and summary.json."
            )
            lacks = "the results" if tracker.epochs == len(self._rows) else f"epoch {tracker.epochs + 1} and later ones"
            notify(f"{name} did not receive {lacks} ({_reason(error)}). {later}")


@contextmanager
def tracking(
    names: Sequence[str], run: Path, config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> Iterator[Trackers]:
    """Open a run in each of the trackers `names`, or continue that of an earlier session; close it at the end.

    Parameters
    ----------
    names
        Names of trackers, whose packages are installed.
    run
        The run directory.
    config
        The contents of its config.json.
    rows
        The logs of the epochs that the checkpoint has, from which the training resumes.

    Raises
    ------
    EpochbankError
        If a tracker cannot be used: its server does not answer, or no longer has the run.
    """
    trackers: dict[str, Tracker] = {}
    outcome: Outcome = "failed"
    try:
        for name in names:
            trackers[name] = _open(name, run, settings_of(config), len(rows))
            notify(f"{name}: {trackers[name].place}")
        yield Trackers(trackers, rows)
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        _close(trackers, outcome)


def _open(name: str, run: Path, settings: Settings, resumed: int) -> Tracker:
    from .tracker_runs import OPEN

    try:
        return OPEN[name](run, settings, resumed)
    except EpochbankError:
        raise
    except Exception as error:  # Packages and servers fail with exceptions of many types.
        raise EpochbankError(
            f"{name} cannot log {run}: {_reason(error)}. Fix the problem, then run: train fit --resume {run}; "
            "with --log none, it trains without a tracker."
        ) from error


def _close(trackers: dict[str, Tracker], outcome: Outcome) -> None:
    """End the runs, or this session of them, and empty `trackers`."""
    while trackers:
        name, tracker = trackers.popitem()
        try:
            tracker.close(outcome)
        except Exception as error:  # Packages and servers fail with exceptions of many types.
            notify(f"{name}: the run could not be closed ({_reason(error)}).")


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Return what identifies a run, from its config.json: the set, its fingerprint, and all options that are set."""
    named = config["set"]
    settings: dict[str, Any] = {
        "epochbank": __version__,
        "set": named.get("url", named["path"]),
        "fingerprint": named["fingerprint"],
        **{name: value for name, value in config.items() if name not in ("set", "class_names", "log")},
        "stored_epochs": len(config["stored_epochs"]),
    }
    return {name: _simple(value) for name, value in settings.items() if value is not None}


def results_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the results in summary.json: accuracy and loss on both splits, seconds, and images per second."""
    results = {
        f"{split}_{name}": summary[split][name]
        for split in ("test", "validation")
        if summary[split]
        for name in ("accuracy", "loss")
    }
    return {**results, "seconds": summary["seconds"], "images_per_second": summary["images_per_second"]}


def _simple(value: Any) -> str | int | float | bool:
    """Return a value that every tracker takes; a path may have bytes that are not in UTF-8."""
    if isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _reason(error: Exception) -> str:
    """Return the first line of an error of a package, or its type."""
    lines = without_password(str(error)).strip().splitlines()
    return (lines[0][:300] if lines else type(error).__name__).rstrip(".")
