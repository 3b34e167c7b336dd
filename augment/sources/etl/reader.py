"""Reads pictures of the database in a worker: whole runs of records at once, unpacked to bytes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from augment.errors import EpochbankError
from augment.sources.etl.pixels import unpack
from augment.sources.etl.records import RECORDS, RecordType

_RUN_BYTES = 2 << 20
"""Pixels of a run of pictures."""

_GAP = 16 << 10
"""Bytes between two pictures that are read along rather than passed over: another call would take as long."""


class Part(NamedTuple):
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

    parts: tuple[Part, ...]
    workspace: Path

    @staticmethod
    def write(workspace: Path, parts: list[Part], part: np.ndarray, record: np.ndarray) -> "EtlReader":
        """A reader of the pictures whose parts (indices into `parts`) and records are given, integers (N,)."""
        np.save(workspace / "etl-part.npy", part.astype(np.uint16))
        np.save(workspace / "etl-record.npy", record.astype(np.uint32))
        return EtlReader(tuple(parts), workspace)

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Part and record of every picture, memory-mapped."""
        part, record = (np.load(self.workspace / f"etl-{name}.npy", mmap_mode="r") for name in ("part", "record"))
        return np.asarray(part), np.asarray(record)

    def __getstate__(self) -> dict[str, Any]:
        return {"parts": self.parts, "workspace": self.workspace}

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Runs of one file each, uint8 (n, H, W), ink high, up to 2 MiB. `EpochbankError` for a file that fails."""
        parts, records = (column[indices] for column in self._columns)
        begins = np.flatnonzero(np.diff(parts, prepend=-1))
        for start, stop in pairwise([*begins.tolist(), len(parts)]):
            part = self.parts[parts[start]]
            kind = RECORDS[part.record]
            step = max(1, _RUN_BYTES // (kind.height * kind.width))
            try:
                descriptor = os.open(part.path, os.O_RDONLY)
                try:
                    for at in range(start, stop, step):
                        packed = _packed(descriptor, part, kind, records[at : min(at + step, stop)].astype(np.int64))
                        yield unpack(packed, kind.height, kind.width, kind.depth)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise EpochbankError(
                    f"{part.path} cannot be read: {error.strerror}. Mend it, and try again."
                ) from error

    def origin(self, index: int) -> str:
        """`ETL9G/ETL9G_01, record 17`: the path within the source, and the record, counted from 0, dummies included."""
        part, record = self._columns
        return f"{self.parts[part[index]].shown}, record {record[index]}"


def _packed(descriptor: int, part: Part, kind: RecordType, records: np.ndarray) -> np.ndarray:
    """The bytes of the pictures of `records` (int64, ascending), uint8 (n, bytes)."""
    begin, end = kind.picture_at, kind.picture_at + kind.picture_bytes
    first, span = int(records[0]), int(records[-1] - records[0]) + 1
    if span * kind.size <= len(records) * (kind.picture_bytes + _GAP):
        found = _read(descriptor, part, span * kind.size, first * kind.size).reshape(span, kind.size)[:, begin:end]
        return found if span == len(records) else found[records - first]
    return np.stack([_read(descriptor, part, end - begin, record * kind.size + begin) for record in records.tolist()])


def _read(descriptor: int, part: Part, size: int, start: int) -> np.ndarray:
    """So many bytes of a part from its byte `start` on, uint8 (size,)."""
    content = os.pread(descriptor, size, part.offset + start)
    if len(content) < size:
        raise EpochbankError(f"{part.path} became shorter while it was read. Give the same command again.")
    return np.frombuffer(content, np.uint8)
