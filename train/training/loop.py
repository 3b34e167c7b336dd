"""The training loop: Keras' `fit` with its callbacks, from the beginning or from a checkpoint."""

from itertools import groupby
from pathlib import Path
from typing import Any

import keras

from ...augment.errors import EpochbankError
from ...augment.shared.atomic import naming, new_file
from ..feeding.sequence import AugmentedSequence, EvaluationSequence
from .best_model import BestModel, StopAtNaN
from .checkpoint import Checkpoint, CheckpointInterval
from .epoch_lines import EpochLines
from .history import METRICS_FILE
from .interrupt import Interruption
from .ranks import Ranks
from .run_directory import CHECKPOINT_FILE
from .snapshot import Snapshot, build_state
from .torch_ranks import TorchRanks, average_gradients, share_variables
from .trackers import Trackers


class MetricsFile(keras.callbacks.CSVLogger):
    """Keras' CSV logger; its errors name the file, and `close` closes it also after an exception."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the file, and check whether it has a header; a later call of `fit` appends."""
        with naming(self.filename):
            super().on_train_begin(logs)
        self.append = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the row of the epoch."""
        with naming(self.filename):
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file if it is open."""
        if self.csv_file is not None:
            with naming(self.filename):
                self.csv_file.close()
        self.writer = None


def train(
    model: keras.Model,
    data: AugmentedSequence,
    validation: EvaluationSequence | None,
    directory: Path,
    *,
    epochs: int,
    patience: int,
    interval: CheckpointInterval,
    resume_from: Snapshot | None,
    ranks: Ranks,
    trackers: Trackers,
) -> Checkpoint:
    """Train the compiled `model` for up to `epochs` epochs, and return the checkpoint callback, which has the history.

    Writes `metrics.csv`, `model.keras` and checkpoints into `directory`, and closes both streams. Of several `ranks`,
    only rank 0 writes, prints and uses `trackers`. Raises `Stopped` after a signal, and `EpochbankError` if a chunk is
    damaged or `resume_from` belongs to another model.
    """
    logger = MetricsFile(directory / METRICS_FILE, append=resume_from is not None)
    with Interruption() as interruption:
        checkpoint = Checkpoint(
            directory / CHECKPOINT_FILE,
            data,
            interval=interval,
            interruption=interruption,
            best_changed=lambda epoch: best.epoch == epoch,
            resume_from=resume_from,
            ranks=ranks,
        )
        best = BestModel(directory / "model.keras", patience, checkpoint.rows, ranks)
        lines = EpochLines(epochs, data.stream.batches.steps)
        together = [TorchRanks(ranks, data, validation)] if ranks.on_torch else []
        callbacks = [*together, data.callback(report=False), StopAtNaN(ranks)]
        callbacks += [logger, lines, trackers] if ranks.leads else []
        callbacks += [best, checkpoint]
        try:
            if resume_from is not None:
                build_state(model, model.output_shape[-1])
                resume_from.restore(model)
                if ranks.leads:
                    _rewrite_metrics(directory / METRICS_FILE, checkpoint)
            if ranks.on_torch:
                average_gradients(model)
                share_variables(model)
            lines.first_step = checkpoint.batch
            _fit(model, data, validation, checkpoint, callbacks, epochs)
        except Exception as error:
            fault = data.fault or (validation.fault if validation is not None else None)
            if fault is not None:
                checkpoint.save_epochs()
            if fault is None or isinstance(error, EpochbankError):
                raise
            raise EpochbankError(f"{fault} Then resume with: train fit --resume {directory}") from error
        finally:
            lines.close()
            for sequence in (data, validation):
                if sequence is not None:
                    sequence.stream.close()
            logger.close()
    return checkpoint


def _fit(
    model: keras.Model,
    data: AugmentedSequence,
    validation: EvaluationSequence | None,
    checkpoint: Checkpoint,
    callbacks: list[keras.callbacks.Callback],
    epochs: int,
) -> None:
    """Call Keras' `fit`, once for each run of epochs with the same number of steps.

    It can only start with a whole epoch, so the rest of an interrupted one is a separate call.
    """
    calls = [(checkpoint.epoch, checkpoint.batch, checkpoint.epoch + 1)] if checkpoint.batch else []
    for _, run in groupby(range(checkpoint.epoch + len(calls), epochs), key=data.stream.batches.steps):
        first, *more = run
        calls.append((first, 0, first + 1 + len(more)))
    for epoch, data.start, stop in calls:
        if checkpoint.ended:
            break
        data.show(epoch)
        model.fit(
            data,
            validation_data=validation,
            initial_epoch=epoch,
            epochs=stop,
            shuffle=False,
            callbacks=callbacks,
            verbose=0,
        )


def _rewrite_metrics(path: Path, checkpoint: Checkpoint) -> None:
    """Write the rows of the completed epochs: a kill may have left too many, and a power cut too few."""
    if not checkpoint.rows:
        path.unlink(missing_ok=True)
        return
    with new_file(path) as temporary:
        logger = MetricsFile(temporary)
        logger.on_train_begin()
        for row in checkpoint.rows:
            logger.on_epoch_end(row["epoch"], {name: value for name, value in row.items() if name != "epoch"})
        logger.on_train_end()
