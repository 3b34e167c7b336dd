"""Reads images of the database in a worker: runs of records at once, unpacked to bytes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import EpochbankError
from .pixels import unpack
from .records import RECORDS, RecordType

_RUN_BYTES = 2 << 20
"""Pixels of a run of images."""

_GAP = 16 << 10
"""Bytes between two images that are read and discarded, because a separate read would take as long."""


class File(NamedTuple):
    """A file of the database."""

    path: Path
    """The file on disk, or an archive that stores it uncompressed."""
    offset: int
    """Offset in `path` at which the file begins, in bytes."""
    record: str
    """Name of the record type."""
    name: str
    """Path relative to the source."""


@dataclass(frozen=True)
class EtlReader:
    """Reads images by file and record. These columns are in files, so that memory does not grow with the images."""

    files: tuple[File, ...]
    workspace: Path

    @staticmethod
    def write(workspace: Path, files: list[File], file: np.ndarray, record: np.ndarray) -> "EtlReader":
        """Return a reader of N images: `file`, uint16 (N,), is an index into `files`; `record` is uint32 (N,)."""
        np.save(workspace / "etl-file.npy", file)
        np.save(workspace / "etl-record.npy", record)
        return EtlReader(tuple(files), workspace)

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        """File and record of every image, memory-mapped."""
        file, record = (np.load(self.workspace / f"etl-{name}.npy", mmap_mode="r") for name in ("file", "record"))
        return np.asarray(file), np.asarray(record)

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files, "workspace": self.workspace}

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Yield runs of images of one file, uint8 (n, H, W), up to 2 MiB. Raises `EpochbankError`."""
        files, records = (column[indices] for column in self._columns)
        begins = np.flatnonzero(np.diff(files, prepend=-1))
        for start, stop in pairwise([*begins.tolist(), len(files)]):
            file = self.files[files[start]]
            kind = RECORDS[file.record]
            step = max(1, _RUN_BYTES // (kind.height * kind.width))
            try:
                descriptor = os.open(file.path, os.O_RDONLY)
                try:
                    for at in range(start, stop, step):
                        packed = _read_packed(
                            descriptor, file, kind, records[at : min(at + step, stop)].astype(np.int64)
                        )
                        yield unpack(packed, kind.height, kind.width, kind.depth)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise EpochbankError(
                    f"{file.path} cannot be read: {error.strerror}. Fix the problem, then run the command again."
                ) from error

    def origin(self, index: int) -> str:
        """Return path and record, such as `ETL9G/ETL9G_01, record 17`. Records count from 0 and include dummies."""
        file, record = self._columns
        return f"{self.files[file[index]].name}, record {record[index]}"


def _read_packed(descriptor: int, file: File, kind: RecordType, records: np.ndarray) -> np.ndarray:
    """Return the packed images of `records` (int64, ascending), uint8 (n, bytes)."""
    begin, end = kind.image_at, kind.image_at + kind.image_bytes
    first, span = int(records[0]), int(records[-1] - records[0]) + 1
    if span * kind.size <= len(records) * (kind.image_bytes + _GAP):
        found = _read(descriptor, file, span * kind.size, first * kind.size).reshape(span, kind.size)[:, begin:end]
        return found if span == len(records) else found[records - first]
    return np.stack([_read(descriptor, file, end - begin, record * kind.size + begin) for record in records.tolist()])


def _read(descriptor: int, file: File, size: int, start: int) -> np.ndarray:
    """Return `size` bytes of a file from its byte `start`, as uint8."""
    content = os.pread(descriptor, size, file.offset + start)
    if len(content) < size:
        raise EpochbankError(f"{file.path} became shorter while it was read. Run the command again.")
    return np.frombuffer(content, np.uint8)
