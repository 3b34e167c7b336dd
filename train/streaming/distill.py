"""Distillation: the labels of a teacher as soft labels, beside the label of each image.

G. Hinton et al., "Distilling the Knowledge in a Neural Network", 2015: the loss is (1 - A) times the cross-entropy with
the label, plus A T^2 times that between the probabilities of teacher and student, both softened by the temperature T.
The teacher's are stored for each distorted image (Z. Shen & E. Xing, "A Fast Knowledge Distillation Framework for
Visual Recognition", ECCV 2022; F. Faghri et al., "Reinforce Data, Multiply Impact", ICCV 2023).
"""

import math
from dataclasses import dataclass

import numpy as np

from ...augment.errors import EpochbankError
from ..reading.teacher_labels import TeacherLabels
from .mixing import SoftLabels

Distillation = tuple[float, float]
"""(A, T): the share of the teacher in the loss, 0 to 1, and the temperature, 1 or more."""

DEFAULT: Distillation = (0.5, 1.0)


def parse_distill(text: str) -> Distillation:
    """Return (A, T) of `A:T`. Raises `EpochbankError` if it has another form or is out of range."""
    share, colon, temperature = text.partition(":")
    try:
        return check_distill((float(share), float(temperature) if colon else 1.0))
    except ValueError as error:
        raise EpochbankError(
            f"distill {text!r}; expected A:T, the share of the teacher and the temperature, such as 0.5:1.", usage=True
        ) from error


def check_distill(distill: Distillation) -> Distillation:
    """Return `distill`. Raises `EpochbankError` if a value is out of range."""
    share, temperature = distill
    if not (0 <= share <= 1 and temperature >= 1 and math.isfinite(temperature)):
        raise EpochbankError(
            f"distill {share:g}:{temperature:g}; expected a share of the teacher from 0 to 1, and a temperature of 1 "
            "or more.",
            usage=True,
        )
    return distill


@dataclass(frozen=True)
class Distill:
    """Makes soft labels of what a `TeacherTable` reads. Picklable."""

    labels: TeacherLabels
    share: float
    temperature: float

    def __call__(self, known: np.ndarray) -> SoftLabels:
        """Return soft labels of images, of which `known` (n,), of `TeacherLabels.dtype`, is known.

        Classes of the teacher are stored as -1 - class, so that the loss can tell them from labels.
        """
        top, other = softened(known["probability"], self.labels.teacher.classes, self.temperature)
        classes = np.concatenate([known["label"][:, None], -1 - known["class"].astype(np.int32)], 1)
        weights = np.empty(classes.shape, np.float32)
        weights[:, 0], weights[:, 1:] = 1 - self.share, self.share * (top - other[:, None])
        return SoftLabels(classes, weights, (self.share * self.labels.teacher.classes * other).astype(np.float32))


def softened(probabilities: np.ndarray, classes: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of the stored classes (n, k), and that of each other class (n,), both float32.

    They are proportional to p^(1 / T), and sum to 1 over all `classes`. What the stored probabilities, (n, k) in
    descending order, leave is divided evenly among the other classes, each of which gets at most the least stored one:
    the sum of rounded probabilities may leave far more than there is.
    """
    stored = probabilities.astype(np.float32)
    others = classes - stored.shape[1]
    left = np.maximum(1 - stored.sum(1), 0)
    other = np.minimum(left / others, stored[:, -1]) if others else np.zeros(len(stored), np.float32)
    if temperature != 1:
        stored, other = stored ** np.float32(1 / temperature), other ** np.float32(1 / temperature)
    total = stored.sum(1) + others * other
    return stored / total[:, None], other / total
