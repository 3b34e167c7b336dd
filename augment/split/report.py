"""What a split achieved: pictures, classes and groups of each part, and whatever else people should know of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..ingest.source_file import SourceFile
from ..shared.progress import counted
from ..store.description import PARTS, Description
from ..store.split_file import read_part
from .balance import PerClass
from .holdout import HeldOut, Pictures

_NAMED, _NAME_LENGTH = 3, 24
"""Classes that are named at most, and letters of a name."""


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
        line = f"  {name:10} {counted(part.images, 'picture')} ({share:.1f} %), {part.classes:,} of {classes:,} classes"
        line += f", {counted(part.groups, 'group')}" if part.groups is not None else ""
        if part.missing:
            names = [name if len(name) <= _NAME_LENGTH else f"...{name[-_NAME_LENGTH:]}" for name in part.missing]
            line += f"; lacks {', '.join(names[:_NAMED])}" + (", ..." if len(names) > _NAMED else "")
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


def split_warnings(source: SourceFile, pictures: Pictures, rows: dict[str, np.ndarray], held_out: HeldOut) -> list[str]:
    """Sentences about a split: fractions that were missed, copies left out, pictures nearly alike on both sides.

    `rows` are the rows of each part. What a part lacks, `part_lines` tells.
    """
    unknown = "the source file is from before copies were looked for: import the source again to have them on one side"
    part_of = np.full(len(pictures.labels), -1, np.int8)
    for number, part in enumerate(PARTS):
        part_of[rows[part]] = number
    return [
        *([unknown] if source.copies is None else []),
        *_fractions(pictures, part_of, held_out),
        *_copies(pictures, part_of),
        *_torn_groups(pictures, part_of),
        *_alike(part_of, source.column("alike"), source.alike_complete),
    ]


def _fractions(pictures: Pictures, part_of: np.ndarray, held_out: HeldOut) -> list[str]:
    """Parts that are the source's own, and those drawn by whole groups that came out far from what was asked."""
    sentences: list[str] = []
    for part, fraction in (("validation", held_out.validation), ("test", held_out.test)):
        number = PARTS.index(part)
        named = pictures.parts is not None and bool(np.any(pictures.parts == number))
        share = float(np.mean(part_of == number))
        if named and fraction:
            sentences.append(f"the {part} part is the source's own: --{part} does not count")
        elif fraction and (share == 0 or (pictures.groups is not None and not fraction / 2 <= share <= 2 * fraction)):
            sentences.append(
                f"the {part} part has {100 * share:.1f} % of the pictures, and was to have {100 * fraction:g} %: "
                "groups are whole, and too few or too large for it, or copies of others"
            )
    return sentences


def _copies(pictures: Pictures, part_of: np.ndarray) -> list[str]:
    """What became of pictures that are in the source several times."""
    copies, sentences = pictures.copies, []
    if len(copies):
        sentences.append(
            f"copies of other pictures, pixel for pixel: {len(copies):,}; none is on another side of the split"
        )
    left_out = int(np.sum(part_of < 0))
    if left_out:
        sentences.append(f"of these in no part, since what they are copies of is held out: {left_out:,}")
    other = int(np.sum(pictures.labels[copies[:, 0]] != pictures.labels[copies[:, 1]]))
    if other:
        sentences.append(f"of these under another class than the picture that they are a copy of: {other:,}")
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
    return [f"groups in several parts, as the source has them: {torn:,}; --split fractions splits by whole groups"]


def _alike(part_of: np.ndarray, alike: np.ndarray, complete: bool) -> list[str]:
    one, other = part_of[alike[:, 0]], part_of[alike[:, 1]]
    across = int(np.sum((one != other) & (one >= 0) & (other >= 0)))
    if not across:
        return []
    return [
        f"{'' if complete else 'at least '}{counted(across, 'pair')} of pictures on different sides of the split "
        f"{'is' if across == 1 else 'are'} nearly the same, though not pixel for pixel"
    ]
