"""Compare the predictions of runs for the same images: pairs of runs, and classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....augment.errors import EpochbankError
from ..evaluation_file import StoredEvaluation
from ..run_record import RunRecord
from ..statistics import holm, mcnemar


@dataclass(frozen=True)
class Pair:
    """Two runs on the same images."""

    first: int
    """Number of the run, from 0."""
    second: int
    images: int
    only_first: int
    """Images that only the first one classifies correctly."""
    only_second: int
    p_value: float
    """McNemar's exact test."""
    adjusted: float
    """The same, adjusted for all pairs of the comparison by Holm's method."""

    @property
    def difference(self) -> float:
        """Accuracy of the second minus that of the first, -1 to 1."""
        return (self.only_second - self.only_first) / self.images


@dataclass(frozen=True)
class ClassChange:
    """A class in two runs: correctly classified images of the first and the second, of the same images."""

    label: int
    images: int
    before: int
    after: int
    fixed: int
    """Images that only the second one classifies correctly."""
    broken: int
    """Images that only the first one classifies correctly."""


@dataclass(frozen=True)
class Changes:
    """The classes of which two runs classify different numbers of images correctly, the largest differences first."""

    first: int
    second: int
    classes: list[ClassChange]


def same_images(records: Sequence[RunRecord], split: str) -> list[list[int]]:
    """Return the numbers of the runs in groups that were evaluated on the same images of the same classes, in order.

    Runs without stored predictions are in no group.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, record in enumerate(records):
        if split in record.evaluations:
            stored = record.evaluations[split]
            groups.setdefault((stored.digest, stored.num_images, *record.class_names), []).append(number)
    return list(groups.values())


def compare_predictions(
    records: Sequence[RunRecord], split: str, groups: Sequence[Sequence[int]]
) -> tuple[list[Pair], list[Changes]]:
    """Return all pairs of runs within `groups`, and how the classes of each run differ from those of its first one."""
    counted: list[tuple[int, int, int, int, int]] = []
    changes = []
    for group in groups:
        stored = [records[number].evaluations[split] for number in group]
        only, per_class, fixed, images = _count(stored)
        for a in range(len(group)):
            for b in range(a + 1, len(group)):
                counted.append((group[a], group[b], stored[0].num_images, int(only[a, b]), int(only[b, a])))
        changes += [
            Changes(group[0], group[at], _changes(images, per_class[0], per_class[at], fixed[at]))
            for at in range(1, len(group))
        ]
    p_values = [mcnemar(a, b) for *_, a, b in counted]
    pairs = [Pair(*one, p, adjusted) for one, p, adjusted in zip(counted, p_values, holm(p_values), strict=True)]
    return pairs, changes


def _count(stored: Sequence[StoredEvaluation]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Count over the same images, whose predictions are read some thousands at a time.

    Returns
    -------
    only
        int64 (runs, runs): images that the one run classifies correctly and the other does not.
    per_class
        int64 (runs, classes): correctly classified images.
    fixed
        int64 (runs, classes): images that the run classifies correctly, and the first one does not.
    images
        int64 (classes,): all images.
    """
    count, classes = len(stored), stored[0].classes
    only = np.zeros((count, count), np.int64)
    per_class, fixed = np.zeros((2, count, classes), np.int64)
    images = np.zeros(classes, np.int64)
    for blocks in zip(*(one.predictions() for one in stored), strict=True):
        label = blocks[0].label
        if any(not np.array_equal(block.label, label) for block in blocks):
            raise EpochbankError(
                f"{stored[0].path} and another evaluation.h5 of the comparison have the same digest, but other labels; "
                f"one of them is damaged. Write them again with: train report {stored[0].path.parent} --evaluate"
            )
        correct = np.array([block.predicted == label for block in blocks])
        only += correct.astype(np.int64) @ ~correct.T
        images += np.bincount(label, minlength=classes)
        for at, right in enumerate(correct):
            per_class[at] += np.bincount(label[right], minlength=classes)
            fixed[at] += np.bincount(label[right & ~correct[0]], minlength=classes)
    return only, per_class, fixed, images


def _changes(images: np.ndarray, before: np.ndarray, after: np.ndarray, fixed: np.ndarray) -> list[ClassChange]:
    changed = np.flatnonzero(before != after)
    order = changed[np.lexsort((changed, -fixed[changed], -np.abs(after - before)[changed]))]
    return [
        ClassChange(label, int(images[label]), int(before[label]), int(after[label]), int(fixed[label]),
                    int(before[label] + fixed[label] - after[label]))
        for label in order.tolist()
    ]  # fmt: skip
