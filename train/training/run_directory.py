"""The run directory: the files that one training run writes.

`config.json` (options), `metrics.csv` (one row per epoch), `model.keras` (the best epoch), `evaluation.h5` (what it
predicted), `summary.json`, the plots `learning-curves.png`, `mistakes.png` and `confusions.png`, the table
`mistakes.csv`, and `checkpoint.npz` until the run is finished. With `--log`, also `tensorboard/` and
`trackers.json` (the ids of its runs in other trackers).
"""

import json
import math
import time
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ...augment.shared.atomic import TEMPORARY, make_directory, write_text
from ...augment.shared.closest import closest
from ...augment.shared.lock import LOCK
from ...augment.shared.progress import age
from ...augment.store.description import LARGEST_CHUNK
from ..feeding.augmented_set import AugmentedSet, open_set
from .model_names import MODEL_NAMES, check_model_name
from .trainable import check_classes

SUMMARY = "summary.json"
CHECKPOINT_FILE = "checkpoint.npz"
"""The checkpoint in a run directory; removed when the run is finished."""
CURVES = "learning-curves.png"
EVALUATED = "mistakes.csv"
"""The last file of the report that is written, if the run was evaluated."""


def new_run(path: Path | None, set_name: str, runs: Path = Path("runs")) -> Path:
    """Create the directory of a new run: `path`, or one in `runs` named after the set and the time.

    Raises `EpochbankError` if `path` is not empty.
    """
    if path is not None:
        check_new(path)
        make_directory(path)
        return path
    make_directory(runs)
    name = f"{set_name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in count(1):
        path = runs / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):  # Of two runs that start at once, only one creates the directory.
            path.mkdir()
            return path
    raise AssertionError("count() has no end")


def check_new(path: Path) -> None:
    """Raise `EpochbankError` if `path`, the directory of a new run, contains more than a lock or an unfinished file."""
    if path.exists() and (not path.is_dir() or not all(_is_of_unbegun_run(one.name) for one in path.iterdir())):
        raise EpochbankError(f"{path} exists; expected a new run directory. Choose another --run directory.")


def _is_of_unbegun_run(name: str) -> bool:
    return name == LOCK or (name.startswith(TEMPORARY) and name.endswith("-config.json"))


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


def check_trust(run: Path, config: dict[str, Any], trust: bool, model: str | None = None) -> None:
    """Raise `EpochbankError` if the run's model is a function that would be imported, unless the user trusts it.

    The user does with `trust`, or by naming the same function as `model`.
    """
    name = config.get("model")
    if not isinstance(name, str):
        raise EpochbankError(f"{run / 'config.json'} is damaged: model is {name!r}; expected a name. Train again.")
    if model not in (None, name):
        raise EpochbankError(
            f"{run} was trained with the model {name!r}, not {model!r}. Omit --model, or start a new run.", usage=True
        )
    if name not in MODEL_NAMES and not trust and model is None:
        raise EpochbankError(
            f"the model of {run} is the function {name}, whose module would be executed, and the run may be somebody "
            "else's. If you trust the run and that module, run the command again with --trust.",
            usage=True,
        )


def check_shape(run: Path, config: dict[str, Any]) -> None:
    """Raise `EpochbankError` unless config.json of a run has the shape of the images of its set."""
    shape = config.get("shape")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int and side >= 1 for side in shape):
        raise EpochbankError(f"{run / 'config.json'} has no shape; expected that of the set's images. Train again.")
    if math.prod(shape) > LARGEST_CHUNK:
        raise EpochbankError(f"{run / 'config.json'} is damaged: the shape {shape} is too large. Train again.")


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_config(run: Path) -> dict[str, Any]:
    """Read config.json of a run; `EpochbankError` if it is damaged."""
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        if not all(isinstance(config["set"][key], str) for key in ("path", "fingerprint")):
            raise ValueError("path and fingerprint of the set are no texts")
        return {"set": {"path": config["set"]["path"], "fingerprint": config["set"]["fingerprint"]}, **config}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise EpochbankError(f"{run / 'config.json'} is damaged: {error}. Train again.") from error


