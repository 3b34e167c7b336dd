"""The split into training, validation and test: by whole groups if there are any, otherwise class by class.

It is a pure function of labels, groups, the splits that the source defines, duplicates, fractions and a key. It does
not depend on seed or recipe, so that all experiments on a source are evaluated on the same test split.
"""

from dataclasses import dataclass, field

import numpy as np

from ..errors import EpochbankError
from ..shared.progress import counted
from ..shared.types import NO_PAIRS, SPLITS
from .by_group import by_group, keyed_noise

_HELD_OUT = ("validation", "test")
_UNASSIGNED, _LEFT_OUT = -1, -2
"""Split numbers of an image that is not assigned yet, and of one that is in no split."""


def split_key(digest: str) -> int:
    """Return the key of the split of a source with this digest (hexadecimal), an int below 2^60."""
    return int(digest[:15], 16)


@dataclass(frozen=True)
class HeldOut:
    """Fractions of the images that are held out. Each is in [0, 1) and their sum below 1; else `EpochbankError`."""

    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        for name, fraction in (("validation", self.validation), ("test", self.test)):
            if not 0 <= fraction < 1:
                raise EpochbankError(
                    f"--{name} {fraction:g} is invalid; expected a fraction of at least 0 and below 1.", usage=True
                )
        if self.validation + self.test >= 1:
            raise EpochbankError(
                f"--validation {self.validation:g} and --test {self.test:g} leave no training images; expected a sum "
                "below 1.",
                usage=True,
            )


@dataclass(frozen=True)
class SplitInput:
    """What a split of N images is computed from."""

    labels: np.ndarray
    """int32 (N,): index into `class_names`."""
    class_names: list[str]
    groups: np.ndarray | None = None
    """int32 (N,): group of each image; None if there are none."""
    splits: np.ndarray | None = None
    """int8 (N,): index into `SPLITS` of each image's split in the source, or -1; None if the source defines none."""
    duplicates: np.ndarray = field(default_factory=lambda: NO_PAIRS)
    """int64 (k, 2): rows that exactly duplicate an earlier one, each with the first row with its pixels."""


def split_rows(images: SplitInput, held_out: HeldOut, *, key: int) -> dict[str, np.ndarray]:
    """Return the rows (int64, ascending) of each split, by name.

    A held-out split that the source defines is used as it is; the others are drawn from the rest. If there are groups,
    these are divided by whole groups, and each split gets as close to its fraction of every class as groups allow.
    Otherwise each class is divided by itself, and duplicates of an image stay together. If duplicates are still in
    several splits, only those in the most strictly held-out one are kept: test before validation before training.
    Every other row is in exactly one split.

    Each requested split gets at least one group, or one image of every class. Raises `EpochbankError` if there are too
    few of these, or if no training images are left.
    """
    split_of = np.full(len(images.labels), _UNASSIGNED, np.int8)
    fractions = {
        split: fraction
        for split, fraction in (("test", held_out.test), ("validation", held_out.validation))
        if fraction
    }
    if images.splits is not None:
        given = np.isin(images.splits, [SPLITS.index(split) for split in _HELD_OUT])
        split_of[given] = images.splits[given]
        for split in _HELD_OUT:
            if np.any(split_of == SPLITS.index(split)):
                fractions.pop(split, None)
        split_of[_duplicates_of_held_out(split_of, images.duplicates)] = _LEFT_OUT
    rows = np.flatnonzero(split_of == _UNASSIGNED)
    split_of[rows] = SPLITS.index("train")
    if images.groups is None and images.splits is None and not len(images.duplicates):
        split_of[rows] = _by_class(images.labels, fractions, key, images.class_names)
    elif images.groups is None:
        split_of[rows] = _by_distinct_image(images, rows, fractions, key)
    elif fractions:
        split_of[rows] = by_group(images.labels[rows], images.groups[rows], fractions, key)
    split_of[_duplicates_of_held_out(split_of, images.duplicates)] = _LEFT_OUT
    if not np.any(split_of == SPLITS.index("train")):
        held, duplicates = int(np.sum(split_of > 0)), int(np.sum(split_of == _LEFT_OUT))
        raise EpochbankError(
            f"no training images are left: {held:,} images are held out, and {duplicates:,} are duplicates of these. "
            "Reduce --validation and --test, or ignore the splits of the source with --split fractions."
        )
    return {split: np.flatnonzero(split_of == number) for number, split in enumerate(SPLITS)}


