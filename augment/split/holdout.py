"""The split into training, validation and test part: whole groups at a time, else class by class.

A pure function of labels, groups, the source's own parts, copies, fractions and a key: the seed of the distortions
has no say, so that experiments with several seeds and recipes are judged on the same test part.
"""

from dataclasses import dataclass, field

import numpy as np

from ..errors import EpochbankError
from ..ingest.source_file import NO_PAIRS
from ..store.description import PARTS
from .by_group import by_group, keyed_noise

_HELD_OUT = ("validation", "test")
_OPEN, _LEFT_OUT = -1, -2
"""What stands for a picture that is still to be put into a part, and for one that is in none."""


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


@dataclass(frozen=True)
class Pictures:
    """What a split is made of: what is known of a source's N pictures."""

    labels: np.ndarray
    """int32 (N,): index into `class_names`."""
    class_names: list[str]
    groups: np.ndarray | None = None
    """int32 (N,): the group of each; None where there are none."""
    parts: np.ndarray | None = None
    """int8 (N,): index into `PARTS` of the part that the source puts each in, -1 where it does not say; None where it
    says nothing of parts."""
    copies: np.ndarray = field(default_factory=lambda: NO_PAIRS)
    """int64 (k, 2): rows that are copies of an earlier one, with the first of their kind."""


def split_rows(pictures: Pictures, held_out: HeldOut, *, key: int) -> dict[str, np.ndarray]:
    """Rows (int64, ascending) of each part, by name.

    A part that the source names is what the source says; the others are drawn from what is left. With groups no
    group of those is on both sides, and each part comes as near to its fraction of every class as groups allow;
    without, each class is split by itself, and copies of a picture stay together. What is still a copy of a picture in
    a part that is held out more strictly (the test part before validation before training) is in no part; every other
    row is in one. A part asked for gets at least one group, or one picture of every class. `EpochbankError` where there
    are too few, or nothing is left for training.
    """
    part_of = np.full(len(pictures.labels), _OPEN, np.int8)
    fractions = {"test": held_out.test, "validation": held_out.validation}
    wanted = {part: fraction for part, fraction in fractions.items() if fraction > 0}
    if pictures.parts is not None:
        given = np.isin(pictures.parts, [PARTS.index(part) for part in _HELD_OUT])
        part_of[given] = pictures.parts[given]
        wanted = {part: fraction for part, fraction in wanted.items() if not np.any(part_of == PARTS.index(part))}
        part_of[_copies_of_held_out(part_of, pictures.copies)] = _LEFT_OUT
    rows = np.flatnonzero(part_of == _OPEN)
    part_of[rows] = PARTS.index("train")
    if pictures.groups is None and pictures.parts is None and not len(pictures.copies):
        part_of[rows] = _by_class(pictures.labels, wanted, key, pictures.class_names)
    elif pictures.groups is None:
        part_of[rows] = _by_kind(pictures, rows, wanted, key)
    elif wanted:
        part_of[rows] = by_group(pictures.labels[rows], pictures.groups[rows], wanted, key)
    part_of[_copies_of_held_out(part_of, pictures.copies)] = _LEFT_OUT
    if not np.any(part_of == PARTS.index("train")):
        held, copies = int(np.sum(part_of > 0)), int(np.sum(part_of == _LEFT_OUT))
        raise EpochbankError(
            f"nothing is left to train on: {held:,} pictures are held out, and {copies:,} are copies of these. Hold "
            "out less with --validation and --test, or ignore the source's own parts with --split fractions."
        )
    return {part: np.flatnonzero(part_of == number) for number, part in enumerate(PARTS)}


def _by_kind(pictures: Pictures, rows: np.ndarray, wanted: dict[str, float], key: int) -> np.ndarray:
    """The part of each of `rows`: class by class as `_by_class` has it, but whole kinds at a time, the copies of one
    picture. A class with fewer kinds than there are parts stays in training."""
    first = np.arange(len(pictures.labels))
    first[pictures.copies[:, 0]] = pictures.copies[:, 1]
    kinds, leader, kind_of = np.unique(first[rows], return_index=True, return_inverse=True)
    sizes = np.bincount(kind_of)
    labels = pictures.labels[rows[leader]]
    order = np.lexsort((keyed_noise(len(kinds), key), labels))
    sizes, labels = sizes[order], labels[order]
    total = np.bincount(labels, sizes, len(pictures.class_names))
    middle = np.cumsum(sizes) - sizes / 2 - (np.cumsum(total) - total)[labels]
    part_of, low = np.zeros(len(kinds), np.int8), np.zeros(len(total))
    several = np.bincount(labels, minlength=len(total)) > len(wanted)
    for part, fraction in wanted.items():
        high = low + np.maximum(1, np.round(fraction * total))
        inside = (middle >= low[labels]) & (middle < high[labels]) & several[labels]
        part_of[inside] = PARTS.index(part)
        low = high
    _one_of_each(part_of, labels, sizes, several, [0, *(PARTS.index(part) for part in wanted)])
    drawn = np.empty(len(kinds), np.int8)
    drawn[order] = part_of
    return drawn[kind_of]


def _one_of_each(
    part_of: np.ndarray, labels: np.ndarray, sizes: np.ndarray, several: np.ndarray, parts: list[int]
) -> None:
    """Give a part that has no kind of a class with `several` the smallest one, from a part that has more than one."""
    for part in parts:
        lacking = several & (np.bincount(labels[part_of == part], minlength=len(several)) == 0)
        for label in np.flatnonzero(lacking).tolist():
            mine = np.flatnonzero(labels == label)
            spare = mine[np.bincount(part_of[mine])[part_of[mine]] > 1]
            part_of[spare[np.argmin(sizes[spare])]] = part


def _copies_of_held_out(part_of: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Rows (int64) in a part that is held out less strictly than one that has a copy of them."""
    kinds, kind = np.unique(copies[:, 1], return_inverse=True)
    strictest = part_of[kinds].copy()
    np.maximum.at(strictest, kind, part_of[copies[:, 0]])
    return np.concatenate([kinds[part_of[kinds] < strictest], copies[part_of[copies[:, 0]] < strictest[kind], 0]])


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
    order = np.lexsort((keyed_noise(len(labels), key), labels))
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
