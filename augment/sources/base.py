"""What every kind of source offers: a cheap identity, a scan of what is there, and a reader for workers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from augment.picture import BadPicture


class Reader(Protocol):
    """Reads pictures in a worker process; small to pickle."""

    def read(self, indices: np.ndarray) -> Iterator[Image.Image | BadPicture]:
        """The pictures at `indices` (int64, ascending), one by one, decoded to mode L or RGB, bad ones as
        `BadPicture`: a picture may be large, and no two of a block need be held at once."""
        ...

    def origin(self, index: int) -> str:
        """Where picture `index` came from, for people: a path, or `images[17]`."""
        ...


@dataclass(frozen=True)
class Scan:
    """What is in a source. Its memory is 8 bytes a picture: labels and groups, no paths and no pixels."""

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
    notes: list[str] = field(default_factory=list)
    """What people should know of the scan, one sentence each."""


class Source(Protocol):
    """Labelled pictures of one kind."""

    name: str
    """For people and for the names of sets: letters, digits, '-', '_' and '.'."""

    def identity(self) -> Any:
        """JSON that changes whenever the source may have changed; cheap, no picture is read."""
        ...

    def scan(self, workspace: Path) -> Scan:
        """Find the pictures. Files put in `workspace` must outlive the scan's reader."""
        ...


def file_identity(path: Path) -> list[Any]:
    """Absolute path, bytes and time of change of a file."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
