"""The training loop: Keras' `fit` with its callbacks, begun anew or at any batch of any epoch."""

import sys
from pathlib import Path

import keras

from ...augment.errors import EpochbankError
from ...augment.shared.atomic import new_file
from ..feeding.sequence import AugmentedSequence, EvaluationSequence
from .best_model import BestModel, StopAtNaN
from .checkpoint import NAME, Checkpoint, Rule
from .interrupt import Interruption
from .snapshot import Snapshot, build_state

METRICS = "metrics.csv"
"""The file in a run directory that has a line for each epoch."""


def train(
    model: keras.Model,
    data: AugmentedSequence,
    validation: EvaluationSequence | None,
    directory: Path,
    *,
    epochs: int,
    patience: int,
    rule: Rule,
    begin: Snapshot | None,
) -> Checkpoint:
    """Train the compiled `model` up to `epochs`, from the start or from `begin`; returns what holds the history.

    Writes `metrics.csv`, `model.keras` and checkpoints into `directory`, and closes both streams. Raises `Stopped`
    after a signal, and `EpochbankError` where a chunk is damaged, or `begin` is of another model.
    """
    monitor = "val_loss" if validation is not None else "loss"
    best = BestModel(directory / "model.keras", monitor)
    patient = keras.callbacks.EarlyStopping(monitor, mode="min", patience=patience, verbose=1)
    metrics = keras.callbacks.CSVLogger(directory / METRICS, append=begin is not None)
    with Interruption() as interruption:
        checkpoint = Checkpoint(
            directory / NAME,
            data,
            {"best": (best, ("best", "best_epoch"))}
            | ({"patience": (patient, ("wait", "best", "best_epoch", "stopped_epoch"))} if patience else {}),
            rule=rule,
            interruption=interruption,
            best_changed=lambda epoch: best.best_epoch == epoch,
            begin=begin,
        )
        callbacks = [data.callback(), best, StopAtNaN(), metrics]
        callbacks += [patient, checkpoint] if patience else [checkpoint]
        try:
            if begin is not None:
                build_state(model, model.output_shape[-1])
                begin.restore(model)
                _write_metrics(directory / METRICS, checkpoint)
            _fit(model, data, validation, checkpoint, callbacks, epochs)
        except Exception as error:
            fault = data.fault or (validation.fault if validation is not None else None)
            if fault is None or isinstance(error, EpochbankError):
                raise
            raise EpochbankError(f"{fault} Then go on with: train fit --resume {directory}") from error
        finally:
            for sequence in (data, validation):
                if sequence is not None:
                    sequence.stream.close()
            if metrics.csv_file is not None:
                metrics.csv_file.close()
    return checkpoint


def _fit(
    model: keras.Model,
    data: AugmentedSequence,
    validation: EvaluationSequence | None,
    checkpoint: Checkpoint,
    callbacks: list[keras.callbacks.Callback],
    epochs: int,
) -> None:
    """Keras' `fit`, which begins with a whole epoch only: it is called for the rest of a broken one, and then again."""
    parts = [(checkpoint.epoch, checkpoint.batch, checkpoint.epoch + 1)] if checkpoint.batch else []
    parts.append((checkpoint.epoch + len(parts), 0, epochs))
    for epoch, data.start, until in parts:
        if epoch >= until or checkpoint.ended:
            break
        data.show(epoch)
        model.fit(
            data,
            validation_data=validation,
            initial_epoch=epoch,
            epochs=until,
            shuffle=False,
            callbacks=callbacks,
            verbose=1 if sys.stdout.isatty() else 2,
        )


def _write_metrics(path: Path, checkpoint: Checkpoint) -> None:
    """Write the lines of the epochs that are done: a kill may have left more, a power cut fewer."""
    if not checkpoint.rows:
        path.unlink(missing_ok=True)
        return
    with new_file(path) as temporary:
        logger = keras.callbacks.CSVLogger(temporary)
        logger.on_train_begin()
        for row in checkpoint.rows:
            logger.on_epoch_end(row["epoch"], {name: value for name, value in row.items() if name != "epoch"})
        logger.on_train_end()
