"""Train a model on a set into a run directory, from the beginning or from a checkpoint."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ...augment.shared.atomic import refuse_links, sweep
from ...augment.shared.lock import writing
from ...augment.shared.progress import counted
from ...augment.shared.signals import number_of
from ...augment.shared.workers import core_count
from ...augment.store.usage import record_use
from ..feeding.ranks import devices_here
from ..feeding.sequence import AugmentedSequence, EvaluationSequence
from ..reading.stored_set import StoredSet
from ..streaming.batches import TrainingBatches
from ..streaming.data_wait import advice
from ..streaming.schedule import ScheduledBatches
from .backend import compute_deterministically
from .checkpoint import Checkpoint, CheckpointInterval
from .checkpoint_state import check_state
from .evaluate import Evaluation, evaluate_split, load_best
from .exposure import exposure
from .fit_options import FitOptions, check_options, read_options
from .interrupt import Stopped
from .loop import read_history, train
from .models import build_model, check_parameters, compile_model
from .outputs import output_kind
from .ranks import Ranks, without_distribution
from .run_directory import (
    CHECKPOINT_FILE,
    SUMMARY,
    check_new,
    check_trust,
    find_unfinished,
    new_run,
    open_set_of,
    with_epochs,
    write_json,
)
from .snapshot import Snapshot, read_snapshot


@dataclass(frozen=True)
class FitResult:
    """The result of a training run."""

    run: Path
    """The run directory."""
    summary: dict[str, Any]
    """The contents of summary.json."""
    history: dict[str, list[float]]
    """The logs of each epoch, by name."""
    evaluations: dict[str, Evaluation]
    """The best model's evaluation on `test` and `validation`, if the set has them."""
    advice: str
    """One sentence: how long steps waited for data, and what to do about it."""
    stored_set: StoredSet
    """The training set."""
    files: list[Path]
    """The plots and tables of the report."""


Origins = Callable[[Path, str, np.ndarray], list[str]]
"""Returns where the images at these positions (int64 (n,)) of a split of the set at a path come from; '' if unknown."""


def _unknown(path: Path, split: str, positions: np.ndarray) -> list[str]:
    return [""] * len(positions)


