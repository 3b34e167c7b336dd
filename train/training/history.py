"""The history of a run: the metrics of its epochs, in `metrics.csv`, and the best of them. Keras is not imported."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...augment.errors import EpochbankError

METRICS_FILE = "metrics.csv"
WORST = (-math.inf,)
"""Less than the quality of every epoch with a finite loss."""


def read_history(directory: Path) -> dict[str, list[float]]:
    """Return the logs of each epoch by name, from `metrics.csv` of a run; `EpochbankError` if it is damaged."""
    path = directory / METRICS_FILE
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        # Without validation, Keras' logger writes "NA" into columns for it.
        names = [name for name in rows[0] if name != "epoch" and any(row[name] != "NA" for row in rows)]
        history = {name: [float(row[name]) for row in rows] for name in names}
        if not {"loss", "accuracy"} <= set(history) or ("val_loss" in history) != ("val_accuracy" in history):
            raise ValueError(f"it has the columns {', '.join(map(str, history))}")
        return history
    except (OSError, ValueError, TypeError, IndexError, csv.Error) as error:
        raise EpochbankError(f"{path} is damaged: {error}. Restore the file, or train again.") from error


def best_epoch(rows: Sequence[Mapping[str, float]]) -> int | None:
    """Return the best of the epochs with the logs `rows`, counted from 0; None if there is none with a finite loss.

    It has the highest validation accuracy; of equal ones, the lowest validation loss; of equal ones, the first. The
    loss of an overconfident network grows while its accuracy still improves (C. Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017). Without validation, it is the epoch with the lowest training loss.
    """
    qualities = [quality(row) for row in rows]
    best = max(qualities, default=WORST)
    return qualities.index(best) if best > WORST else None


def quality(logs: Mapping[str, float]) -> tuple[float, ...]:
    """Return a sort key of an epoch: the best has the greatest."""
    values = (logs["val_accuracy"], -logs["val_loss"]) if "val_loss" in logs else (-logs.get("loss", math.nan),)
    return values if all(map(math.isfinite, values)) else WORST
