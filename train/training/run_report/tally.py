"""Count the predictions of an evaluation: by class, by confusion, and at the positions of the images that are shown."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..evaluation_file import Predictions


@dataclass(frozen=True)
class Tally:
    """What a report needs of the predictions."""

    per_class: np.ndarray
    """int64 (classes, 2): correctly classified images and all images of each class."""
    confusions: Counter[tuple[int, int]]
    """Number of mistakes for each (true, predicted)."""
    shown: Predictions
    """The predictions for the images that are shown."""


def tally(predictions: Iterable[Predictions], classes: int, positions: np.ndarray) -> Tally:
    """Count predictions in order of position. `positions`, int64 (m,) and ascending, are those of the shown images."""
    per_class = np.zeros((classes, 2), np.int64)
    confusions: Counter[tuple[int, int]] = Counter()
    shown: list[Predictions] = []
    start = 0
    for some in predictions:
        stop = start + len(some.label)
        correct = some.predicted == some.label
        per_class[:, 0] += np.bincount(some.label[correct], minlength=classes)
        per_class[:, 1] += np.bincount(some.label, minlength=classes)
        codes = some.label[~correct].astype(np.int64) * classes + some.predicted[~correct]
        for code, count in zip(*(found.tolist() for found in np.unique(codes, return_counts=True)), strict=True):
            confusions[divmod(code, classes)] += count
        at = positions[np.searchsorted(positions, start) : np.searchsorted(positions, stop)] - start
        shown.append(Predictions(*(column[at] for column in some)))
        start = stop
    return Tally(per_class, confusions, Predictions(*map(np.concatenate, zip(*shown, strict=True))))
