"""Training a model on a set, into a run directory; begun anew, or gone on with."""

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import keras

from ...augment.console import say
from ...augment.errors import EpochbankError
from ...augment.shared.atomic import sweep
from ...augment.shared.lock import writing
from ..feeding.augmented_set import AugmentedSet
from ..feeding.sequence import AugmentedSequence
from ..streaming.batches import TrainingBatches, suitable_batch_size
from ..streaming.data_wait import advice
from ..streaming.stream import cores
from .backend import compute_deterministically
from .checkpoint import NAME, Rule
from .evaluate import Evaluation, evaluate_part, load_best
from .fit_options import FitOptions, options_of
from .interrupt import Stopped
from .loop import train
from .models import build_model, compile_model
from .run_directory import find_unfinished, new_run, open_set_of, with_epochs, write_json
from .snapshot import Snapshot, read_snapshot


@dataclass(frozen=True)
class Fitted:
    """What a training left."""

    run: Path
    summary: dict[str, Any]
    history: dict[str, list[float]]
    held_out: dict[str, Evaluation]
    """By part: `test` and `validation`, where the set has them."""
    advice: str
    """What steps waited for data, and what to do about it: one sentence."""
    bank: AugmentedSet
    """What it was trained on."""


def fit(bank: AugmentedSet, options: FitOptions, run: Path | None = None) -> Fitted:
    """Train on `bank` and evaluate the best epoch's model on the held-out parts.

    `EpochbankError` where options cannot be, a model does not fit, a chunk is damaged, or `run` is not empty.
    Interrupted (`Stopped`, or `KeyboardInterrupt`), the run directory keeps the best model and a checkpoint.
    """
    size = options.batch_size or suitable_batch_size(bank.images["train"], options.mix)
    options = replace(options, batch_size=size)
    model, data = _prepare(bank, options)
    directory = new_run(run, bank.description.name)
    with _held(directory):
        write_json(directory / "config.json", _config(bank, options, model))
        return _run(model, data, options, directory, None)


def resume(run: Path, **changes: Any) -> Fitted:
    """Go on with an unfinished run at the batch where its last checkpoint was taken, or from its beginning.

    `changes`: fields of `FitOptions` that have nothing to do with what is computed. `EpochbankError` where `run` is
    none, or finished, its set or checkpoint is damaged or gone, or its model another one by now.
    """
    config = find_unfinished(run)
    with _held(run):
        sweep(run)
        options = replace(options_of(run, config), **changes)
        _refuse_other_backend(run, config)
        bank = with_epochs(open_set_of(run, config), config["stored_epochs"])
        begin = read_snapshot(run / NAME) if (run / NAME).exists() else None
        model, data = _prepare(bank, options)
        if begin is None:
            say(f"{run} has no checkpoint yet: it begins again from its first epoch.")
        else:
            say(
                f"{run} goes on in epoch {begin.state['epoch'] + 1}, after {begin.state['batch']} of {len(data)} steps."
            )
        return _run(model, data, options, run, begin)


def _prepare(bank: AugmentedSet, options: FitOptions) -> tuple[keras.Model, AugmentedSequence]:
    """The compiled model and its data: the same each time, whatever was computed before in this process."""
    keras.utils.set_random_seed(options.seed)
    if options.deterministic:
        compute_deterministically()
    keras.config.set_dtype_policy(options.precision)
    model = build_model(options.model, bank.shape, len(bank.class_names))
    data = AugmentedSequence(
        bank,
        options.batch_size or 0,
        options.mix,
        options.seed,
        threads=options.threads,
        shuffle=options.shuffle,
        shard=options.shard,
    )
    compile_model(model, learning_rate=options.learning_rate, steps=options.epochs * len(data))
    return model, data


def _run(
    model: keras.Model, data: AugmentedSequence, options: FitOptions, directory: Path, begin: Snapshot | None
) -> Fitted:
    """Train, evaluate, and leave a finished run directory."""
    bank, size = data.stream.bank, data.stream.batches.batch_size
    checkpoint = train(
        model,
        data,
        bank.validation(size) if bank.images["validation"] else None,
        directory,
        epochs=options.epochs,
        patience=options.patience,
        rule=Rule(options.checkpoint_steps, options.checkpoint_minutes),
        begin=begin,
    )
    seconds, history = checkpoint.seconds, checkpoint.history()
    _refuse_divergence(history, options, directory)
    waits, effort = data.meter.total(), data.stream.effort()
    told = advice(waits, effort, bank.codec, cores())
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
        "images_per_second": round(len(history["loss"]) * cast(TrainingBatches, data.stream.batches).shown / seconds),
        "data": {**waits.columns(), "disk_bytes": effort.disk_bytes, "advice": told},
    }
    write_json(directory / "summary.json", summary)
    (directory / NAME).unlink(missing_ok=True)
    return Fitted(directory, summary, history, held_out, told, bank)


def _refuse_other_backend(run: Path, config: dict[str, Any]) -> None:
    backend = keras.backend.backend()
    if config.get("backend") != backend:
        raise EpochbankError(
            f"{run} was begun on {config.get('backend')}, and Keras runs on {backend} now, which draws and computes "
            f"otherwise. Give the same command with KERAS_BACKEND={config.get('backend')} before it."
        )


def _refuse_divergence(history: dict[str, list[float]], options: FitOptions, directory: Path) -> None:
    losses = history["loss"]
    if not math.isfinite(losses[-1]):
        raise EpochbankError(
            f"the loss became {losses[-1]} in epoch {len(losses)}: training diverged. "
            f"Train again with a lower --learning-rate (it was {options.learning_rate:g}). {_left_behind(directory)}"
        )


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """No other process trains into `directory`; whatever breaks the training off, it is told how to go on."""
    with writing(directory):
        try:
            yield
        except KeyboardInterrupt as error:
            number = error.number if isinstance(error, Stopped) else signal.SIGINT
            raise Stopped(f"Go on with: train fit --resume {directory}\n{_left_behind(directory)}", number) from None
        except OSError as error:
            raise EpochbankError(f"{error}. Mend it, then go on with: train fit --resume {directory}") from error


def _left_behind(directory: Path) -> str:
    if not (directory / "model.keras").exists():
        return f"No epoch has ended: {directory} holds no model."
    return f"The best model so far is in {directory}: `train evaluate {directory}` judges it."


def _config(bank: AugmentedSet, options: FitOptions, model: keras.Model) -> dict[str, Any]:
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
