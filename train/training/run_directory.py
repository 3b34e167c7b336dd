"""The run directory: the files that one training run writes.

`config.json` (options), `metrics.csv` (one row per epoch), `model.keras` (the best epoch), `summary.json`, the plots
`learning-curves.png`, `mistakes.png` and `confusions.png`, the table `mistakes.csv`, and `checkpoint.npz` until the run
is finished.
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ...augment.shared.atomic import make_directory, write_text
from ...augment.shared.closest import closest
from ...augment.shared.progress import age
from ..feeding.augmented_set import AugmentedSet, open_set
from .model_names import check_model_name
from .trainable import check_classes


def new_run(path: Path | None, set_name: str, runs: Path = Path("runs")) -> Path:
    """Create the directory of a new run: `path`, or one in `runs` named after the set and the time.

    Raises `EpochbankError` if `path` is not empty.
    """
    if path is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        names = [f"{set_name}-{stamp}", *(f"{set_name}-{stamp}-{number}" for number in range(2, 100))]
        path = next(runs / name for name in names if not (runs / name).exists())
    check_new(path)
    make_directory(path)
    return path


def check_new(path: Path) -> None:
    """Raise `EpochbankError` if `path`, the directory of a new run, is not empty."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise EpochbankError(f"{path} exists; expected a new run directory. Choose another --run directory.")


def find_run(path: Path | None, runs: Path = Path("runs")) -> Path:
    """Return the run at `path` or of that name in `runs`, or the newest one in `runs`.

    Raises `EpochbankError` if there is no such run.
    """
    if path is not None:
        for directory in (path, runs / path):
            if (directory / "config.json").exists():
                return directory
        similar = closest(path.name, (config.parent.name for config in runs.glob("*/config.json")))
        raise EpochbankError(
            f"{path} is not a run directory, and not the name of one in {runs}/: there is no config.json. `train fit` "
            f"creates one.{f' Did you mean `{runs / similar}`?' if similar else ''}"
        )
    found = sorted(runs.glob("*/config.json"), key=lambda config: config.stat().st_mtime_ns)
    if not found:
        raise EpochbankError(f"there is no run in {runs}/. Create one: train fit")
    return found[-1].parent


def choose_run(path: Path | None) -> Path:
    """Like `find_run`, for a command: if `path` is None, print which run was taken, and when it was started."""
    run = find_run(path)
    if path is None:
        notify(f"newest run: {run}, started {age(time.time() - (run / 'config.json').stat().st_mtime)}")
    return run


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_config(run: Path) -> dict[str, Any]:
    """Read config.json of a run; `EpochbankError` if it is damaged."""
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        return {"set": {"path": config["set"]["path"], "fingerprint": config["set"]["fingerprint"]}, **config}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EpochbankError(f"{run / 'config.json'} is damaged: {error}. Train again.") from error


def open_set_of(run: Path, config: dict[str, Any]) -> AugmentedSet:
    """Open the set that the run was trained on; `EpochbankError` if it is missing or has been replaced."""
    stored_set = open_set(config["set"]["path"])
    if stored_set.description.fingerprint != config["set"]["fingerprint"]:
        raise EpochbankError(
            f"{stored_set.path} is another set (fingerprint {stored_set.description.fingerprint[:8]}) than the one "
            f"{run} was trained on (fingerprint {config['set']['fingerprint'][:8]}). Put that set back in its place."
        )
    return stored_set


def best_model(run: Path) -> Path:
    """Return the file of a run's best model; `EpochbankError` if there is none yet."""
    path = run / "model.keras"
    if not path.exists():
        raise EpochbankError(
            f"{run} has no model.keras: it was stopped before its first epoch was completed. Train again, or continue "
            f"the run: train fit --resume {run}"
        )
    return path


def check_model(run: Path, config: dict[str, Any]) -> None:
    """Raise `EpochbankError` if a run has no model yet, or the module of its function does not exist."""
    best_model(run)
    check_model_name(str(config.get("model")))


def check_evaluation(run: Path, split: str) -> None:
    """Raise `EpochbankError` if a run cannot be evaluated on a split, as far as that shows without its model.

    Keras is not imported.
    """
    config = read_config(run)
    stored_set = open_set_of(run, config)
    check_classes(stored_set)
    stored_set.check_split(split)
    check_model(run, config)


def find_unfinished(run: Path) -> dict[str, Any]:
    """Read config.json of a run directory that can be resumed; `EpochbankError` if it is none, or is finished."""
    config = read_config(find_run(run))
    if not isinstance(config.get("stored_epochs"), list):
        raise EpochbankError(f"{run / 'config.json'} is damaged: it has no list of stored_epochs. Train again.")
    if (run / "summary.json").exists():
        raise EpochbankError(
            f"{run} is finished: it has a summary.json, and there is nothing to resume. Evaluate its model with "
            f"`train evaluate {run}`, or start a new run in another --run directory."
        )
    return config


def with_epochs(stored_set: AugmentedSet, epochs: list[int]) -> AugmentedSet:
    """Return `stored_set` restricted to the stored epochs `epochs`, which determine the order of training.

    Raises `EpochbankError` if the set lacks one of them.
    """
    missing = sorted(set(epochs) - set(stored_set.epochs))
    if missing:
        raise EpochbankError(
            f"{stored_set.path} no longer has the stored epoch {', '.join(map(str, missing))}; expected the epochs "
            f"{', '.join(map(str, epochs))} that the run started with. Run the same `augment run` again."
        )
    return replace(
        stored_set,
        entries=tuple(entry for entry in stored_set.entries if entry.split != "epoch" or entry.epoch in epochs),
    )
