"""Start a new set: compute its split, and write `split.h5` and `set.json`."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..ingest.resolve import SOURCES
from ..ingest.source_file import SourceFile
from ..shared.types import SPLITS
from ..split.holdout import HeldOut, SplitInput, split_key, split_rows
from ..split.report import split_warnings
from ..store import split_file
from ..store.description import Description, write_description
from ..store.digest import file_checksum
from ..store.split_file import SplitRows, write_split
from .spec import SetSpec


@dataclass(frozen=True)
class ComputedSplit:
    """The splits of a set that does not exist yet."""

    rows: dict[str, SplitRows] = field(repr=False)
    """By split."""
    num_images: dict[str, int]
    """Number of images that the set has of each split; of training images, those of one epoch."""
    warnings: list[str]
    """Warnings about the split, one sentence each."""


def split_input(source: SourceFile, use_source_splits: bool = True) -> SplitInput:
    """Return what a split of `source` is computed from, with the source's own splits if `use_source_splits`."""
    return SplitInput(
        labels=source.column("label"),
        class_names=source.class_names,
        groups=source.column("group") if source.group_names else None,
        splits=source.column("split") if source.splits and use_source_splits else None,
        duplicates=source.column("duplicates"),
    )


def compute_split(spec: SetSpec) -> ComputedSplit:
    """Compute rows, labels and groups of each split, and warnings about them."""
    images = split_input(spec.source, spec.use_source_splits)
    splits = rows_of_splits(images, spec.held_out, spec.source.digest)
    rows = {split: found.row for split, found in splits.items()}
    num_images = {split: len(found.row) for split, found in splits.items()}
    if spec.per_class is not None:
        num_images["train"] = spec.per_class.num_images(np.bincount(splits["train"].label))
    return ComputedSplit(splits, num_images, split_warnings(spec.source, images, rows, spec.held_out))


def rows_of_splits(images: SplitInput, held_out: HeldOut, digest: str) -> dict[str, SplitRows]:
    """Return the rows, labels and groups of each split of a source with this digest."""
    rows = split_rows(images, held_out, key=split_key(digest))
    labels, groups = images.labels, images.groups
    return {
        split: SplitRows(rows[split], labels[rows[split]], None if groups is None else groups[rows[split]])
        for split in SPLITS
    }


def begin_set(directory: Path, spec: SetSpec, split: ComputedSplit, source_name: str) -> Description:
    """Write `split.h5` and `set.json` into `directory`, which the caller has locked.

    `source_name` is SOURCE as the user gave it.
    """
    write_split(directory, split.rows, spec.source.group_names, by_class=spec.per_class is not None)
    description = Description(
        fingerprint=spec.fingerprint,
        identity=spec.identity,
        source={
            "name": spec.source.name,
            "spec": source_name,
            "path": _source_path(directory.parent, spec.source),
            "notes": spec.source.notes,
            **({"preprocessing": spec.source.preprocessing} if spec.source.preprocessing else {}),
        },
        recipe=spec.recipe.name,
        class_names=spec.source.class_names,
        num_images=split.num_images,
        split_checksum=file_checksum(directory / split_file.NAME),
        warnings=split.warnings,
    )
    write_description(directory, description)
    return description


def _source_path(sets: Path, source: SourceFile) -> str:
    """Return the path of the source file; relative if it is in `sets/sources/`, so that both can be moved together."""
    if source.path.parent == (sets / SOURCES).resolve():
        return f"../{SOURCES}/{source.path.name}"
    return str(source.path)
