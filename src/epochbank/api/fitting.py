"""Training from Python: `train fit`."""

import os
from pathlib import Path
from typing import Any

from ..augment.console import notify
from ..augment.errors import EpochbankError
from ..augment.shared.progress import counted
from ..train.feeding.augmented_set import AugmentedSet, open_set
from ..train.streaming.final import load_final
from ..train.training.fit_options import check_options, checked_options
from ..train.training.run import Run, open_run
from ..train.training.run_directory import check_new, check_trust, find_run, find_unfinished
from .contents import origins
from .values import DEFAULT_SETS

_RESUMED = ("threads", "checkpoint_steps", "checkpoint_minutes", "follow")
"""Options that may differ when a run is continued, because they change nothing that is computed."""


def fit(
    name: str | Path | AugmentedSet | None = None,
    *,
    run: str | os.PathLike[str] | None = None,
    sets: str | Path = DEFAULT_SETS,
    **options: Any,
) -> Run:
    """Train a model on a set, evaluate the model of the best epoch, and return the run.

    Parameters
    ----------
    name
        An open set, or its path, directory name, tag or fingerprint; None for the set that was written last.
    run
        New run directory; None for a new one in `runs/`.
    sets
        Directory of the sets.
    **options
        Fields of `FitOptions`, which are the options of `train fit`, such as `model="cnn"`, `epochs=50`, `seed=1`,
        `originals=0.25`; `final` is the name or file of a final recipe.

    Raises
    ------
    EpochbankError
        If an option is out of range, the model does not fit the set, a shard is damaged, or `run` is not empty.
    Stopped
        After an interruption, such as that of the kernel; it is a `KeyboardInterrupt`. `resume` continues the run.

    Examples
    --------
    >>> run = epochbank.fit(digits, epochs=10, seed=1)
    >>> run.accuracy
    """
    if isinstance(options.get("final"), str | Path):
        options["final"] = load_final(options["final"])
    directory = None if run is None else Path(run)
    if directory is not None:
        check_new(directory)
    fit_options = checked_options(options)
    stored_set = open_set(name, sets)
    check_options(fit_options, stored_set)
    _start()
    from ..train.training.fit import fit as fit_model

    notify(
        f"{stored_set.name}: {stored_set.num_images['train']:,} training images, "
        f"{counted(len(stored_set.epochs), 'stored epoch')}, {counted(len(stored_set.class_names), 'class')}"
    )
    result = fit_model(stored_set, fit_options, directory, origins=origins)
    assert result is not None
    return open_run(result.run)


def resume(run: str | os.PathLike[str] | None = None, *, trust: bool = False, **options: Any) -> Run:
    """Continue an interrupted run from its last checkpoint, with its original settings, and return it when finished.

    Parameters
    ----------
    run
        The run directory, or its name in `runs/`; None for the newest run.
    trust
        Import the module of the run's model, if that is a function; without it, such a run is refused.
    **options
        `threads`, `checkpoint_steps`, `checkpoint_minutes` and `follow` of `FitOptions`.

    Raises
    ------
    EpochbankError
        If there is no such run, it is finished, its set is missing, or a file is damaged.
    """
    refused = [one for one in options if one not in _RESUMED]
    if refused:
        raise EpochbankError(
            f"{', '.join(refused)} cannot be changed when a run is continued; expected only {', '.join(_RESUMED)}. "
            "Omit the others, or start a new run with `fit`.",
            usage=True,
        )
    directory = find_run(None if run is None else Path(run))
    check_trust(directory, find_unfinished(directory), trust)
    _start()
    from ..train.training.resume import resume as resume_fit

    result = resume_fit(directory, trust=trust, origins=origins, **options)
    assert result is not None
    return open_run(result.run)


def _start() -> None:
    """Start Keras, and print which backend and devices it uses."""
    from ..train.training.backend import start_backend

    notify(start_backend())