def _by_distinct_image(images: SplitInput, rows: np.ndarray, fractions: dict[str, float], key: int) -> np.ndarray:
    """Return the split of each of `rows`: class by class as `_by_class` does, but with duplicates in one split.

    A class with fewer distinct images than there are splits stays in training.
    """
    first = np.arange(len(images.labels))
    first[images.duplicates[:, 0]] = images.duplicates[:, 1]
    distinct, leader, distinct_of = np.unique(first[rows], return_index=True, return_inverse=True)
    sizes = np.bincount(distinct_of)
    labels = images.labels[rows[leader]]
    order = np.lexsort((keyed_noise(len(distinct), key), labels))
    sizes, labels = sizes[order], labels[order]
    total = np.bincount(labels, sizes, len(images.class_names))
    middle = np.cumsum(sizes) - sizes / 2 - (np.cumsum(total) - total)[labels]
    split_of, low = np.zeros(len(distinct), np.int8), np.zeros(len(total))
    divisible = np.bincount(labels, minlength=len(total)) > len(fractions)
    for split, fraction in fractions.items():
        high = low + np.maximum(1, np.round(fraction * total))
        inside = (middle >= low[labels]) & (middle < high[labels]) & divisible[labels]
        split_of[inside] = SPLITS.index(split)
        low = high
    _fill_missing_classes(split_of, labels, sizes, divisible, [0, *(SPLITS.index(split) for split in fractions)])
    unsorted = np.empty(len(distinct), np.int8)
    unsorted[order] = split_of
    return unsorted[distinct_of]


def _fill_missing_classes(
    split_of: np.ndarray, labels: np.ndarray, sizes: np.ndarray, divisible: np.ndarray, splits: list[int]
) -> None:
    """Move to each split that lacks a divisible class its image with the fewest duplicates, from a split with more."""
    for split in splits:
        missing = divisible & (np.bincount(labels[split_of == split], minlength=len(divisible)) == 0)
        for label in np.flatnonzero(missing).tolist():
            candidates = np.flatnonzero(labels == label)
            spare = candidates[np.bincount(split_of[candidates])[split_of[candidates]] > 1]
            split_of[spare[np.argmin(sizes[spare])]] = split


def _duplicates_of_held_out(split_of: np.ndarray, duplicates: np.ndarray) -> np.ndarray:
    """Return the rows (int64) that have a duplicate in a more strictly held-out split."""
    firsts, number = np.unique(duplicates[:, 1], return_inverse=True)
    strictest = split_of[firsts].copy()
    np.maximum.at(strictest, number, split_of[duplicates[:, 0]])
    return np.concatenate(
        [firsts[split_of[firsts] < strictest], duplicates[split_of[duplicates[:, 0]] < strictest[number], 0]]
    )


def _by_class(labels: np.ndarray, fractions: dict[str, float], key: int, class_names: list[str]) -> np.ndarray:
    """Return the split number of every row: the first images of each class, in a keyed order, are held out."""
    sizes = np.bincount(labels, minlength=len(class_names))
    splits = len(fractions) + 1
    few = [name for name, size in zip(class_names, sizes, strict=True) if size < splits]
    if few:
        shown = ", ".join(few[:10]) + (f" and {len(few) - 10:,} more" if len(few) > 10 else "")
        raise EpochbankError(
            f"{len(few):,} of {counted(len(class_names), 'class')} {'has' if len(few) == 1 else 'have'} fewer than "
            f"{splits} images, one per split "
            f"({', '.join(['training', *fractions])}): {shown}. Add images to them, or omit a split with "
            "--validation 0 or --test 0."
        )
    order = np.lexsort((keyed_noise(len(labels), key), labels))
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    split_of = np.zeros(len(labels), np.int8)
    taken = np.zeros(len(sizes), np.int64)
    for split, fraction in fractions.items():
        count = np.clip(np.round(fraction * sizes).astype(np.int64), 1, None)
        # Leave one image for training and one for each remaining split.
        count = np.minimum(count, sizes - taken - (splits - 1 - list(fractions).index(split)))
        low, high = np.repeat(taken, sizes), np.repeat(taken + count, sizes)
        split_of[order[(rank >= low) & (rank < high)]] = SPLITS.index(split)
        taken += count
    return split_of
