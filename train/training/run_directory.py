"""The run directory: what one training leaves behind.

`config.json`, `metrics.csv` (a line an epoch), `model.keras` (the best), `summary.json`, and the pictures
`learning-curves.png`, `mistakes.png`, `confusions.png`; `checkpoint.npz` as long as it is unfinished.
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...augment.errors import EpochbankError
from ...augment.shared.atomic import make_directory, write_text
from ..feeding.augmented_set import AugmentedSet, open_set


def new_run(path: Path | None, set_name: str, runs: Path = Path("runs")) -> Path:
    """Make the directory of a new run: `path`, or one in `runs` named by set and time.

    `EpochbankError` where `path` has something in it.
    """
    if path is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        names = [f"{set_name}-{stamp}", *(f"{set_name}-{stamp}-{number}" for number in range(2, 100))]
        path = next(runs / name for name in names if not (runs / name).exists())
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise EpochbankError(f"{path} exists; expected a new run directory. Give another --run.")
    make_directory(path)
    return path


def find_run(path: Path | None, runs: Path = Path("runs")) -> Path:
    """`path`, or the newest run in `runs`; `EpochbankError` where there is none."""
    if path is not None:
        if (path / "config.json").exists():
            return path
        raise EpochbankError(f"{path} is not a run directory: it has no config.json. `train fit` makes one.")
    found = sorted(runs.glob("*/config.json"), key=lambda config: config.stat().st_mtime_ns)
    if not found:
        raise EpochbankError(f"there is no run in {runs}/. Make one: train fit")
    return found[-1].parent


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Publish a JSON file."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_config(run: Path) -> dict[str, Any]:
    """`config.json` of a run; `EpochbankError` where it is damaged."""
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        return {"set": {"path": config["set"]["path"], "fingerprint": config["set"]["fingerprint"]}, **config}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EpochbankError(f"{run / 'config.json'} is damaged: {error}. Train again.") from error


def open_set_of(run: Path, config: dict[str, Any]) -> AugmentedSet:
    """The set that the run was trained on; `EpochbankError` where it is gone, or another one by now."""
    bank = open_set(config["set"]["path"])
    if bank.description.fingerprint != config["set"]["fingerprint"]:
        raise EpochbankError(
            f"{bank.path} is another set (fingerprint {bank.description.fingerprint[:8]}) than the one that {run} was "
            f"trained on ({config['set']['fingerprint'][:8]}). Put that set back in its place."
        )
    return bank


def find_unfinished(run: Path) -> dict[str, Any]:
    """`config.json` of a run that can be gone on with; `EpochbankError` where it is none, or is finished."""
    config = read_config(find_run(run))
    if not isinstance(config.get("stored_epochs"), list):
        raise EpochbankError(f"{run / 'config.json'} is damaged: it has no list of stored_epochs. Train anew.")
    if (run / "summary.json").exists():
        raise EpochbankError(
            f"{run} is finished: it has a summary.json, and nothing is left to resume. `train evaluate {run}` judges "
            "its model; for more epochs, train anew, into another --run."
        )
    return config


def with_epochs(bank: AugmentedSet, epochs: list[int]) -> AugmentedSet:
    """`bank` with the stored epochs `epochs` alone, on which the order depends; `EpochbankError` where it lacks one."""
    missing = sorted(set(epochs) - set(bank.epochs))
    if missing:
        raise EpochbankError(
            f"{bank.path} has no stored epoch {', '.join(map(str, missing))} any more; expected those that the "
            f"training was begun with, {', '.join(map(str, epochs))}. Give the same `augment run` again."
        )
    return replace(
        bank, entries=tuple(entry for entry in bank.entries if entry.part != "epoch" or entry.epoch in epochs)
    )
