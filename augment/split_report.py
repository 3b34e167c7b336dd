"""What a split achieved: pictures, classes and groups of each part, and whatever else people should know of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augment.balance import PerClass
from augment.split import Pictures
from augment.store.description import PARTS, Description
from augment.store.split_file import read_part

_NAMED = 5
"""Classes that are named at most, in a sentence."""


@dataclass(frozen=True)
class PartFacts:
    """What is in one part."""

    images: int
    classes: int
    groups: int | None
    """None where the source has no groups."""
    missing: list[str]
    """Names of the classes that it lacks; none where it has no pictures at all."""


def part_facts(labels: np.ndarray, groups: np.ndarray | None, class_names: list[str]) -> PartFacts:
    """The facts of a part with these `labels` and `groups` (int (n,))."""
    present = np.bincount(labels, minlength=len(class_names)) > 0
    absent = np.flatnonzero(~present).tolist() if len(labels) else []
    return PartFacts(
        images=len(labels),
        classes=int(present.sum()),
        groups=None if groups is None else int(np.count_nonzero(np.bincount(groups))),
        missing=[class_names[number] for number in absent],
    )


def part_lines(facts: dict[str, PartFacts], classes: int) -> list[str]:
    """A line for each part: its pictures, classes and groups, and the classes that it lacks."""
    total = sum(part.images for part in facts.values())
    lines = []
    for name, part in facts.items():
        share = 100 * part.images / max(1, total)
        line = f"  {name:10} {part.images:,} pictures ({share:.1f} %), {part.classes:,} of {classes:,} classes"
        line += f", {part.groups:,} group{'' if part.groups == 1 else 's'}" if part.groups is not None else ""
        if part.missing:
            shown = ", ".join(part.missing[:_NAMED]) + (", ..." if len(part.missing) > _NAMED else "")
            line += f"; lacks {shown}"
        lines.append(line)
    return lines


def parts_of_set(directory: Path, description: Description) -> dict[str, PartFacts]:
    """What of the source is in each part of a set."""
    found = {part: read_part(directory, part) for part in PARTS}
    return {part: part_facts(rows.label, rows.group, description.class_names) for part, rows in found.items()}


def balance_lines(head: str, per_class: PerClass | None, images: int, train: PartFacts) -> list[str]:
    """A line, which begins with `head`, on how many `images` an epoch has of the pictures of `train`; none where it has
    each of them once."""
    if per_class is None:
        return []
    return [
        f"{head}{per_class.least:,} to {per_class.most:,} pictures of each class in an epoch: {images:,}, from "
        f"{train.images:,} training pictures"
    ]


def split_warnings(pictures: Pictures, rows: dict[str, np.ndarray], alike: np.ndarray) -> list[str]:
    """Sentences about a split: classes that a part lacks, copies left out, pictures nearly alike on both sides.

    `rows` are the rows of each part, `alike` (int64 (k, 2)) pairs of rows with nearly the same picture.
    """
    part_of = np.full(len(pictures.labels), -1, np.int8)
    for number, part in enumerate(PARTS):
        part_of[rows[part]] = number
    return [
        *_missing(pictures, rows),
        *_copies(pictures, part_of),
        *_torn_groups(pictures, part_of),
        *_alike(part_of, alike),
    ]


def _missing(pictures: Pictures, rows: dict[str, np.ndarray]) -> list[str]:
    sentences = []
    for part in PARTS:
        facts = part_facts(pictures.labels[rows[part]], None, pictures.class_names)
        if facts.missing:
            shown = ", ".join(facts.missing[:_NAMED]) + (", ..." if len(facts.missing) > _NAMED else "")
            sentences.append(
                f"the {part} part lacks {len(facts.missing):,} of {len(pictures.class_names):,} classes: {shown}"
            )
    return sentences


def _copies(pictures: Pictures, part_of: np.ndarray) -> list[str]:
    """What became of pictures that are in the source several times."""
    copies, sentences = pictures.copies, []
    if len(copies):
        sentences.append(
            f"{len(copies):,} pictures are copies of others, pixel for pixel; none of them is on two sides of the split"
        )
    left_out = int(np.sum(part_of < 0))
    if left_out:
        sentences.append(f"{left_out:,} of them are in no part, since what they are copies of is held out")
    other = int(np.sum(pictures.labels[copies[:, 0]] != pictures.labels[copies[:, 1]]))
    if other:
        sentences.append(f"{other:,} copies stand under another class than the picture that they are a copy of")
    return sentences


def _torn_groups(pictures: Pictures, part_of: np.ndarray) -> list[str]:
    """Groups that the source's own parts tear apart."""
    if pictures.groups is None or pictures.parts is None:
        return []
    placed = part_of >= 0
    pairs = np.unique(np.stack([pictures.groups[placed], part_of[placed]], axis=1), axis=0)
    torn = int(np.sum(np.unique(pairs[:, 0], return_counts=True)[1] > 1))
    if not torn:
        return []
    return [f"{torn:,} groups are in several parts, as the source has them: --split fractions splits by whole groups"]


def _alike(part_of: np.ndarray, alike: np.ndarray) -> list[str]:
    one, other = part_of[alike[:, 0]], part_of[alike[:, 1]]
    across = int(np.sum((one != other) & (one >= 0) & (other >= 0)))
    if not across:
        return []
    return [
        f"{across:,} pairs of pictures on different sides of the split are nearly the same, though not pixel for pixel"
    ]
