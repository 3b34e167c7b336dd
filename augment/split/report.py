"""Report on a split: images, classes and groups of each split, and warnings."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..ingest.source_file import SourceFile
from ..shared.progress import counted
from ..shared.renamed import rename_keys
from ..shared.types import SPLITS
from ..store.balance import PerClass
from ..store.description import Description
from ..store.split_file import read_split
from .holdout import HeldOut, SplitInput

_NAMED, _NAME_LENGTH = 3, 24
"""Maximum number of classes that are listed, and of characters of a name."""


@dataclass(frozen=True)
class SplitFacts:
    """The contents of one split."""

    num_images: int
    classes: int
    groups: int | None
    """None if the source has no groups."""
    missing: list[str]
    """Names of the classes without images here; empty if there are no images at all."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; `num_images` is called `images` there."""
        return rename_keys(asdict(self), {"num_images": "images"})

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "SplitFacts":
        """Return the facts from the result of `to_json`."""
        return cls(**rename_keys(document, {"images": "num_images"}))


def split_facts(labels: np.ndarray, groups: np.ndarray | None, class_names: list[str]) -> SplitFacts:
    """Return the facts of a split with these `labels` and `groups` (int (n,))."""
    present = np.bincount(labels, minlength=len(class_names)) > 0
    absent = np.flatnonzero(~present).tolist() if len(labels) else []
    return SplitFacts(
        num_images=len(labels),
        classes=int(present.sum()),
        groups=None if groups is None else int(np.count_nonzero(np.bincount(groups))),
        missing=[class_names[number] for number in absent],
    )


def split_table(facts: dict[str, SplitFacts], classes: int) -> list[str]:
    """Return a line for each split: its images, classes and groups, and the classes that it lacks."""
    total = sum(split.num_images for split in facts.values())
    lines = []
    for name, split in facts.items():
        share = 100 * split.num_images / max(1, total)
        line = f"  {name:10} {counted(split.num_images, 'image')} ({share:.1f} %), "
        line += f"{split.classes:,} of {counted(classes, 'class')}"
        line += f", {counted(split.groups, 'group')}" if split.groups is not None else ""
        if split.missing:
            names = [name if len(name) <= _NAME_LENGTH else f"...{name[-_NAME_LENGTH:]}" for name in split.missing]
            line += f"; lacks {', '.join(names[:_NAMED])}" + (", ..." if len(names) > _NAMED else "")
        lines.append(line)
    return lines


def splits_of_set(directory: Path, description: Description) -> dict[str, SplitFacts]:
    """Return what each split of the set in `directory` has of the source."""
    found = {split: read_split(directory, split) for split in SPLITS}
    return {split: split_facts(rows.label, rows.group, description.class_names) for split, rows in found.items()}


def balance_lines(head: str, per_class: PerClass | None, num_images: int, train: SplitFacts) -> list[str]:
    """Return a line on the images of a class-balanced epoch, which begins with `head`; none without balancing."""
    if per_class is None:
        return []
    return [
        f"{head}{per_class.least:,} to {per_class.most:,} images per class: {num_images:,} images per epoch, sampled "
        f"from {train.num_images:,} training images"
    ]


def split_warnings(source: SourceFile, images: SplitInput, rows: dict[str, np.ndarray], held_out: HeldOut) -> list[str]:
    """Return warnings about a split, one sentence each: missed fractions, duplicates, divided groups.

    `rows` has the rows of each split. `split_table` shows the missing classes.
    """
    split_of = np.full(len(images.labels), -1, np.int8)
    for number, split in enumerate(SPLITS):
        split_of[rows[split]] = number
    old_format = (
        "the source file was written before imports looked for duplicates; import the source again to keep duplicates "
        "in one split"
    )
    return [
        *([old_format] if source.duplicates is None else []),
        *_fraction_warnings(images, split_of, held_out),
        *_duplicate_warnings(images, split_of),
        *_group_warnings(images, split_of),
        *_near_duplicate_warnings(split_of, source.column("near_duplicates"), source.near_duplicates_complete),
    ]


def _fraction_warnings(images: SplitInput, split_of: np.ndarray, held_out: HeldOut) -> list[str]:
    """Return warnings about splits that the source defines, and about fractions that were missed."""
    sentences: list[str] = []
    for split, fraction in (("validation", held_out.validation), ("test", held_out.test)):
        number = SPLITS.index(split)
        named = images.splits is not None and bool(np.any(images.splits == number))
        share = float(np.mean(split_of == number))
        if named and fraction:
            sentences.append(f"the source defines the {split} split, so --{split} has no effect")
        elif fraction and (share == 0 or (images.groups is not None and not fraction / 2 <= share <= 2 * fraction)):
            sentences.append(
                f"the {split} split has {100 * share:.1f} % of the images instead of {100 * fraction:g} %: groups are "
                "too few or too large, or duplicates were left out"
            )
    return sentences


def _duplicate_warnings(images: SplitInput, split_of: np.ndarray) -> list[str]:
    duplicates, sentences = images.duplicates, []
    if len(duplicates):
        sentences.append(f"exact duplicates of other images: {len(duplicates):,}; none is in another split")
    left_out = int(np.sum(split_of < 0))
    if left_out:
        sentences.append(f"duplicates in no split, because the image that they duplicate is held out: {left_out:,}")
    other = int(np.sum(images.labels[duplicates[:, 0]] != images.labels[duplicates[:, 1]]))
    if other:
        sentences.append(f"duplicates with another class than the image that they duplicate: {other:,}")
    return sentences


def _group_warnings(images: SplitInput, split_of: np.ndarray) -> list[str]:
    """Return a warning if the splits that the source defines divide groups."""
    if images.groups is None or images.splits is None:
        return []
    assigned = split_of >= 0
    pairs = np.unique(np.stack([images.groups[assigned], split_of[assigned]], axis=1), axis=0)
    divided = int(np.sum(np.unique(pairs[:, 0], return_counts=True)[1] > 1))
    if not divided:
        return []
    return [
        f"groups in several splits, as the source defines them: {divided:,}; --split fractions keeps groups together"
    ]


def _near_duplicate_warnings(split_of: np.ndarray, near_duplicates: np.ndarray, complete: bool) -> list[str]:
    one, other = split_of[near_duplicates[:, 0]], split_of[near_duplicates[:, 1]]
    across = int(np.sum((one != other) & (one >= 0) & (other >= 0)))
    if not across:
        return []
    return [
        f"{'' if complete else 'at least '}{counted(across, 'pair')} of near-duplicates "
        f"{'is' if across == 1 else 'are'} in different splits"
    ]
