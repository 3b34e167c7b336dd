"""What a run directory records, for reports and comparisons: neither Keras nor the set is needed to read it."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from ...augment.errors import EpochbankError
from .evaluation_file import StoredEvaluation, stored_evaluations
from .fit_options import FitOptions, read_options
from .history import METRICS_FILE, read_history
from .run_directory import SUMMARY, read_config


@dataclass(frozen=True)
class RunRecord:
    """The files of a run, except for its model. Runs of earlier versions of epochbank lack some of them."""

    path: Path
    config: dict[str, Any]
    options: FitOptions
    summary: dict[str, Any] | None
    """None as long as the run is unfinished."""
    history: dict[str, list[float]]
    """The logs of each epoch by name; empty before the first one is completed."""
    class_names: list[str]
    evaluations: dict[str, StoredEvaluation]
    """The predictions for each evaluated split, the test split first; none for a run of an earlier version."""

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.path.resolve().name

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the set."""
        return self.config["set"]["fingerprint"]

    @property
    def set_name(self) -> str:
        """Name of the set."""
        return self.facts.get("name") or Path(str(self.config["set"].get("url") or self.config["set"]["path"])).name

    @property
    def facts(self) -> dict[str, Any]:
        """Facts about the set, `set_facts.set_facts`; empty for a run of an earlier version."""
        return _table(self.config, "set_facts")

    @property
    def machine(self) -> dict[str, Any]:
        """The machine that finished the run, or on which it was started; empty for a run of an earlier version."""
        return _table(self.summary or {}, "machine") or _table(self.config, "machine")

    def result(self, split: str) -> dict[str, Any] | None:
        """Return `accuracy`, `loss` and `images` of a split; None if it was not evaluated."""
        found = _table(self.summary or {}, split)
        accuracy, loss, images = (found.get(key) for key in ("accuracy", "loss", "images"))
        counted = type(images) is int and 0 < images < 1 << 62
        measured = is_number(accuracy) and 0 <= accuracy <= 1 and is_number(loss)
        return found if counted and measured else None

    @property
    def seconds(self) -> float | None:
        """Duration of the training; None if it is not recorded."""
        found = (self.summary or {}).get("seconds")
        return found if is_number(found) else None

    @property
    def evaluated(self) -> str | None:
        """The split that reports show: test if it was evaluated, else validation; None if neither was."""
        return next((split for split in ("test", "validation") if self.result(split)), None)


def read_run(run: Path) -> RunRecord:
    """Read a run directory; `EpochbankError` if it is not one, or one of its files is damaged."""
    config = read_config(run)
    names = config.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        count = config.get("classes")
        names = [str(label) for label in range(count)] if isinstance(count, int) and 0 < count < 1 << 24 else []
    metrics = run / METRICS_FILE
    # It is empty until the first epoch is completed.
    history = read_history(run) if metrics.exists() and metrics.stat().st_size else {}
    return RunRecord(
        run, config, read_options(run, config), _summary(run), history, names, stored_evaluations(run, len(names))
    )


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value of a JSON file is a finite number that is not larger than a float can be."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _summary(run: Path) -> dict[str, Any] | None:
    path = run / SUMMARY
    if not path.exists():
        return None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(summary, dict):
            raise ValueError("it is not a table")
        return summary
    except (OSError, ValueError, RecursionError) as error:
        raise EpochbankError(
            f"{path} is damaged: {error}. Remove it, then resume with: train fit --resume {run}"
        ) from error


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}
