"""The contract of every kind of source: a cheap identity, a scan of its contents, and a reader for workers."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from .decode import BadImage
from .similar_names import similar_names


@dataclass(frozen=True)
class SourceOptions:
    """Options that select images of a source, and their groups and splits."""

    group_pattern: str | None = None
    """A regular expression that finds the group in a path."""
    etl_sets: str | None = None
    """Sets of the ETL Character Database, such as `8G,9G`."""
    characters: str | None = None
    """Groups of characters, such as `kanji,hiragana`, or the characters themselves."""
    split: Literal["source", "fractions"] = "source"
    """`source` uses the splits that the source defines (folders, a CSV column); `fractions` ignores them."""
    label_pattern: str | None = None
    """A regular expression that finds the class in a path."""
    path_template: str | None = None
    """Path of an image in a list, made from its columns: `images/{id}.jpg`."""
    class_names: str | None = None
    """Path of a file with the names of integer labels."""
    images_key: str | None = None
    """Name of the array, dataset or column of images; None for the usual names."""
    labels_key: str | None = None
    """Name of the array, dataset or column of labels; None for the usual names."""
    layout: Literal["auto", "nhwc", "nchw", "hwcn", "flat"] = "auto"
    """Order of the axes of an array of images; in `flat`, each image is a row of pixels."""
    value_range: str = "auto"
    """Pixel values that become 0 and 255: `255` for 0 to 255, `-1:1` for -1 to 1; `auto` decides by the values."""
    name_encoding: str | None = None
    """Encoding of names in a .zip archive that are not in UTF-8, such as `cp932`."""


SPLIT_NAMES = {
    "train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2, "testing": 2,
    "eval": 2, "evaluation": 2, "holdout": 2, "publictest": 1, "privatetest": 2, "": -1,
}  # fmt: skip
"""Names of splits in sources, in lower case: the index into `SPLITS`, or -1 for an empty name."""

Decoded = Image.Image | np.ndarray | BadImage
"""One decoded image in mode L, RGB, I;16, I or F; or n images of one size, integers or floats (n, H, W) or
(n, H, W, 3); or one bad image. `value_range.in_bytes` converts values that are not uint8."""


class Reader(Protocol):
    """Reads images, usually in a worker process. A reader is pickled, so it must be small."""

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """Yield the images at `indices` (int64, ascending) in this order, one by one or in runs of up to 8 MiB.

        Images may be large, so a reader never holds a whole block of them.
        """
        ...

    def origin(self, index: int) -> str:
        """Return a readable description of where image `index` comes from: a path, or `images[17]`."""
        ...


@dataclass(frozen=True)
class Scan:
    """The contents of a source. It takes 9 bytes per image: label, group and split, but no path and no pixels."""

    reader: Reader
    labels: np.ndarray
    """int32 (N,): index into `class_names`."""
    class_names: list[str]
    groups: np.ndarray | None = None
    """int32 (N,): index into `group_names`; None if the source has no groups."""
    group_names: list[str] | None = None
    size: tuple[int, int] | None = None
    """(H, W) that images are resized to if the user gives no size; None for the general default."""
    channels: int | None = None
    """1 or 3 if the source determines it; None if a sample of images decides."""
    splits: np.ndarray | None = None
    """int8 (N,): index into `SPLITS`, or -1 for an image without a split; None if the source defines no splits."""
    light: bool | None = None
    """Whether the images have dark ink on a light background, if the format says so; None if a sample decides."""
    bad: list[tuple[str, str]] = field(default_factory=list)
    """Unusable items that are not among the N images: (origin, reason)."""
    notes: list[str] = field(default_factory=list)
    """Messages for the user about the scan, one sentence each."""

    def all_notes(self) -> list[str]:
        """Return the notes, and one on class names that may be meant to be the same."""
        return [*self.notes, *similar_names(self.class_names)]


class Source(Protocol):
    """Labeled images of one kind."""

    name: str
    """Readable name, also used in file names: letters, digits, '-', '_' and '.'."""

    def identity(self) -> Any:
        """Return JSON that changes when the source changes, for any options. Cheap: reads no image."""
        ...

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """List the images with `jobs` processes. The scan's reader may need files that this writes to `workspace`."""
        ...


def size_and_mtime(path: bytes | Path) -> str:
    """Return size and modification time of a file, or '' if it is missing or inaccessible: reading it reports why."""
    try:
        status = os.stat(path)  # noqa: PTH116  bytes as well
    except (OSError, ValueError):
        return ""
    return f"{status.st_size}/{status.st_mtime_ns}"


def file_identity(path: Path) -> list[Any]:
    """Return absolute path, size in bytes and modification time in nanoseconds of a file."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
