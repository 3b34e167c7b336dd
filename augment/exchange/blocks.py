"""Read the images of an export in blocks, with their labels and places. Each shard is checked before it is read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import EpochbankError
from ..shared.unreadable import unreadable
from ..store.description import Description
from ..store.digest import file_checksum
from ..store.manifest import Entry
from ..store.presence import fault_of
from ..store.shard_index import DAMAGE
from ..store.shard_read import read_chunks
from ..store.split_file import read_group_names, read_split
from .selection import UNDISTORTED, Piece, Selection

Grouping = Literal["source", "row", "none"]
"""What the group of an exported image is: its group in the source, or its row, so that all images of one row are in one
split if the export is split again."""


@dataclass(frozen=True)
class Block:
    """Consecutive images of an export."""

    start: int
    """Number of the first image in the exported split."""
    images: np.ndarray
    """uint8 (n, H, W, C)."""
    labels: np.ndarray
    """int32 (n,): class index."""
    rows: np.ndarray
    """int64 (n,): row in the source file."""
    groups: list[str] | None
    """Name of the group of each image; None if the export has no groups."""
    epoch: int
    """Number of the stored epoch; `UNDISTORTED` for a split."""
    position: int
    """Position of the first image in the stored epoch or split."""


def grouping_of(directory: Path, description: Description, selection: Selection) -> Grouping:
    """Return what the groups of an export are: those of the source, or rows if some row has several images."""
    if read_group_names(directory):
        return "source"
    several = len(selection.epochs) + selection.originals > 1
    return "row" if several or (selection.epochs and description.per_class is not None) else "none"


def row_group(row: int) -> str:
    """Return the name of the group of a row of the source."""
    return f"row {row}"


def read_blocks(
    directory: Path, description: Description, pieces: list[Piece], start: int, grouping: Grouping = "none"
) -> Iterator[Block]:
    """Yield the images of `pieces`, which are of one exported split, in order. Memory: one chunk.

    Parameters
    ----------
    directory, description
        The set.
    pieces
        Parts of shards.
    start
        Number of the first image in the exported split.
    grouping
        What the groups of the images are.

    Raises
    ------
    EpochbankError
        If a shard is missing, damaged, or not the one in the manifest. None of its images is yielded then.
    """
    names = read_group_names(directory) if grouping == "source" else []
    checked: Entry | None = None
    for piece in pieces:
        entry = piece.entry
        if entry != checked:
            _check(directory, entry)
            checked = entry
        for at, content in read_chunks(directory, entry, piece.first, piece.last):
            inside = slice(max(piece.first - at, 0), piece.last - at)
            images, labels, rows = (column[inside] for column in content)
            _check_values(directory, description, entry, images, labels)
            yield Block(
                start=start,
                images=images,
                labels=labels,
                rows=rows,
                groups=_groups(directory, entry, rows, grouping, names),
                epoch=entry.epoch if entry.split == "epoch" else UNDISTORTED,
                position=max(piece.first, at),
            )
            start += len(images)


def _check(directory: Path, entry: Entry) -> None:
    """Raise `EpochbankError` if a shard is not the file that the manifest lists.

    Chunks and labels have separate checksums in a shard, but rows, which determine the groups, have none.
    """
    path = directory / entry.file
    fault = fault_of(path, entry)
    try:
        if not fault and file_checksum(path) != entry.checksum:
            fault = "its checksum is wrong"
    except DAMAGE as error:
        other = unreadable(path, error)
        if other is not None:
            raise other from error
        fault = str(error)
    if fault:
        raise EpochbankError(
            f"{path} is damaged: {fault}. Run `augment repair {directory}`, which generates the shard again."
        )


def _check_values(
    directory: Path, description: Description, entry: Entry, images: np.ndarray, labels: np.ndarray
) -> None:
    """Raise `EpochbankError` if a shard does not fit `set.json`, as in a crafted set."""
    classes = len(description.class_names)
    wrong = labels.min() < 0 or labels.max() >= classes
    if wrong or images.shape[1:] != description.shape:
        raise EpochbankError(
            f"{directory / entry.file} has images of shape {images.shape[1:]} with labels {labels.min()} to "
            f"{labels.max()}; expected {description.shape} and 0 to {classes - 1}, as set.json says. Generate the set "
            "again."
        )


def _groups(directory: Path, entry: Entry, rows: np.ndarray, grouping: Grouping, names: list[str]) -> list[str] | None:
    """Return the name of the group of each row of a shard; None if there are no groups. `names` are the source's."""
    if grouping != "source":
        return list(map(row_group, rows.tolist())) if grouping == "row" else None
    split = read_split(directory, "train" if entry.split == "epoch" else entry.split)
    places = np.minimum(np.searchsorted(split.row, rows), len(split.row) - 1)
    if not np.array_equal(split.row[places], rows) or split.group is None:
        raise EpochbankError(
            f"{directory / entry.file} has rows that are not in split.h5. `augment verify` checks the set."
        )
    return [names[number] for number in split.group[places]]
