"""Continue a training run from its checkpoint."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ...augment.shared.atomic import refuse_links, sweep
from ...augment.shared.progress import counted
from ...augment.store.usage import record_use
from ..feeding.sequence import AugmentedSequence
from .checkpoint_state import check_state
from .finish import FitResult, complete_report
from .fit import follow_rank_0, run_training
from .fit_options import check_options, read_options
from .models import check_parameters
from .prepare import prepare, release_lock, teacher_model
from .ranks import Ranks
from .resumable import locked, resumable
from .run_directory import CHECKPOINT_FILE, SUMMARY, check_trust, find_unfinished, open_set_of, with_epochs
from .snapshot import Snapshot, read_snapshot
from .store_evaluation import Origins, unknown_origins


def resume(
    run: Path,
    *,
    trust: bool = False,
    model_name: str | None = None,
    origins: Origins = unknown_origins,
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
    with locked(run) if ranks.leads else resumable(run):
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
            result = complete_report(stored_set, options, run, origins)
            checkpoint.unlink(missing_ok=True)
            return result
        snapshot = read_snapshot(checkpoint) if checkpoint.exists() else None
        if snapshot is not None and "stored_epochs" in snapshot.state:
            options = replace(options, follow=True)
        if not options.follow:
            stored_set = with_epochs(stored_set, config["stored_epochs"], run)
        if ranks.leads:
            record_use(stored_set.path, run)
        model, data = prepare(stored_set, options, ranks)
        check_parameters(model, config, run)
        if teacher_model(data) != config.get("teacher_model"):
            raise EpochbankError(
                f"teacher {options.teacher!r} of {stored_set.path} is another model than the one that {run} was "
                "trained with. Put the labels of that one back, or start a new run in another --run directory."
            )
        if snapshot is not None:
            steps = data.stream.batches.steps
            check_state(checkpoint, snapshot.state, epochs=options.epochs, steps=steps)
        if options.follow:
            release_lock(stored_set, options)
            _restore_shown(data, snapshot, config["stored_epochs"])
        _check_same_step(run, snapshot, ranks)
        if not ranks.leads:
            follow_rank_0(model, data, options, ranks, snapshot)
            return None
        if snapshot is None:
            notify(f"{run} has no checkpoint yet: training starts again from the first epoch.")
        else:
            epoch, batch = snapshot.state["epoch"], snapshot.state["batch"]
            notify(f"{run} resumes in epoch {epoch + 1}, after {batch} of {steps(epoch)} steps.")
        return run_training(model, data, options, run, snapshot, origins, ranks)


def _check_same_step(run: Path, snapshot: Snapshot | None, ranks: Ranks) -> None:
    """Raise `EpochbankError` unless all ranks have read the same checkpoint."""
    step = [] if snapshot is None else [snapshot.state["epoch"], snapshot.state["batch"], snapshot.state["seconds"]]
    steps = ranks.gather(step)
    if step != steps[0]:
        raise EpochbankError(
            f"rank {ranks.rank} read another checkpoint of {run} (epoch, step, seconds: {step}) than rank 0 "
            f"({steps[0]}). Expected the same directory on all nodes, on a shared file system."
        )


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


def _check_backend(run: Path, config: dict[str, Any]) -> None:
    backend = keras.backend.backend()
    if config.get("backend") != backend:
        raise EpochbankError(
            f"{run} was started on the backend {config.get('backend')}, but Keras now runs on {backend}, which would "
            f"give other results. Run the command again with KERAS_BACKEND={config.get('backend')} in front of it."
        )
