"""Reads the images of `.gnt` files in a worker."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import EpochbankError
from ..paths import PathList

ROW = np.dtype([("offset", "<u8"), ("number", "<u4"), ("file", "<u4"), ("width", "<u2"), ("height", "<u2")])
"""A row of the table of images: where its pixels are, and the number of the sample in its file."""

_GAP = 16 << 10
"""Bytes between two images that are read and discarded, because a separate read would take as long."""

_RUN_BYTES = 2 << 20


class GntFiles(NamedTuple):
    """The files of the images, listed on disk so that a reader is small."""

    paths: PathList
    """The file on disk that holds each `.gnt` file: the file itself, or an archive."""
    names: PathList
    """Path of each file relative to the source."""


@dataclass(frozen=True)
class GntReader:
    """Reads images by file and offset. `table` is a file with a `ROW` for each image."""

    files: GntFiles
    table: Path

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Yield each image, uint8 (1, H, W). Raises `EpochbankError` if a file has changed or cannot be read."""
        rows = np.memmap(self.table, ROW, "r")[indices]
        begins = np.flatnonzero(np.diff(rows["file"].astype(np.int64), prepend=-1))
        for start, stop in pairwise([*begins.tolist(), len(rows)]):
            path = self.files.paths[int(rows["file"][start])]
            try:
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    yield from _images(descriptor, rows[start:stop], path)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise EpochbankError(
                    f"{path} cannot be read: {error.strerror}. Fix the problem, then run the command again."
                ) from error

    def origin(self, index: int) -> str:
        """Return file and sample, such as `HWDB1.1trn_gnt/1001-c.gnt, sample 17`. Samples count from 0."""
        row = np.memmap(self.table, ROW, "r")[index]
        return f"{self.files.names[int(row['file'])]}, sample {row['number']}"


def _images(descriptor: int, rows: np.ndarray, path: str) -> Iterator[np.ndarray]:
    """Yield the images of one file; neighbors are read together."""
    begins = rows["offset"].astype(np.int64)
    shapes = list(zip(rows["height"].tolist(), rows["width"].tolist(), strict=True))
    ends = begins + rows["height"].astype(np.int64) * rows["width"]
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and 0 <= begins[stop] - ends[stop - 1] <= _GAP:
            if ends[stop] - begins[start] > _RUN_BYTES:
                break
            stop += 1
        first, size = int(begins[start]), int(ends[stop - 1] - begins[start])
        content = np.frombuffer(os.pread(descriptor, size, first), np.uint8)
        if len(content) < size:
            raise EpochbankError(f"{path} became shorter while it was read. Run the command again.")
        for (height, width), begin, end in zip(
            shapes[start:stop], (begins[start:stop] - first).tolist(), (ends[start:stop] - first).tolist(), strict=True
        ):
            yield content[begin:end].reshape(1, height, width)
        start = stop
