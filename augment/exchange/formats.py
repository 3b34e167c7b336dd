"""The formats of an export, and writing one file of those that divide their images into files."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

from ..errors import EpochbankError
from ..shared.closest import did_you_mean
from ..shared.tfrecord import write_record
from ..store.description import Description
from . import npz, parquet, tfrecord, webdataset
from .blocks import Grouping, read_blocks
from .samples import samples
from .selection import Piece

FormatName = Literal["webdataset", "tfrecord", "parquet", "npz"]
"""Name of a format."""

FILE_NAMES: dict[str, Callable[[str, int, int], str]] = {
    "webdataset": webdataset.file_name, "tfrecord": tfrecord.file_name, "parquet": parquet.file_name,
}  # fmt: skip
"""For each format that divides its images into files, a function of the split, the number of the file and the number of
files that returns the path relative to the export."""

OVERHEAD = {
    "webdataset": webdataset.OVERHEAD, "tfrecord": tfrecord.OVERHEAD, "parquet": parquet.OVERHEAD,
    "npz": npz.OVERHEAD,
}  # fmt: skip
"""Bytes of an image beside its pixels or its PNG."""


def check_format(name: str) -> None:
    """Raise `EpochbankError` if a format is unknown, or a package that it needs is not installed."""
    if name not in OVERHEAD:
        raise EpochbankError(
            f"format {name!r} is unknown; expected one of {', '.join(OVERHEAD)}.{did_you_mean(str(name), OVERHEAD)}",
            usage=True,
        )
    if name == "parquet":
        parquet.check_installed()
    if name == "tfrecord":
        write_record(BytesIO(), b"")


@dataclass(frozen=True)
class FileTask:
    """A file to write."""

    path: Path
    format: str
    """A key of `FILE_NAMES`."""
    directory: Path
    """The set."""
    description: Description
    grouping: Grouping
    pieces: list[Piece]
    start: int
    """Number of the first image in the exported split."""


def write_file(task: FileTask) -> int:
    """Write and sync one new file, and return its number of images.

    Memory: one chunk, and for Parquet a row group. Raises `EpochbankError` if a shard is damaged, and `OSError` if the
    file cannot be written.
    """
    description = task.description
    blocks = read_blocks(task.directory, description, task.pieces, task.start, task.grouping)
    encoded = samples(blocks, description.class_names)
    with open(task.path, "xb") as file:
        if task.format == "webdataset":
            webdataset.write(file, encoded)
        elif task.format == "tfrecord":
            tfrecord.write(file, encoded, description.shape)
        else:
            parquet.write(file, encoded, description.class_names, task.grouping != "none")
        file.flush()
        os.fsync(file.fileno())
    return sum(piece.num_images for piece in task.pieces)
