"""Train a model on a set into a run directory."""

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras

from ...augment.errors import EpochbankError
from ...augment.shared.atomic import sweep
from ...augment.store.usage import record_use
from ..feeding.sequence import AugmentedSequence
from ..reading.stored_set import StoredSet
from .checkpoint import Checkpoint, CheckpointInterval
from .finish import FitResult, finish
from .fit_options import FitOptions
from .loop import train
from .machine import describe_machine
from .models import build_model
from .prepare import prepare, release_lock, teacher_model, validation_of
from .ranks import Ranks
from .resumable import describe_best_model, locked, resumable
from .run_directory import check_new, new_run, write_json
from .set_facts import named, set_facts
from .snapshot import Snapshot
from .store_evaluation import Origins, unknown_origins
from .trackers import Trackers, tracking


def fit(
    stored_set: StoredSet,
    options: FitOptions,
    run: Path | None = None,
    *,
    origins: Origins = unknown_origins,
    ranks: Ranks | None = None,
) -> FitResult | None:
    """Train a model on `stored_set` and evaluate the model of the best epoch on the validation and test splits.

    `run` is the run directory, by default a new one in `runs/`. After an interruption it holds the best model and a
    checkpoint. `origins` finds the origins of misclassified images for the report. With `options.follow`, the lock of
    `stored_set` is released, so that the files of retired epochs can be deleted. Of several `ranks`, rank 0 alone
    writes the run directory and returns a result; the others return None when it has finished.

    Raises
    ------
    EpochbankError
        If an option is out of range, the model does not fit the set, a chunk is damaged, or `run` is not empty.
    Stopped
        After SIGINT, SIGTERM or SIGHUP; it is a `KeyboardInterrupt`.
    """
    ranks = ranks or Ranks()
    options = replace(options, batch_size=options.batch_size_for(stored_set.num_images["train"]))
    options = replace(options, rank=0, world_size=ranks.world_size) if ranks.several else options
    opened = [stored_set.description.fingerprint, list(stored_set.epochs)]
    if any(other != opened for other in ranks.gather(opened)):
        raise EpochbankError(
            "the processes opened different sets or stored epochs, because a run writes them; expected the same. "
            "Start the processes again."
        )
    model, data = prepare(stored_set, options, ranks)
    release_lock(stored_set, options)
    if not ranks.leads:
        ranks.run = Path(ranks.gather("")[0])
        follow_rank_0(model, data, options, ranks, None)
        return None
    directory = new_run(run, stored_set.description.name)
    with locked(directory):
        check_new(directory)  # Another process may have been given the same directory.
        sweep(directory)
        write_json(directory / "config.json", _config(stored_set, options, model, data))
        record_use(stored_set.path, directory)
        ranks.run = directory
        ranks.gather(str(directory))
        return run_training(model, data, options, directory, None, origins, ranks)


def run_training(
    model: keras.Model,
    data: AugmentedSequence,
    options: FitOptions,
    directory: Path,
    snapshot: Snapshot | None,
    origins: Origins,
    ranks: Ranks,
) -> FitResult:
    """Train on rank 0 from `snapshot`, by default from the beginning; evaluate, and finish the run in `directory`."""
    stored_set = data.stream.stored_set
    config = _config(stored_set, options, model, data)
    rows = snapshot.state["rows"] if snapshot is not None else []
    with tracking(options.trackers, directory, config, rows) as trackers:
        checkpoint = _train(model, data, options, directory, snapshot, ranks, trackers)
        ranks.trained = True
        if ranks.several and keras.distribution.distribution() is not None:
            # The other processes take no part in the evaluation.
            keras.distribution.set_distribution(None)
            model = build_model(options.model, stored_set.shape, len(stored_set.class_names))
        history = checkpoint.history()
        _check_convergence(history, options, directory)
        return finish(
            model, data, options, directory, history, checkpoint.seconds, ranks.world_size, origins, trackers.finish
        )


def _train(
    model: keras.Model,
    data: AugmentedSequence,
    options: FitOptions,
    directory: Path,
    snapshot: Snapshot | None,
    ranks: Ranks,
    trackers: Trackers,
) -> Checkpoint:
    return train(
        model,
        data,
        validation_of(data, ranks),
        directory,
        epochs=options.epochs,
        patience=options.patience,
        interval=CheckpointInterval(options.checkpoint_steps, options.checkpoint_minutes),
        resume_from=snapshot,
        ranks=ranks,
        trackers=trackers,
    )


def follow_rank_0(
    model: keras.Model, data: AugmentedSequence, options: FitOptions, ranks: Ranks, snapshot: Snapshot | None
) -> None:
    """Train on another rank than 0, which writes the run directory."""
    assert ranks.run is not None
    with resumable(ranks.run):
        _train(model, data, options, ranks.run, snapshot, ranks, Trackers())


def _check_convergence(history: dict[str, list[float]], options: FitOptions, directory: Path) -> None:
    losses = history["loss"]
    if not math.isfinite(losses[-1]):
        raise EpochbankError(
            f"the loss became {losses[-1]} in epoch {len(losses)}: training diverged. Train again with a lower "
            f"--learning-rate (it was {options.learning_rate:g}). {describe_best_model(directory)}"
        )


def _config(stored_set: StoredSet, options: FitOptions, model: keras.Model, data: AugmentedSequence) -> dict[str, Any]:
    return {
        "set": named(stored_set),
        "set_facts": set_facts(stored_set),
        "stored_epochs": list(stored_set.epochs),
        "classes": len(stored_set.class_names),
        "class_names": stored_set.class_names,
        "shape": list(stored_set.shape),
        "preprocessing": stored_set.description.source.get("preprocessing"),
        **asdict(options),
        "teacher_model": teacher_model(data),
        "parameters": model.count_params(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "machine": describe_machine(),
    }
