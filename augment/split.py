"""The split into training, validation and test part: whole groups at a time, else class by class.

A pure function of labels, groups, fractions and a key: the seed of the distortions has no say, so
that experiments with several seeds and recipes are judged on the same test part.
"""

from dataclasses import dataclass

import numpy as np

from augment.errors import EpochbankError
from augment.order import mix64
from augment.store.description import PARTS


def split_key(digest: str) -> int:
    """The key of the split of a source with this digest (hexadecimal): below 2^60."""
    return int(digest[:15], 16)


@dataclass(frozen=True)
class HeldOut:
    """Which fractions of the pictures are held out: each in [0, 1), their sum below 1; else `EpochbankError`."""

    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        for name, fraction in (("validation", self.validation), ("test", self.test)):
            if not 0 <= fraction < 1:
                raise EpochbankError(f"--{name} {fraction:g}; expected a fraction from 0 to below 1.", words=True)
        if self.validation + self.test >= 1:
            raise EpochbankError(
                f"--validation {self.validation:g} and --test {self.test:g} leave nothing to train on; "
                "expected a sum below 1.",
                words=True,
            )


def split_rows(
    labels: np.ndarray,
    groups: np.ndarray | None,
    held_out: HeldOut,
    *,
    key: int,
    class_names: list[str],
) -> dict[str, np.ndarray]:
    """Rows (int64, ascending) of each part, by name; together every row once.

    With `groups` (int32 (N,)) no group is on both sides, and each part comes as near to its fraction
    of the pictures as groups taken in a keyed order bring it; without, each class is split by itself.
    A part asked for gets at least one group, or one picture of every class. `EpochbankError` where there are too few.
    """
    fractions = {"test": held_out.test, "validation": held_out.validation}
    wanted = {part: fraction for part, fraction in fractions.items() if fraction > 0}
    part_of = _by_class(labels, wanted, key, class_names) if groups is None else _by_group(groups, wanted, key)
    return {part: np.flatnonzero(part_of == number) for number, part in enumerate(PARTS)}


def _by_class(labels: np.ndarray, wanted: dict[str, float], key: int, class_names: list[str]) -> np.ndarray:
    """Part number of every row: the first pictures of each class, in a keyed order, are held out."""
    sizes = np.bincount(labels, minlength=len(class_names))
    parts = len(wanted) + 1
    few = [name for name, size in zip(class_names, sizes, strict=True) if size < parts]
    if few:
        shown = ", ".join(few[:10]) + (f" and {len(few) - 10} more" if len(few) > 10 else "")
        asked = " and ".join(wanted) or "nothing"
        raise EpochbankError(
            f"{len(few)} of {len(class_names)} classes have fewer than {parts} picture(s), too few to split off "
            f"{asked}: {shown}. Give them more pictures, or leave out a part with --validation 0 or --test 0."
        )
    order = np.lexsort((_noise(len(labels), key), labels))
    place = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    part_of = np.zeros(len(labels), np.int8)
    taken = np.zeros(len(sizes), np.int64)
    for part, fraction in wanted.items():
        count = np.clip(np.round(fraction * sizes).astype(np.int64), 1, None)
        # Leave one for training and one for each part still to come.
        count = np.minimum(count, sizes - taken - (parts - 1 - list(wanted).index(part)))
        low, high = np.repeat(taken, sizes), np.repeat(taken + count, sizes)
        part_of[order[(place >= low) & (place < high)]] = PARTS.index(part)
        taken += count
    return part_of


def _by_group(groups: np.ndarray, wanted: dict[str, float], key: int) -> np.ndarray:
    """Part number of every row: groups in a keyed order, each that brings the part nearer to its fraction."""
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < len(wanted) + 1:
        raise EpochbankError(
            f"the source has {len(names)} group(s); expected at least {len(wanted) + 1}, one for training and one "
            f"for each of {' and '.join(wanted)}, since a group is never torn apart. Leave out a part with "
            "--validation 0 or --test 0, or import without --group-pattern."
        )
    part_of_group = np.zeros(len(names), np.int8)
    remaining = list(np.argsort(_noise(len(names), key), kind="stable"))
    for still, (part, fraction) in zip(range(len(wanted), 0, -1), wanted.items(), strict=True):
        target, held = fraction * len(groups), 0
        taken: list[int] = []
        for group in remaining:
            spare = len(remaining) - len(taken) > still  # Leave one for each part to come.
            if spare and abs(held + sizes[group] - target) < abs(held - target):
                taken.append(group)
                held += sizes[group]
        taken = taken or [min(remaining, key=lambda group: abs(sizes[group] - target))]
        part_of_group[taken] = PARTS.index(part)
        remaining = [group for group in remaining if group not in set(taken)]
    return part_of_group[np.searchsorted(names, groups)]


def _noise(n: int, key: int) -> np.ndarray:
    """uint64 (n,): a keyed scramble of 0, ..., n - 1 to sort by."""
    return mix64(np.arange(n, dtype=np.uint64) ^ np.uint64(key))


def classes_missing(labels_of: dict[str, np.ndarray], class_names: list[str]) -> list[str]:
    """A sentence for each part that has pictures but lacks classes; `labels_of` are labels by part."""
    sentences = []
    for part, labels in labels_of.items():
        absent = np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0)
        if len(labels) and len(absent):
            shown = ", ".join(class_names[number] for number in absent[:5]) + (", ..." if len(absent) > 5 else "")
            sentences.append(f"the {part} part lacks {len(absent):,} of {len(class_names):,} classes: {shown}")
    return sentences
