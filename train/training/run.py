"""A training run that is open to look at: its settings, history and summary. Keras is imported only for its model."""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ...augment.errors import EpochbankError
from ...augment.shared.closest import did_you_mean
from ..feeding.augmented_set import AugmentedSet
from .fit_options import FitOptions, read_options
from .history import METRICS_FILE, best_epoch, read_history
from .run_card import run_card, run_text
from .run_directory import CURVES, SUMMARY, check_model, check_trust, find_run, open_set_of, read_config

if TYPE_CHECKING:
    import keras

FIGURES = {"learning-curves": CURVES, "mistakes": "mistakes.png", "confusions": "confusions.png"}
"""The file of each figure of the report."""


@dataclass(frozen=True)
class Run:
    """A training run as it was when it was opened; `open_run` opens one, and `fit` returns one.

    It is a path, too: `epochbank.predict(run, images)`.
    """

    path: Path
    """The run directory."""
    settings: FitOptions
    """The options that it was started with."""
    history: dict[str, list[float]]
    """The metrics of each completed epoch by name, such as `loss`, `val_accuracy` and `data_wait`; empty before the
    first one."""
    summary: dict[str, Any] | None
    """The contents of summary.json: `test` and `validation` (`accuracy`, `loss`, `images`), `epochs`, `seconds`, ...;
    None if the run is not finished."""
    config: dict[str, Any] = field(repr=False)
    """The contents of config.json: the settings, and the set, its classes, versions."""

    def __repr__(self) -> str:
        return run_text(self)

    def _repr_html_(self) -> str:
        return run_card(self).to_html()

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def num_epochs(self) -> int:
        """Number of completed training epochs."""
        return len(self.history.get("loss", ()))

    @property
    def best_epoch(self) -> int | None:
        """The best epoch, counted from 0, whose model is stored; None before the first one."""
        rows = [dict(zip(self.history, row, strict=True)) for row in zip(*self.history.values(), strict=True)]
        return best_epoch(rows)

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the test split, else on the validation split, 0 to 1; None if neither was evaluated."""
        found = (self.summary or {}).get("test") or (self.summary or {}).get("validation")
        return None if found is None else found["accuracy"]

    def open_set(self) -> AugmentedSet:
        """Open the set that the run was trained on. Raises `EpochbankError` if it is missing or was replaced."""
        return open_set_of(self.path, self.config)

    def load_model(self, *, trust: bool = False) -> "keras.Model":
        """Load the model of the best epoch.

        Parameters
        ----------
        trust
            Import the module of the model, if that is a function; without it, such a run is refused.

        Raises
        ------
        EpochbankError
            If no epoch is completed yet, the file is damaged, or Keras is not installed.
        """
        from .backend import start_backend

        check_trust(self.path, self.config, trust)
        check_model(self.path, self.config)  # Before Keras starts, which takes seconds.
        start_backend()
        from .predict import load_run

        return load_run(self.path, self.config, trust)[0]

    def show(self, figure: str = "learning-curves") -> Image.Image:
        """Return a figure of the report: `learning-curves`, `mistakes` or `confusions`.

        Raises `EpochbankError` if there is no such figure: an unfinished run has none, and one without a mistake only
        the learning curves.
        """
        if figure not in FIGURES:
            raise EpochbankError(
                f"figure {figure!r} is unknown; expected one of {', '.join(FIGURES)}."
                f"{did_you_mean(str(figure), FIGURES)}",
                usage=True,
            )
        file = self.path / FIGURES[figure]
        try:
            with Image.open(file) as image:
                return image.convert("RGB")
        except FileNotFoundError as error:
            why = "it is not finished" if self.summary is None else "it made no mistake, or the file was removed"
            raise EpochbankError(f"{self.path} has no {file.name}: {why}.") from error
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise EpochbankError(f"{file} is damaged: {error}; expected a PNG. Train again to write it.") from error


def open_run(path: str | os.PathLike[str] | None = None, runs: str | os.PathLike[str] = "runs") -> Run:
    """Open a training run to look at it, finished or not.

    Parameters
    ----------
    path
        Path of the run directory, or its name in `runs`; None for the newest run there.
    runs
        Directory of the runs.

    Raises
    ------
    EpochbankError
        If there is no such run, or one of its files is damaged.
    """
    directory = find_run(None if path is None else Path(path), Path(runs))
    config = read_config(directory)
    begun = (directory / METRICS_FILE).exists() and (directory / METRICS_FILE).stat().st_size > 0
    return Run(
        directory,
        read_options(directory, config),
        read_history(directory) if begun else {},
        _read_summary(directory / SUMMARY),
        config,
    )


def _read_summary(path: Path) -> dict[str, Any] | None:
    """Return the contents of summary.json; None if it does not exist, and `EpochbankError` if it is damaged."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        for split in ("test", "validation"):
            if summary[split] is not None:
                numbers = [summary[split][name] for name in ("accuracy", "loss", "images")]
                if not all(type(one) in (int, float) and not math.isnan(one) for one in numbers):
                    raise ValueError(f"{split} has the values {numbers}")
        if type(summary["epochs"]) is not int or type(summary["seconds"]) not in (int, float):
            raise ValueError("epochs or seconds are no numbers")
        return summary
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise EpochbankError(
            f"{path} is damaged: {error}. Remove it, then resume with: train fit --resume {path.parent}"
        ) from error
