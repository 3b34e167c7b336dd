"""The evaluated split of a report: confusion matrix, mistakes, classes, and the images of each, as JSON values."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..confused import PAIRS, confused_pairs, matrix_classes, ordered
from ..evaluation_file import Shown, StoredEvaluation
from .image_data import encode
from .tally import Tally, tally

_SIDE = 64, 96
"""Least and most pixels of the longer side of an image in the page."""


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix of some classes."""

    classes: list[int]
    counts: list[list[int]]
    every: bool
    """Whether these are all classes."""
    repeated: bool
    """Whether some pair of classes is confused more than once."""
    most: int
    """Largest number of mistakes in a cell."""
    most_correct: int
    """Largest number of correctly classified images in a cell."""


@dataclass(frozen=True)
class EvaluationContent:
    """What the page shows of the evaluation."""

    split: str
    mistakes: int
    num_images: int
    matrix: Matrix | None
    """None without a mistake."""
    num_pairs: int
    """Number of pairs of classes that are confused."""
    data: dict[str, Any]
    """Data of the script."""


def evaluation_content(stored: StoredEvaluation, names: list[str]) -> EvaluationContent:
    """Return what the page shows of an evaluation of classes with these names."""
    shown = stored.shown()
    positions = np.empty(0, np.int64) if shown is None else shown.position
    found = tally(stored.predictions(), len(names), positions)
    pairs = ordered(found.confusions)
    return EvaluationContent(
        split=stored.split,
        mistakes=found.confusions.total(),
        num_images=stored.num_images,
        matrix=_matrix(found) if pairs else None,
        num_pairs=len(pairs),
        data={
            "names": names,
            "classes": _classes(found),
            "pairs": [[*pair, count] for pair, count in pairs[:PAIRS]],
            **({} if shown is None else _images(shown, found)),
        },
    )


def _matrix(found: Tally) -> Matrix:
    shown = matrix_classes(found.confusions, len(found.per_class))
    counts = [[int(found.per_class[a, 0]) if a == b else found.confusions[a, b] for b in shown] for a in shown]
    wrong = [count for row, line in enumerate(counts) for column, count in enumerate(line) if row != column]
    correct = [counts[at][at] for at in range(len(shown))]
    return Matrix(
        shown,
        counts,
        len(shown) == len(found.per_class),
        max(confused_pairs(found.confusions).values()) > 1,
        max(wrong),
        max(1, *correct),
    )


def _classes(found: Tally) -> list[list[int]]:
    """Return label, images, correct, and the most frequent wrong prediction with its count (-1, 0 without one)."""
    worst: dict[int, tuple[int, int]] = {}
    for (true, predicted), count in ordered(found.confusions):
        worst.setdefault(true, (predicted, count))
    return [
        [label, images, correct, *worst.get(label, (-1, 0))]
        for label, (correct, images) in enumerate(found.per_class.tolist())
        if images
    ]


def _images(shown: Shown, found: Tally) -> dict[str, Any]:
    """Return the images as Base64 of WebP with their labels, predictions and origins, and the worst mistakes."""
    height, width = shown.image.shape[1:3]
    scale = min(max(_SIDE[0] / max(height, width), 1), _SIDE[1] / max(height, width)) if shown.image.size else 1
    columns = zip(
        encode(shown.image),
        found.shown.label.tolist(),
        found.shown.predicted.tolist(),
        np.round(found.shown.probability.astype(float), 4).tolist(),
        np.round(found.shown.label_probability.astype(float), 4).tolist(),
        shown.position.tolist(),
        shown.origin,
        strict=True,
    )
    probabilities = np.round(shown.top_probability.astype(float), 4)
    return {
        "size": [round(width * scale), round(height * scale)],
        "images": [list(row) for row in columns],
        "worst": [
            [int(np.searchsorted(shown.position, position)), top, probability]
            for position, top, probability in zip(
                shown.worst.tolist(), shown.top_class.tolist(), probabilities.tolist(), strict=True
            )
        ],
    }
