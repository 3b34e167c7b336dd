"""Training a model on a set, into a run directory."""

import math
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras

from augment.errors import EpochbankError
from train.bank import Bank
from train.batches import suitable_batch_size
from train.best import BestModel
from train.evaluate import Evaluation, evaluate_part, load_best
from train.models import build_model, compile_model
from train.run import new_run, write_json
from train.sequence import AugmentedSequence


@dataclass(frozen=True)
class FitOptions:
    """What the user may say about a training."""

    model: str = "cnn-small"
    epochs: int = 30
    batch_size: int | None = None
    """None for one that suits the size of the set."""
    mix: float = 0.5
    seed: int = 0
    learning_rate: float = 0.002
    patience: int = 10
    """Epochs without a lower validation loss after which training stops; 0 never stops early."""
    precision: str = "float32"
    """Keras' dtype policy: `float32`, `mixed_float16`, `mixed_bfloat16`."""


@dataclass(frozen=True)
class Fitted:
    """What a training left."""

    run: Path
    summary: dict[str, Any]
    history: dict[str, list[float]]
    held_out: dict[str, Evaluation]
    """By part: `test` and `validation`, where the set has them."""


def fit(bank: Bank, options: FitOptions, run: Path | None = None) -> Fitted:
    """Train on `bank` and evaluate the best epoch's model on the held-out parts.

    `EpochbankError` where options cannot be, a model does not fit, a chunk is damaged, or `run` is not
    empty. Interrupted, the run directory keeps the best model so far.
    """
    size = options.batch_size or suitable_batch_size(bank.images["train"], options.mix)
    options = replace(options, batch_size=size)
    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy(options.precision)
    model = build_model(options.model, bank.shape, len(bank.class_names))
    data = AugmentedSequence(bank, size, options.mix, options.seed)
    compile_model(model, learning_rate=options.learning_rate, steps=options.epochs * len(data))
    directory = new_run(run, bank.description.name)
    write_json(directory / "config.json", _config(bank, options, model))
    begun = time.monotonic()
    history = _train(model, data, bank, options, directory)
    seconds = time.monotonic() - begun
    load_best(model, directory)
    parts = ("test", "validation")
    held_out = {part: evaluate_part(model, bank, part, size) for part in parts if bank.images[part]}
    summary = {
        "set": {"path": str(bank.path.resolve()), "fingerprint": bank.description.fingerprint},
        **{part: held_out[part].figures() if part in held_out else None for part in parts},
        "epochs": len(history["loss"]),
        "seconds": round(seconds, 1),
        "model": options.model,
        "parameters": model.count_params(),
        "images_per_second": round(len(history["loss"]) * _images(data) / seconds),
    }
    write_json(directory / "summary.json", summary)
    return Fitted(directory, summary, history, held_out)


def _train(
    model: keras.Model, data: AugmentedSequence, bank: Bank, options: FitOptions, directory: Path
) -> dict[str, list[float]]:
    """Run Keras' `fit`; returns its history."""
    validation = bank.validation(data.stream.batches.batch_size) if bank.images["validation"] else None
    monitor = "val_loss" if validation is not None else "loss"
    metrics = keras.callbacks.CSVLogger(directory / "metrics.csv")
    callbacks = [
        data.callback(),
        BestModel(directory / "model.keras", monitor),
        keras.callbacks.TerminateOnNaN(),
        metrics,
    ]
    if options.patience:
        callbacks.append(keras.callbacks.EarlyStopping(monitor, mode="min", patience=options.patience, verbose=1))
    try:
        fitted = model.fit(
            data,
            validation_data=validation,
            epochs=options.epochs,
            shuffle=False,
            callbacks=callbacks,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_left_behind(directory)) from None
    except Exception as error:
        fault = data.fault or (validation.fault if validation is not None else None)
        if fault is None or isinstance(error, EpochbankError):
            raise
        raise fault from error
    finally:
        for sequence in (data, validation):
            if sequence is not None:
                sequence.stream.close()
        if metrics.csv_file is not None:
            metrics.csv_file.close()
    if not math.isfinite(fitted.history["loss"][-1]):
        raise EpochbankError(
            f"the loss became {fitted.history['loss'][-1]} in epoch {len(fitted.history['loss'])}: training diverged. "
            f"Train again with a lower --learning-rate (it was {options.learning_rate:g}). {_left_behind(directory)}"
        )
    return fitted.history


def _left_behind(directory: Path) -> str:
    if not (directory / "model.keras").exists():
        return f"No epoch has ended: {directory} holds no model."
    return f"The best model so far is in {directory}: `train evaluate {directory}` judges it."


def _config(bank: Bank, options: FitOptions, model: keras.Model) -> dict[str, Any]:
    return {
        "set": {"path": str(bank.path.resolve()), "fingerprint": bank.description.fingerprint},
        "stored_epochs": list(bank.epochs),
        "classes": len(bank.class_names),
        "class_names": bank.class_names,
        "shape": list(bank.shape),
        **asdict(options),
        "parameters": model.count_params(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }


def _images(data: AugmentedSequence) -> int:
    """Pictures that one epoch shows, originals included."""
    batches = data.stream.batches
    return sum(
        segment.stop - segment.start for number in range(len(batches)) for segment in batches.segments(0, number)
    )
