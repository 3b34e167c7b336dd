"""The training runs in a directory: what each was trained on and how well, for lists. Only JSON files are read."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunFacts:
    """What a list shows of one run."""

    path: str
    """The run directory."""
    set: str
    """Path of the set at the time of the training."""
    fingerprint: str
    """Fingerprint of the set."""
    model: str
    accuracy: float | None
    """Accuracy on the test split, or the validation split if there is none, 0 to 1; None if neither was evaluated."""
    epochs: int | None
    """Training epochs; None for an unfinished run."""
    finished: bool
    started: str
    """ISO 8601, local time."""


def list_runs(runs: Path) -> tuple[list[RunFacts], list[str]]:
    """Return the runs in the directory `runs`, the newest last, and a sentence for each that cannot be read."""
    facts, faults = [], []
    for config in runs.glob("*/config.json"):
        try:
            facts.append(_facts(config))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            faults.append(f"{config.parent} cannot be read: {type(error).__name__}: {error}.")
    return sorted(facts, key=lambda one: (one.started, one.path)), sorted(faults)


def run_lines(facts: list[RunFacts]) -> list[str]:
    """Return a table of runs as lines of text."""
    rows = [("run", "set", "model", "accuracy", "epochs", "date"), *map(_row, facts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def to_json(facts: list[RunFacts]) -> list[dict[str, Any]]:
    """Return the JSON values of `train runs --json`."""
    return [asdict(one) for one in facts]


def _facts(config: Path) -> RunFacts:
    options = json.loads(config.read_text(encoding="utf-8"))
    path = config.parent / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    evaluated = None if summary is None else summary.get("test") or summary.get("validation")
    return RunFacts(
        path=str(config.parent),
        set=str(options["set"].get("url") or options["set"]["path"]),
        fingerprint=str(options["set"]["fingerprint"]),
        model=str(options["model"]),
        accuracy=None if evaluated is None else float(evaluated["accuracy"]),
        epochs=None if summary is None else int(summary["epochs"]),
        finished=summary is not None,
        started=datetime.fromtimestamp(config.stat().st_mtime).astimezone().isoformat(timespec="seconds"),
    )


def _row(one: RunFacts) -> tuple[str, ...]:
    accuracy = "-" if one.accuracy is None else f"{100 * one.accuracy:.2f} %"
    epochs = "unfinished" if one.epochs is None else f"{one.epochs:,}"
    return Path(one.path).name, Path(one.set).name, one.model, accuracy, epochs, one.started[:16].replace("T", " ")
