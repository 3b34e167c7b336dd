"""Reads pictures of the database in a worker: whole runs of records at once, unpacked to bytes."""

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
"""Pixels of a run of pictures."""

_GAP = 16 << 10
"""Bytes between two pictures that are read along rather than passed over: another call would take as long."""


class File(NamedTuple):
    """A file of the database."""

    path: Path
    """Where its bytes are: a file, or an archive that it is stored in."""
    offset: int
    """The byte at which they begin."""
    record: str
    """Its record type, by name."""
    shown: str
    """Its path within the source."""


@dataclass(frozen=True)
class EtlReader:
    """Pictures by file and record, which lie in columns beside the source file: memory does not grow with them."""

    files: tuple[File, ...]
    workspace: Path

    @staticmethod
    def write(workspace: Path, files: list[File], file: np.ndarray, record: np.ndarray) -> "EtlReader":
        """A reader of N pictures: `file` is uint16 (N,), the index into `files` of each one's; `record` uint32 (N,)."""
        np.save(workspace / "etl-file.npy", file)
        np.save(workspace / "etl-record.npy", record)
        return EtlReader(tuple(files), workspace)

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        """File and record of every picture, memory-mapped."""
        file, record = (np.load(self.workspace / f"etl-{name}.npy", mmap_mode="r") for name in ("file", "record"))
        return np.asarray(file), np.asarray(record)

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files, "workspace": self.workspace}

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Runs of one file each, uint8 (n, H, W), ink high, up to 2 MiB. `EpochbankError` for a file that fails."""
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
                        packed = _packed(descriptor, file, kind, records[at : min(at + step, stop)].astype(np.int64))
                        yield unpack(packed, kind.height, kind.width, kind.depth)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise EpochbankError(
                    f"{file.path} cannot be read: {error.strerror}. Mend it, and try again."
                ) from error

    def origin(self, index: int) -> str:
        """`ETL9G/ETL9G_01, record 17`: the path within the source, and the record, counted from 0, dummies included."""
        file, record = self._columns
        return f"{self.files[file[index]].shown}, record {record[index]}"


def _packed(descriptor: int, file: File, kind: RecordType, records: np.ndarray) -> np.ndarray:
    """The bytes of the pictures of `records` (int64, ascending), uint8 (n, bytes)."""
    begin, end = kind.picture_at, kind.picture_at + kind.picture_bytes
    first, span = int(records[0]), int(records[-1] - records[0]) + 1
    if span * kind.size <= len(records) * (kind.picture_bytes + _GAP):
        found = _read(descriptor, file, span * kind.size, first * kind.size).reshape(span, kind.size)[:, begin:end]
        return found if span == len(records) else found[records - first]
    return np.stack([_read(descriptor, file, end - begin, record * kind.size + begin) for record in records.tolist()])


def _read(descriptor: int, file: File, size: int, start: int) -> np.ndarray:
    """So many bytes of a file from its byte `start` on, uint8 (size,)."""
    content = os.pread(descriptor, size, file.offset + start)
    if len(content) < size:
        raise EpochbankError(f"{file.path} became shorter while it was read. Give the same command again.")
    return np.frombuffer(content, np.uint8)