def fit(
    stored_set: StoredSet,
    options: FitOptions,
    run: Path | None = None,
    *,
    origins: Origins = _unknown,
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
    model, data = _prepare(stored_set, options, ranks)
    _let_go(stored_set, options)
    if not ranks.leads:
        ranks.run = Path(ranks.gather("")[0])
        _follow_rank_0(model, data, options, ranks, None)
        return None
    directory = new_run(run, stored_set.description.name)
    with _locked(directory):
        check_new(directory)  # Another process may have been given the same directory.
        sweep(directory)
        write_json(directory / "config.json", _config(stored_set, options, model, data))
        record_use(stored_set.path, directory)
        ranks.run = directory
        ranks.gather(str(directory))
        return _run(model, data, options, directory, None, origins, ranks)


def resume(
    run: Path,
    *,
    trust: bool = False,
    model_name: str | None = None,
    origins: Origins = _unknown,
    ranks: Ranks | None = None,
    **changes: Any,
) -> FitResult | None:
    """Continue an unfinished run from its last checkpoint, or from the beginning if it has none.

    `changes` are fields of `FitOptions` that do not affect what is computed. A run that has a summary is not
    trained again. Raises `EpochbankError` if `run` is not a run directory or is finished, its set or checkpoint is
    missing or damaged, its model function has changed, or its model is a function and neither `trust` is True nor
    `model_name` names it.

    A run that follows its set continues with the same stored epochs, as far as they still exist. So does a run with
    `follow=True` in `changes`, which did not follow it before.
    """
    ranks = ranks or Ranks()
    ranks.run = run
    check_trust(run, find_unfinished(run), trust, model_name)
    with _locked(run) if ranks.leads else _resumable(run):
        config = find_unfinished(run)
        if ranks.leads:
            refuse_links(run.iterdir())
            sweep(run)
        options = replace(read_options(run, config), **changes)
        _check_backend(run, config)
        if (options.world_size or 1) != ranks.world_size:
            raise EpochbankError(
                f"{run} is trained by {counted(options.world_size or 1, 'process')}, but {ranks.world_size} would "
                "continue it; expected the same number, which determines each rank's images. Start as many, with "
                "torchrun, srun or --rank, --world-size and --coordinator.",
                usage=True,
            )
        ranks.gather("read")  # Before rank 0 changes anything.
        stored_set = open_set_of(run, config)
        check_options(options, stored_set)
        checkpoint = run / CHECKPOINT_FILE
        if (run / SUMMARY).exists():
            if not ranks.leads:
                return None
            record_use(stored_set.path, run)
            result = _complete_report(stored_set, options, run, origins)
            checkpoint.unlink(missing_ok=True)
            return result
        snapshot = read_snapshot(checkpoint) if checkpoint.exists() else None
        if snapshot is not None and "stored_epochs" in snapshot.state:
            options = replace(options, follow=True)
        if not options.follow:
            stored_set = with_epochs(stored_set, config["stored_epochs"], run)
        if ranks.leads:
            record_use(stored_set.path, run)
        model, data = _prepare(stored_set, options, ranks)
        check_parameters(model, config, run)
        if _teacher_model(data) != config.get("teacher_model"):
            raise EpochbankError(
                f"teacher {options.teacher!r} of {stored_set.path} is another model than the one that {run} was "
                "trained with. Put the labels of that one back, or start a new run in another --run directory."
            )
        if snapshot is not None:
            steps = data.stream.batches.steps
            check_state(checkpoint, snapshot.state, epochs=options.epochs, steps=steps)
        if options.follow:
            _let_go(stored_set, options)
            _restore_shown(data, snapshot, config["stored_epochs"])
        _check_same_step(run, snapshot, ranks)
        if not ranks.leads:
            _follow_rank_0(model, data, options, ranks, snapshot)
            return None
        if snapshot is None:
            notify(f"{run} has no checkpoint yet: training starts again from the first epoch.")
        else:
            epoch, batch = snapshot.state["epoch"], snapshot.state["batch"]
            notify(f"{run} resumes in epoch {epoch + 1}, after {batch} of {steps(epoch)} steps.")
        return _run(model, data, options, run, snapshot, origins, ranks)


def _check_same_step(run: Path, snapshot: Snapshot | None, ranks: Ranks) -> None:
    """Raise `EpochbankError` unless all ranks have read the same checkpoint."""
    step = [] if snapshot is None else [snapshot.state["epoch"], snapshot.state["batch"], snapshot.state["seconds"]]
    steps = ranks.gather(step)
    if step != steps[0]:
        raise EpochbankError(
            f"rank {ranks.rank} read another checkpoint of {run} (epoch, step, seconds: {step}) than rank 0 "
            f"({steps[0]}). Expected the same directory on all nodes, on a shared file system."
        )


def _let_go(stored_set: StoredSet, options: FitOptions) -> None:
    """Release the lock of a set that is followed: the training locks what it reads."""
    if options.follow and stored_set.lock is not None:
        stored_set.lock.close()


def _restore_shown(data: AugmentedSequence, snapshot: Snapshot | None, first: list[int]) -> None:
    """Give `data` the stored epochs that the training epochs up to a checkpoint showed, so that it continues there.

    `first` are the stored epochs that the run started with.
    """
    if snapshot is None:
        return
    state = snapshot.state
    shown = state.get("stored_epochs")
    if shown is None:  # The run did not follow its set until now.
        shown = [first[epoch % len(first)] for epoch in range(state["epoch"] + (state["batch"] > 0))]
        if data.stored_epochs is not None:
            state["rows"] = [{**row, "stored_epoch": stored} for row, stored in zip(state["rows"], shown, strict=False)]
    data.restore(shown)


def _complete_report(stored_set: StoredSet, options: FitOptions, run: Path, origins: Origins) -> FitResult:
    """Write the report of a trained run again."""
    notify(f"{run} is trained; only its report is written again")
    summary = json.loads((run / SUMMARY).read_text(encoding="utf-8"))
    history = read_history(run)
    keras.config.set_dtype_policy(options.precision)
    model = build_model(options.model, stored_set.shape, len(stored_set.class_names))
    size = options.batch_size_for(stored_set.num_images["train"])
    evaluations = _evaluations(model, stored_set, run, size)
    files = _report(run, history, evaluations, stored_set, origins)
    sentence = str(summary.get("data", {}).get("advice", ""))
    return FitResult(run, summary, history, evaluations, sentence, stored_set, files)


def _evaluations(model: keras.Model, stored_set: StoredSet, run: Path, size: int) -> dict[str, Evaluation]:
    """Evaluate the model of the best epoch on the splits that the set has."""
    load_best(model, run)
    splits = ("test", "validation")
    return {split: evaluate_split(model, stored_set, split, size) for split in splits if stored_set.num_images[split]}


def _report(
    run: Path,
    history: dict[str, list[float]],
    evaluations: dict[str, Evaluation],
    stored_set: StoredSet,
    origins: Origins,
) -> list[Path]:
    from .report import write_report  # Matplotlib takes a second to import.

    shown = next(iter(evaluations), "")
    find = partial(origins, stored_set.path, shown)
    return write_report(run, history, evaluations.get(shown), shown, stored_set.class_names, find)


def _prepare(stored_set: StoredSet, options: FitOptions, ranks: Ranks) -> tuple[keras.Model, AugmentedSequence]:
    """Return the compiled model and its data; both are independent of earlier computations in this process."""
    shape, classes = stored_set.shape, len(stored_set.class_names)
    keras.utils.set_random_seed(options.seed)
    if options.deterministic:
        compute_deterministically()
    keras.config.set_dtype_policy(options.precision)
    model = build_model(options.model, shape, classes)
    data = AugmentedSequence(
        stored_set,
        options.batch_size or 0,
        options.share_of_originals,
        options.seed,
        threads=options.threads,
        shuffle=options.shuffle,
        rank=ranks.rank,
        world_size=ranks.world_size,
        follow=options.follow,
        final=options.final,
        mixup=options.mixup,
        cutmix=options.cutmix,
        label_smoothing=options.label_smoothing,
        views=options.views,
        sparse_targets=True,
        teacher=options.teacher,
        distill=options.batches.distill,
    )
    inspected, images = model, data.stream.batch(0, 0)[0]
    distributed = keras.distribution.distribution() is not None
    with without_distribution():
        if distributed:  # A single process cannot call a model whose variables are those of all processes.
            inspected = build_model(options.model, shape, classes)
        output = output_kind(inspected, images)
    if distributed:
        keras.utils.set_random_seed(options.seed)
    ranks.say(f"output: {output}")
    smoothing = options.label_smoothing if options.batches.soft else None
    if ranks.on_torch and not ranks.leads:
        keras.utils.set_random_seed(options.seed + ranks.rank)  # Dropout differs between ranks.
    steps = sum(map(data.stream.batches.steps, range(options.epochs)))
    compile_model(
        model,
        output,
        learning_rate=options.learning_rate,
        steps=steps,
        smoothing=smoothing,
        temperature=options.batches.distill[1],
    )
    return model, data


def _run(
    model: keras.Model,
    data: AugmentedSequence,
    options: FitOptions,
    directory: Path,
    snapshot: Snapshot | None,
    origins: Origins,
    ranks: Ranks,
) -> FitResult:
    """Train, evaluate, and finish the run directory."""
    stored_set, size = data.stream.stored_set, data.stream.batches.batch_size
    checkpoint = _train(model, data, options, directory, snapshot, ranks)
    ranks.trained = True
    if ranks.several and keras.distribution.distribution() is not None:
        # The other processes take no part in the evaluation.
        keras.distribution.set_distribution(None)
        model = build_model(options.model, stored_set.shape, len(stored_set.class_names))
    seconds, history = checkpoint.seconds, checkpoint.history()
    _check_convergence(history, options, directory)
    data_wait, thread_times = data.meter.total(), data.stream.thread_times()
    sentence = advice(data_wait, thread_times, stored_set.codec, core_count())
    evaluations = _evaluations(model, stored_set, directory, size)
    files = _report(directory, history, evaluations, stored_set, origins)
    splits = ("test", "validation")
    num_epochs = len(history["loss"])
    batches = cast(TrainingBatches | ScheduledBatches, data.stream.batches)
    summary = {
        "set": _named(stored_set),
        **{split: evaluations[split].summary() if split in evaluations else None for split in splits},
        "epochs": num_epochs,
        "seconds": round(seconds, 1),
        "model": options.model,
        "parameters": model.count_params(),
        "images_per_second": round(
            ranks.world_size * options.views * sum(map(batches.shown, range(num_epochs))) / seconds
        ),
        "data": {
            **data_wait.columns(),
            "disk_bytes": thread_times.disk_bytes,
            **({"fetched_bytes": stored_set.remote.cache.fetched_bytes} if stored_set.remote is not None else {}),
            "advice": sentence,
            "exposure": exposure(data, num_epochs),
        },
    }
    write_json(directory / SUMMARY, summary)  # After the report: it says that the run is finished.
    (directory / CHECKPOINT_FILE).unlink(missing_ok=True)
    return FitResult(directory, summary, history, evaluations, sentence, stored_set, files)


def _train(
    model: keras.Model,
    data: AugmentedSequence,
    options: FitOptions,
    directory: Path,
    snapshot: Snapshot | None,
    ranks: Ranks,
) -> Checkpoint:
    return train(
        model,
        data,
        _validation(data, ranks),
        directory,
        epochs=options.epochs,
        patience=options.patience,
        interval=CheckpointInterval(options.checkpoint_steps, options.checkpoint_minutes),
        resume_from=snapshot,
        ranks=ranks,
    )


def _follow_rank_0(
    model: keras.Model, data: AugmentedSequence, options: FitOptions, ranks: Ranks, snapshot: Snapshot | None
) -> None:
    """Train on another rank than 0, which writes the run directory."""
    assert ranks.run is not None
    with _resumable(ranks.run):
        _train(model, data, options, ranks.run, snapshot, ranks)


def _validation(data: AugmentedSequence, ranks: Ranks) -> EvaluationSequence | None:
    """Return this rank's part of the validation split; None if there is none.

    Under `keras.distribution` all parts have the same size, so that the devices can divide them: a few images are
    omitted.
    """
    stored_set, size = data.stream.stored_set, data.stream.batches.batch_size
    num_images = stored_set.num_images["validation"]
    if not num_images:
        return None
    if ranks.several and keras.distribution.distribution() is not None:
        num_images -= num_images % (ranks.world_size * devices_here())
    if num_images < ranks.world_size:
        raise EpochbankError(
            f"{counted(stored_set.num_images['validation'], 'validation image')} of {stored_set.path} for "
            f"{ranks.world_size} processes; expected at least one for each of their devices. Use fewer processes."
        )
    start, stop = (rank * num_images // ranks.world_size for rank in (ranks.rank, ranks.rank + 1))
    return EvaluationSequence(stored_set, "validation", size, positions=range(start, stop))


def _teacher_model(data: AugmentedSequence) -> str | None:
    """Return the digest of the model whose labels are trained on; None without a teacher."""
    distill = data.stream.distill
    return None if distill is None else distill.labels.teacher.model


def _check_backend(run: Path, config: dict[str, Any]) -> None:
    backend = keras.backend.backend()
    if config.get("backend") != backend:
        raise EpochbankError(
            f"{run} was started on the backend {config.get('backend')}, but Keras now runs on {backend}, which would "
            f"give other results. Run the command again with KERAS_BACKEND={config.get('backend')} in front of it."
        )


def _check_convergence(history: dict[str, list[float]], options: FitOptions, directory: Path) -> None:
    losses = history["loss"]
    if not math.isfinite(losses[-1]):
        raise EpochbankError(
            f"the loss became {losses[-1]} in epoch {len(losses)}: training diverged. Train again with a lower "
            f"--learning-rate (it was {options.learning_rate:g}). {_describe_best_model(directory)}"
        )


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other processes out of the run directory; errors and interruptions say how to resume."""
    with writing(directory), _resumable(directory):
        yield


@contextmanager
def _resumable(directory: Path) -> Iterator[None]:
    """Add the command that resumes the run to errors and interruptions."""
    try:
        yield
    except KeyboardInterrupt as error:
        begun = (directory / "config.json").exists()
        text = f"Resume with: train fit --resume {directory}\n{_describe_best_model(directory)}" if begun else ""
        raise Stopped(text, number_of(error)) from None
    except OSError as error:
        if not (directory / "config.json").exists():  # There is nothing to resume yet.
            raise
        raise EpochbankError(f"{error}. Fix the problem, then resume with: train fit --resume {directory}") from error


def _describe_best_model(directory: Path) -> str:
    if not (directory / "model.keras").exists():
        return f"No epoch was completed, so {directory} holds no model."
    return f"The best model so far is in {directory}; `train evaluate {directory}` evaluates it."


def _named(stored_set: StoredSet) -> dict[str, Any]:
    """Return how a run names its set; one in an object store with the cache that its shards are fetched into."""
    named = {"path": str(stored_set.path.resolve()), "fingerprint": stored_set.description.fingerprint}
    if stored_set.remote is None:
        return named
    cache = stored_set.remote.cache
    return {**named, "url": stored_set.name, "cache": str(cache.root), "cache_size": cache.size}


def _config(stored_set: StoredSet, options: FitOptions, model: keras.Model, data: AugmentedSequence) -> dict[str, Any]:
    return {
        "set": _named(stored_set),
        "stored_epochs": list(stored_set.epochs),
        "classes": len(stored_set.class_names),
        "class_names": stored_set.class_names,
        "shape": list(stored_set.shape),
        "preprocessing": stored_set.description.source.get("preprocessing"),
        **asdict(options),
        "teacher_model": _teacher_model(data),
        "parameters": model.count_params(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }
