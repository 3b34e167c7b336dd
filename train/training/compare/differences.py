"""What differs between runs: their settings and their sets; and which runs differ in the seed only."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ....augment.shared.progress import counted
from ....augment.store.description import fingerprint_of
from ..fit_options import WITHOUT_EFFECT
from ..reproduce import settings
from ..run_record import RunRecord


@dataclass(frozen=True)
class Difference:
    """A property that is not the same for all runs."""

    name: str
    values: list[str]
    """The value of each run, as text."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed only."""

    runs: list[int]
    """Numbers of the runs, from 0."""
    mean: float
    """Mean accuracy, 0 to 1."""
    error: float
    """Standard error of the mean."""


def setting_differences(records: Sequence[RunRecord]) -> list[Difference]:
    """Return the settings, versions and stored epochs that differ."""
    rows = [{name: value for name, value, _ in settings(record.options)} for record in records]
    for row, record in zip(rows, records, strict=True):
        if record.options.final is not None:
            row["--final"] = f"{record.options.final['name']} ({fingerprint_of(record.options.final)[:8]})"
        row["parameters"] = record.config.get("parameters")
        row["stored epochs"] = _stored_epochs(record)
        row["backend"] = record.config.get("backend")
        for key in ("backend_version", "keras", "epochbank"):
            row[key.replace("_", " ")] = record.machine.get(key) or record.config.get(key)
    return _different(rows)


def set_differences(records: Sequence[RunRecord]) -> list[Difference]:
    """Return what differs between the sets of the runs, as far as the runs record it."""
    rows = []
    for record in records:
        facts = record.facts
        images = facts.get("num_images")
        shape = record.config.get("shape")
        rows.append(
            {
                "set": record.set_name,
                "fingerprint": record.fingerprint[:8],
                "source": facts.get("source"),
                "recipe": facts.get("recipe"),
                "recipe settings": fingerprint_of(facts["recipe_settings"])[:8] if "recipe_settings" in facts else None,
                "seed of the set": facts.get("seed"),
                "split": facts.get("split"),
                "images per class": facts.get("per_class"),
                "training images": images.get("train") if isinstance(images, dict) else None,
                "classes": counted(len(record.class_names), "class"),
                "image": " x ".join(map(str, shape)) if isinstance(shape, list) else None,
            }
        )
    return _different(rows)


def seed_groups(records: Sequence[RunRecord], accuracies: Sequence[float]) -> list[Group]:
    """Return the groups of two runs or more that differ in the seed only, with their mean accuracy and its error.

    Settings that do not affect the result, such as `--threads`, may differ, too.
    """
    groups: dict[str, list[int]] = {}
    for number, record in enumerate(records):
        same = {name: value for name, value in asdict(record.options).items() if name not in (*WITHOUT_EFFECT, "seed")}
        key = [record.fingerprint, record.config.get("stored_epochs"), record.config.get("backend"), same]
        groups.setdefault(json.dumps(key, sort_keys=True), []).append(number)
    return [_group(runs, [accuracies[run] for run in runs]) for runs in groups.values() if len(runs) > 1]


def _group(runs: list[int], values: list[float]) -> Group:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Group(runs, mean, math.sqrt(variance / len(values)))


def _stored_epochs(record: RunRecord) -> str | None:
    epochs = record.config.get("stored_epochs")
    return None if not isinstance(epochs, list) else ", ".join(map(str, epochs))


def _different(rows: Sequence[dict[str, Any]]) -> list[Difference]:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return [
        Difference(name, [_text(value) for value in values])
        for name, values in columns.items()
        if any(value != values[0] for value in values)
    ]


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else "-" if value is None else str(value)
