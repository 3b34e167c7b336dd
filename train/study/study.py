"""Run the trainings of a study that are missing, and write its results."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ...augment.shared.atomic import make_directory, write_text
from ..feeding.augmented_set import AugmentedSet
from ..training.fit import fit
from ..training.fit_options import WITHOUT_EFFECT, FitOptions
from ..training.interrupt import Stopped
from ..training.models import build_model
from ..training.resume import resume
from ..training.run_directory import SUMMARY, is_finished, with_epochs
from .plan import Training
from .plot import write_plot
from .results import Row, as_json, caveats, rows_of, table, verdict

_SETTINGS = "study.json"
_IGNORED = (*WITHOUT_EFFECT, "seed")
"""Options that change no result, and the seed, which is that of each training."""


@dataclass(frozen=True)
class StudyResult:
    """The results of a study."""

    directory: Path
    """Contains the run directories, `results.json` and `results.png`."""
    rows: list[Row]
    table: list[str]
    """The rows as lines of text."""
    verdict: str
    """One sentence: how many stored epochs suffice."""
    caveats: list[str]
    """Why small differences may be due to chance: one seed, or few images."""


def run_study(
    stored_set: AugmentedSet, trainings: list[Training], base: FitOptions, directory: Path, tolerance: float
) -> StudyResult:
    """Run the `trainings` that `directory` lacks, continue an interrupted one, and return the results of all.

    Parameters
    ----------
    stored_set
        The set, with at least as many stored epochs as any training needs.
    trainings
        All trainings of the study.
    base
        The options that they share.
    directory
        Directory of the study.
    tolerance
        Difference of accuracies, 0 to 1, that does not matter.

    Raises
    ------
    EpochbankError
        If a training fails.
    Stopped
        After a signal. The same call continues the study.
    """
    split = _split_of(stored_set)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # It warns that many models were trained.
    accuracies: dict[Training, float] = {}
    for number, training in enumerate(trainings, 1):
        run = directory / training.name
        if not (run.exists() and is_finished(run)):
            notify(f"training {number} of {len(trainings)}: {training.name}")
            try:
                _train(stored_set, training, base, run)
            except Stopped as stopped:
                text = (
                    f"{number - 1} of {len(trainings)} training runs are done. Run the same command again to continue."
                )
                raise Stopped(text, stopped.number) from None
        accuracies[training] = json.loads((run / SUMMARY).read_text(encoding="utf-8"))[split]["accuracy"]
    rows = rows_of(accuracies)
    sentence = verdict(rows, base.epochs, tolerance)
    doubts = caveats(rows, stored_set.num_images[split], split, tolerance)
    found = {
        "set": {"path": str(stored_set.path), "fingerprint": stored_set.description.fingerprint},
        "split": split,
        "training_epochs": base.epochs,
        "final": None if base.final is None else base.final["name"],
        "rows": as_json(rows, base.epochs),
        "verdict": sentence,
        "caveats": doubts,
    }
    write_text(directory / "results.json", json.dumps(found, indent=1) + "\n")
    write_plot(directory / "results.png", rows, base.epochs, split, stored_set.path.name)
    return StudyResult(directory, rows, table(rows, base.epochs), sentence, doubts)


def bytes_of_runs(stored_set: AugmentedSet, base: FitOptions, count: int) -> int:
    """Return the bytes that `count` trainings leave: a model with the state of Adam each, and one checkpoint."""
    model = build_model(base.model, stored_set.shape, len(stored_set.class_names))
    return 3 * 4 * model.count_params() * (count + 1)


def _train(stored_set: AugmentedSet, training: Training, base: FitOptions, run: Path) -> None:
    if (run / "config.json").exists():
        resume(run, model_name=base.model)
        return
    numbers = list(stored_set.epochs[: training.stored or 1])
    fit(with_epochs(stored_set, numbers, run), training.options(base), run)


def begin(stored_set: AugmentedSet, base: FitOptions, directory: Path) -> None:
    """Create `directory` for a study, or compare it with that of an earlier call.

    Raises `EpochbankError` if it belongs to a study of another set or with other options, or the set has no held-out
    split.
    """
    _split_of(stored_set)
    make_directory(directory)
    path = directory / _SETTINGS
    settings = {"fingerprint": stored_set.description.fingerprint, **asdict(base)}
    settings = {name: value for name, value in settings.items() if name not in _IGNORED}
    if not path.exists():
        write_text(path, json.dumps(settings, indent=1) + "\n")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        different = [name for name, value in settings.items() if before.get(name) != value]
    except (OSError, ValueError, AttributeError) as error:
        raise EpochbankError(f"{path} cannot be read: {error}. Choose another --out directory.") from error
    if different:
        name = different[0]
        old, new = _short(before.get(name)), _short(settings[name])
        if old == new:
            old = "of the same name but with other stages"
        raise EpochbankError(
            f"{directory} belongs to a study with {name} {old}, but {new} was given. "
            "Use the same options, or another --out directory.",
            usage=True,
        )


def _short(value: Any) -> str:
    """Return a value for a message: of a final recipe only the name."""
    return repr(value["name"] if isinstance(value, dict) and "name" in value else value)


def _split_of(stored_set: AugmentedSet) -> str:
    split = next((name for name in ("test", "validation") if stored_set.num_images[name]), None)
    if split is None:
        raise EpochbankError(
            f"{stored_set.path} has neither test nor validation images; a study compares accuracies on one of them. "
            "Generate a set with --test 0.1."
        )
    return split
