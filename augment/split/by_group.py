"""Splitting by whole groups, stratified: every part shall have its fraction of each class, as far as groups allow.

Groups, the largest first, go one by one to the part that has the least of its share of what is in them: the method of
Sainte-Lague for seats in a parliament, with a share of every class and one of all pictures.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..errors import EpochbankError
from ..shared.permutation import mix64
from ..store.description import PARTS

_MOST, _MOST_OF_POOR = 1.5, 3.0
"""How many times its fraction a part may grow to, to have a class that it lacks; and one that has less than half of its
fraction, or of the classes."""


@dataclass(frozen=True)
class _Groups:
    """Which classes are in each of G groups: the labels and counts `begin[g]` to `begin[g + 1]` - 1 are group g's."""

    sizes: np.ndarray
    begin: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    def classes(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """The labels in a group, and how many pictures of each."""
        here = slice(self.begin[group], self.begin[group + 1])
        return self.labels[here], self.counts[here]


def by_group(labels: np.ndarray, groups: np.ndarray, wanted: dict[str, float], key: int) -> np.ndarray:
    """The part (int8 (N,), index into `PARTS`) of each picture, no group in two.

    `labels` and `groups` are int (N,); `wanted` has the fraction of each part that is held out, and `key` orders
    groups of one size. A part gets at least one group; `EpochbankError` where there are too few.
    """
    members, count = _renumbered(groups)
    if count < len(wanted) + 1:
        raise EpochbankError(
            f"the source has {count} group(s); expected at least {len(wanted) + 1}, one for training and one "
            f"for each of {' and '.join(wanted)}, since a group is never torn apart. Leave out a part with "
            "--validation 0 or --test 0, or import without --group-pattern."
        )
    found = _contents(_renumbered(labels)[0], members, count)
    parts = [0, *(PARTS.index(part) for part in wanted)]
    shares = np.array([1 - sum(wanted.values()), *wanted.values()])
    part_of_group = _assigned(found, shares, keyed_noise(count, key))
    _fill_empty(part_of_group, found, shares)
    _give_back(part_of_group, found)
    _cover(part_of_group, found, shares)
    return np.array(parts, np.int8)[part_of_group][members]


def _renumbered(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """`numbers` (int (n,), from 0), closed up so that none is left out, and how many different ones there are."""
    present = np.bincount(numbers) > 0
    return (np.cumsum(present, dtype=np.int32) - 1)[numbers], int(present.sum())


def keyed_noise(n: int, key: int) -> np.ndarray:
    """uint64 (n,): a keyed scramble of 0, ..., n - 1 to sort by."""
    return mix64(np.arange(n, dtype=np.uint64) ^ np.uint64(key))


def _contents(labels: np.ndarray, members: np.ndarray, groups: int) -> _Groups:
    classes = int(labels.max()) + 1
    pairs, counts = np.unique(members.astype(np.int64) * classes + labels, return_counts=True)
    group, label = np.divmod(pairs, classes)
    return _Groups(np.bincount(members, minlength=groups), np.searchsorted(group, np.arange(groups + 1)), label, counts)


def _assigned(found: _Groups, shares: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The part of each group, int64 (G,), as an index into `shares`."""
    total = np.bincount(found.labels, found.counts)
    # By part, then by class, and at the end for all pictures: what there is of each share.
    share = shares[:, None] * np.append(total, total.sum())
    held = np.zeros_like(share)
    part_of_group = np.zeros(len(found.sizes), np.int64)
    for group in np.lexsort((noise, -found.sizes)).tolist():
        labels, counts = found.classes(group)
        where, more = np.append(labels, len(total)), np.append(counts, found.sizes[group])
        # Every quotient is exact to the last bit on any machine, and so is their sum.
        filled = [math.fsum(one) for one in ((held[:, where] + more / 2) / share[:, where] * more).tolist()]
        part = filled.index(min(filled))
        held[part, where] += more
        part_of_group[group] = part
    return part_of_group


def _fill_empty(part_of_group: np.ndarray, found: _Groups, shares: np.ndarray) -> None:
    """Give a part without a group the one nearest to its size, from a part that has several."""
    for part in range(len(shares)):
        if not np.any(part_of_group == part):
            spare = np.flatnonzero(np.bincount(part_of_group, minlength=len(shares))[part_of_group] > 1)
            off = np.abs(found.sizes[spare] - shares[part] * found.sizes.sum())
            part_of_group[spare[np.argmin(off)]] = part


def _give_back(part_of_group: np.ndarray, found: _Groups) -> None:
    """Give training the smallest group of each class that it lacks, from a part that has another group."""
    group_of = np.repeat(np.arange(len(found.sizes)), np.diff(found.begin))
    train = np.bincount(found.labels[part_of_group[group_of] == 0], minlength=int(found.labels.max()) + 1)
    for label in np.flatnonzero(train == 0).tolist():
        holders = group_of[found.labels == label]
        spare = holders[np.bincount(part_of_group)[part_of_group[holders]] > 1]
        if train[label] == 0 and len(spare):
            group = spare[np.argmin(found.sizes[spare])]
            part_of_group[group] = 0
            train[found.classes(group)[0]] += 1


def _cover(part_of_group: np.ndarray, found: _Groups, shares: np.ndarray) -> None:
    """Give a held-out part that lacks a class the smallest training group that has it and can be spared.

    It can be where training keeps every class, and the part does not grow far beyond its fraction.
    """
    group_of = np.repeat(np.arange(len(found.sizes)), np.diff(found.begin))
    by_label = np.argsort(found.labels, kind="stable")
    starts = np.searchsorted(found.labels[by_label], np.arange(found.labels.max() + 2))
    train = np.bincount(found.labels[part_of_group[group_of] == 0], minlength=len(starts) - 1)
    for part in range(1, len(shares)):
        images = found.sizes[part_of_group == part].sum()
        share = shares[part] * found.sizes.sum()
        has = np.bincount(found.labels[part_of_group[group_of] == part], minlength=len(train)) > 0
        for label in np.argsort(train, kind="stable").tolist():
            if has[label]:
                continue
            holders = group_of[by_label[starts[label] : starts[label + 1]]]
            for group in holders[np.argsort(found.sizes[holders], kind="stable")].tolist():
                labels, _ = found.classes(group)
                poor = images < share / 2 or 2 * has.sum() < len(has)
                most = share * (_MOST_OF_POOR if poor else _MOST)
                if part_of_group[group] == 0 and images + found.sizes[group] <= most and np.all(train[labels] > 1):
                    part_of_group[group] = part
                    images += found.sizes[group]
                    train[labels] -= 1
                    has[labels] = True
                    break
