"""Near-duplicates and identical images of different classes, side by side, from the source file of a set."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...errors import EpochbankError
from ...generation.stored_spec import stored_source
from ...ingest.source_file import SourceFile
from ...shared.progress import counted
from ...shared.types import SPLITS
from ...store.description import Description
from ...store.order import rows_of_split
from ..origins import origins_at
from .pictures import Picture, picture

_PAIRS = 18
"""Pairs that are shown."""


@dataclass(frozen=True)
class Side:
    """One image of a pair."""

    picture: Picture
    class_name: str
    split: str
    origin: str


@dataclass(frozen=True)
class Pair:
    """Two images that are nearly, or exactly, the same."""

    identical: bool
    one: Side
    other: Side


@dataclass
class NearDuplicates:
    """What the import found, and some of the pairs."""

    sentences: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def near_duplicates(directory: Path, description: Description) -> NearDuplicates:
    """Return the near-duplicates of a set's source: pairs of different classes first, then those across splits."""
    path = description.source_path(directory)
    if not path.exists():
        return NearDuplicates(
            [f"The source file {path} does not exist, so its near-duplicates cannot be shown. The set is complete "
             "without it."]
        )  # fmt: skip
    try:
        return _found(directory, description, stored_source(directory, description))
    except EpochbankError as error:
        return NearDuplicates(
            ["The source file cannot be read, so near-duplicates cannot be shown."], faults=[str(error)]
        )


def _found(directory: Path, description: Description, source: SourceFile) -> NearDuplicates:
    if source.duplicates is None:
        return NearDuplicates(["The source was imported by a version of epochbank that did not search for duplicates."])
    labels, splits = source.column("label"), _splits(directory, source.num_images)
    near, same = source.column("near_duplicates"), source.column("duplicates")
    mislabeled, differ = same[_differ(labels, same)], _differ(labels, near)
    across = _differ(splits, near) & (splits[near] >= 0).all(axis=1)
    sentences = [
        _near_sentence(len(near), int(differ.sum()), int(across.sum()), source.near_duplicates_complete),
        _same_sentence(len(same), len(mislabeled)),
    ]
    first = near[np.lexsort((~across, ~differ))]
    kinds = [(True, pair) for pair in mislabeled[:_PAIRS]] + [(False, pair) for pair in first[:_PAIRS]]
    chosen = kinds[:_PAIRS]
    rows = np.unique(np.array([pair for _, pair in chosen], np.int64))
    origins = dict(zip(rows.tolist(), origins_at(source.path, rows), strict=True))

    def side(row: int) -> Side:
        name = description.class_names[labels[row]]
        split = SPLITS[splits[row]] if splits[row] >= 0 else "in no split"
        return Side(picture(source.read(np.array([row]))[0], f"row {row}, class {name}"), name, split, origins[row])

    pairs = [Pair(identical, side(other), side(one)) for identical, (one, other) in chosen]
    return NearDuplicates(sentences, pairs)


def _near_sentence(pairs: int, differ: int, across: int, complete: bool) -> str:
    if not pairs:
        return "There are no near-duplicates."
    return (
        f"{'' if complete else 'At least '}{counted(pairs, 'pair')} of near-duplicates: {differ:,} of different "
        f"classes, {across:,} in different splits."
    )


def _same_sentence(images: int, differ: int) -> str:
    if not images:
        return "No two images are identical."
    return (
        f"{counted(images, 'image')} {'is' if images == 1 else 'are'} identical to another one, {differ:,} of them of "
        "a different class. Identical images are always in the same split."
    )


def _differ(column: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return for each of `pairs` of rows whether their values in `column` differ, bool (k,)."""
    return column[pairs[:, 0]] != column[pairs[:, 1]]


def _splits(directory: Path, num_images: int) -> np.ndarray:
    """Return the split of each row of the source, int8 (N,): index into `SPLITS`, or -1."""
    split_of = np.full(num_images, -1, np.int8)
    for number, split in enumerate(SPLITS):
        split_of[rows_of_split(directory, split).row] = number
    return split_of
