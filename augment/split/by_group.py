"""Stratified split by whole groups: each split gets close to its fraction of every class.

Groups are assigned one by one, the largest first, to the split that has the smallest share so far of what the group
contains. This is the Sainte-Lague method of assigning seats, applied to every class and to the images as a whole.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..errors import EpochbankError
from ..shared.permutation import mix64
from ..shared.progress import counted
from ..shared.types import SPLITS

_MOST_GROWTH, _MOST_GROWTH_IF_SMALL = 1.5, 3.0
"""A split may grow to this multiple of its fraction to get a missing class; the second holds for a split with less than
half of its fraction or of the classes."""


@dataclass(frozen=True)
class _Groups:
    """The contents of G groups: group g has the labels and counts `begin[g]` to `begin[g + 1]` - 1."""

    sizes: np.ndarray
    begin: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    def classes(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels in a group and the number of images of each."""
        some = slice(self.begin[group], self.begin[group + 1])
        return self.labels[some], self.counts[some]


def by_group(labels: np.ndarray, groups: np.ndarray, fractions: dict[str, float], key: int) -> np.ndarray:
    """Return the split (int8 (N,), index into `SPLITS`) of each image; no group is in two splits.

    `labels` and `groups` are int (N,), `fractions` those of the held-out splits; `key` orders groups of equal size.
    Each split gets at least one group. Raises `EpochbankError` if there are too few groups.
    """
    members, count = _renumbered(groups)
    if count < len(fractions) + 1:
        raise EpochbankError(
            f"the source has {counted(count, 'group')}; expected at least {len(fractions) + 1}, one for training and "
            f"one for each of {' and '.join(fractions)}, because a group is never divided. Omit a split with "
            "--validation 0 or --test 0, or add images of other groups."
        )
    contents = _contents(_renumbered(labels)[0], members, count)
    splits = [0, *(SPLITS.index(split) for split in fractions)]
    shares = np.array([1 - sum(fractions.values()), *fractions.values()])
    split_of_group = _assign(contents, shares, keyed_noise(count, key))
    _fill_empty_splits(split_of_group, contents, shares)
    _complete_training(split_of_group, contents)
    _complete_held_out(split_of_group, contents, shares)
    return np.array(splits, np.int8)[split_of_group][members]


def _renumbered(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """Return `numbers` (int (n,), from 0) renumbered without gaps, and the count of distinct ones."""
    present = np.bincount(numbers) > 0
    return (np.cumsum(present, dtype=np.int32) - 1)[numbers], int(present.sum())


def keyed_noise(n: int, key: int) -> np.ndarray:
    """Return uint64 (n,), a pseudorandom sort key for each of n items."""
    return mix64(np.arange(n, dtype=np.uint64) ^ np.uint64(key))


def _contents(labels: np.ndarray, members: np.ndarray, groups: int) -> _Groups:
    classes = int(labels.max()) + 1
    pairs, counts = np.unique(members.astype(np.int64) * classes + labels, return_counts=True)
    group, label = np.divmod(pairs, classes)
    return _Groups(np.bincount(members, minlength=groups), np.searchsorted(group, np.arange(groups + 1)), label, counts)


def _assign(contents: _Groups, shares: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the split of each group, int64 (G,), as an index into `shares`."""
    total = np.bincount(contents.labels, contents.counts)
    # Rows are splits; columns are classes, and all images last.
    share = shares[:, None] * np.append(total, total.sum())
    assigned = np.zeros_like(share)
    split_of_group = np.zeros(len(contents.sizes), np.int64)
    for group in np.lexsort((noise, -contents.sizes)).tolist():
        labels, counts = contents.classes(group)
        columns, more = np.append(labels, len(total)), np.append(counts, contents.sizes[group])
        # Each quotient has the same bits on any machine, and so has their sum, because `fsum` rounds only once.
        filled = [math.fsum(one) for one in ((assigned[:, columns] + more / 2) / share[:, columns] * more).tolist()]
        split = filled.index(min(filled))
        assigned[split, columns] += more
        split_of_group[group] = split
    return split_of_group


def _fill_empty_splits(split_of_group: np.ndarray, contents: _Groups, shares: np.ndarray) -> None:
    """Move to each split without groups the group closest to its size, from a split with several."""
    for split in range(len(shares)):
        if not np.any(split_of_group == split):
            spare = np.flatnonzero(np.bincount(split_of_group, minlength=len(shares))[split_of_group] > 1)
            error = np.abs(contents.sizes[spare] - shares[split] * contents.sizes.sum())
            split_of_group[spare[np.argmin(error)]] = split


def _complete_training(split_of_group: np.ndarray, contents: _Groups) -> None:
    """Move to training the smallest group of each class that it lacks, from a split with several groups."""
    group_of = np.repeat(np.arange(len(contents.sizes)), np.diff(contents.begin))
    train = np.bincount(contents.labels[split_of_group[group_of] == 0], minlength=int(contents.labels.max()) + 1)
    for label in np.flatnonzero(train == 0).tolist():
        holders = group_of[contents.labels == label]
        spare = holders[np.bincount(split_of_group)[split_of_group[holders]] > 1]
        if train[label] == 0 and len(spare):
            group = spare[np.argmin(contents.sizes[spare])]
            split_of_group[group] = 0
            train[contents.classes(group)[0]] += 1


def _complete_held_out(split_of_group: np.ndarray, contents: _Groups, shares: np.ndarray) -> None:
    """Move to each held-out split the smallest training group with a class that the split lacks.

    A group is moved only if training keeps every class and the split does not grow far beyond its fraction.
    """
    group_of = np.repeat(np.arange(len(contents.sizes)), np.diff(contents.begin))
    by_label = np.argsort(contents.labels, kind="stable")
    starts = np.searchsorted(contents.labels[by_label], np.arange(contents.labels.max() + 2))
    train = np.bincount(contents.labels[split_of_group[group_of] == 0], minlength=len(starts) - 1)
    for split in range(1, len(shares)):
        num_images = contents.sizes[split_of_group == split].sum()
        share = shares[split] * contents.sizes.sum()
        has = np.bincount(contents.labels[split_of_group[group_of] == split], minlength=len(train)) > 0
        for label in np.argsort(train, kind="stable").tolist():
            if has[label]:
                continue
            holders = group_of[by_label[starts[label] : starts[label + 1]]]
            for group in holders[np.argsort(contents.sizes[holders], kind="stable")].tolist():
                labels, _ = contents.classes(group)
                small = num_images < share / 2 or 2 * has.sum() < len(has)
                most = share * (_MOST_GROWTH_IF_SMALL if small else _MOST_GROWTH)
                if (
                    split_of_group[group] == 0
                    and num_images + contents.sizes[group] <= most
                    and np.all(train[labels] > 1)
                ):
                    split_of_group[group] = split
                    num_images += contents.sizes[group]
                    train[labels] -= 1
                    has[labels] = True
                    break
