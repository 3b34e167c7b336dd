"""What every kind of source offers: a cheap identity, a scan of what is there, and a reader for workers."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from .decode import BadPicture


@dataclass(frozen=True)
class SourceOptions:
    """What the user may say about where a source's pictures are, and which of them are meant."""

    group_pattern: str | None = None
    """A regular expression that finds the group in a path."""
    etl_sets: str | None = None
    """Sets of the ETL Character Database, such as `8G,9G`."""
    characters: str | None = None
    """Groups of characters, such as `kanji,hiragana`, or the characters themselves."""
    split: Literal["source", "fractions"] = "source"
    """Whether parts that the source names (a test part, a column of a CSV) are obeyed."""


PART_NAMES = {
    "train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2, "testing": 2, "": -1,
}  # fmt: skip
"""What sources call the parts: the index into `PARTS` of each, in small letters; -1 where nothing is said."""

Decoded = Image.Image | np.ndarray | BadPicture
"""One picture, decoded to mode L or RGB; or a run of n pictures of one size, uint8 (n, H, W) or (n, H, W, 3); or one
that cannot be used."""


class Reader(Protocol):
    """Reads pictures in a worker process; small to pickle."""

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """The pictures at `indices` (int64, ascending), in this order, one by one or in runs of up to 8 MiB: a
        picture may be large, and no two of a block need be held at once."""
        ...

    def origin(self, index: int) -> str:
        """Where picture `index` came from, for people: a path, or `images[17]`."""
        ...


@dataclass(frozen=True)
class Scan:
    """What is in a source. Its memory is 9 bytes a picture: labels, groups and parts, no paths and no pixels."""

    reader: Reader
    labels: np.ndarray
    """int32 (N,): index into `class_names`."""
    class_names: list[str]
    groups: np.ndarray | None = None
    """int32 (N,): index into `group_names`; None where the source has no groups."""
    group_names: list[str] | None = None
    size: tuple[int, int] | None = None
    """(H, W) to bring pictures to where the user names none; None for the general default."""
    channels: int | None = None
    """1 or 3 where the source fixes it; None to look at the pictures."""
    parts: np.ndarray | None = None
    """int8 (N,): index into `PARTS` of the part that the source itself puts a picture in, -1 where it does not say;
    None where it says nothing of parts."""
    bad: list[tuple[str, str]] = field(default_factory=list)
    """What was found that cannot be used and is not among the N pictures: where, and why."""
    notes: list[str] = field(default_factory=list)
    """What people should know of the scan, one sentence each."""


class Source(Protocol):
    """Labelled pictures of one kind."""

    name: str
    """For people and for the names of sets: letters, digits, '-', '_' and '.'."""

    def identity(self) -> Any:
        """JSON that changes whenever the source may have changed, whatever the options; cheap, no picture is read."""
        ...

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Find the pictures, on so many cores. Files put in `workspace` must outlive the scan's reader."""
        ...


def status_of(path: bytes | Path) -> str:
    """Bytes and time of change of a file; empty where it is not there or may not be asked: told when it is read."""
    try:
        status = os.stat(path)  # noqa: PTH116  bytes as well
    except (OSError, ValueError):
        return ""
    return f"{status.st_size}/{status.st_mtime_ns}"


def file_identity(path: Path) -> list[Any]:
    """Absolute path, bytes and time of change of a file."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