def open_set_of(run: Path, config: dict[str, Any]) -> AugmentedSet:
    """Open the set that the run was trained on; `EpochbankError` if it is missing or has been replaced."""
    path, fingerprint = Path(config["set"]["path"]), config["set"]["fingerprint"]
    remote = {name: config["set"][name] for name in ("cache", "cache_size") if config["set"].get("url")}
    if not remote and not (path / "set.json").exists():
        others = " `train predict` and `train export` do not need it." if config.get("preprocessing") else ""
        raise EpochbankError(
            f"there is no set {path} any more, on which {run} was trained (fingerprint {fingerprint[:8]}). Move it "
            f"back to this path, or generate it again with the same `augment run`.{others}"
        )
    stored_set = open_set(config["set"]["url"], **remote) if remote else open_set(path)
    if stored_set.description.fingerprint != fingerprint:
        raise EpochbankError(
            f"{stored_set.path} is another set (fingerprint {stored_set.description.fingerprint[:8]}) than the one "
            f"{run} was trained on (fingerprint {fingerprint[:8]}). Put that set back in its place."
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


def check_evaluation(run: Path, split: str | None = None) -> None:
    """Raise `EpochbankError` if a run cannot be evaluated on a split, as far as that shows without its model.

    None stands for the test split, or for the validation split if there is no test split. Keras is not imported.
    """
    config = read_config(run)
    stored_set = open_set_of(run, config)
    check_classes(stored_set)
    stored_set.check_split(split or ("test" if stored_set.num_images["test"] else "validation"))
    check_model(run, config)


def find_unfinished(run: Path) -> dict[str, Any]:
    """Read config.json of a run that can be resumed; `EpochbankError` if it is not a run, or is finished.

    A run whose pictures are missing, or whose checkpoint was not removed, is not finished.
    """
    config = read_config(find_run(run))
    epochs = config.get("stored_epochs")
    if not isinstance(epochs, list) or not all(type(epoch) is int for epoch in epochs):
        raise EpochbankError(f"{run / 'config.json'} is damaged: it has no list of stored_epochs. Train again.")
    if is_finished(run):
        raise EpochbankError(
            f"{run} is finished: it has a summary.json, and there is nothing to resume. Evaluate its model with "
            f"`train evaluate {run}`, or start a new run in another --run directory."
        )
    return config


def is_finished(run: Path) -> bool:
    """Return whether the run has its summary and its report, and no checkpoint."""
    if not (run / SUMMARY).exists() or (run / CHECKPOINT_FILE).exists():
        return False
    return all((run / name).exists() for name in report_files(run))


def report_files(run: Path) -> tuple[str, ...]:
    """Return the names of the files of the report of a run that has a summary."""
    try:
        summary = json.loads((run / SUMMARY).read_text(encoding="utf-8"))
        evaluated = summary["test"] or summary["validation"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise EpochbankError(
            f"{run / SUMMARY} is damaged: {error}. Remove it, then resume with: train fit --resume {run}"
        ) from error
    return (CURVES, EVALUATED) if evaluated else (CURVES,)


def with_epochs(stored_set: AugmentedSet, epochs: list[int], run: Path) -> AugmentedSet:
    """Return `stored_set` restricted to the stored epochs `epochs` of `run`, which determine the order of training.

    Raises `EpochbankError` if the set lacks one of them.
    """
    missing = sorted(set(epochs) - set(stored_set.epochs))
    if missing:
        raise EpochbankError(
            f"{stored_set.path} no longer has the stored epoch {', '.join(map(str, missing))}; expected the epochs "
            f"{', '.join(map(str, epochs))} that {run} started with. If `augment refresh` retired them, continue with "
            f"the others: train fit --resume {run} --follow; otherwise run the same `augment run` again."
        )
    return replace(
        stored_set,
        entries=tuple(entry for entry in stored_set.entries if entry.split != "epoch" or entry.epoch in epochs),
        length=None,
    )
