"""The scan of one file of the database: code and sheet of each image, but no pixels. One task for a worker."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .archives import Unreadable, locate
from .catalog import EtlSet
from .forms import count_models
from .places import Place
from .records import RecordType, values

_WINDOW = 16 << 20
"""Bytes of a file that are mapped at once, so that memory does not grow with the file."""


@dataclass(frozen=True)
class Task:
    """A file to scan."""

    etl_set: EtlSet
    number: int
    place: Place
    extracted: Path
    """Where to extract the file to, if needed."""

    @property
    def official_count(self) -> int:
        """Official number of images in the file."""
        return self.etl_set.counts[self.number - 1]


@dataclass
class FileScan:
    """Contents of a file: n images in consecutive records."""

    path: Path
    offset: int = 0
    """Offset in `path` at which the file begins, in bytes."""
    first: int = 0
    """Record of the first image, from 0."""
    codes: list[int] = field(default_factory=list)
    """Distinct codes."""
    code_index: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))
    """uint16 (n,): index into `codes`."""
    sheets: list[int | str] = field(default_factory=list)
    """Distinct sheets: numbers, or style and font of printed characters."""
    sheet_index: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))
    """uint32 (n,): index into `sheets`."""
    num_models: int = 0
    """Number of model images, which are skipped."""
    bad: list[tuple[int | None, str]] = field(default_factory=list)
    """Unusable records: (record, reason). The record is None for the whole file."""

    @property
    def code_of(self) -> np.ndarray:
        """The code of each image, uint16 (n,)."""
        return np.array(self.codes, np.uint16)[self.code_index]

    @property
    def sheet_of(self) -> np.ndarray:
        """The sheet number of each image, int64 (n,)."""
        return np.array(self.sheets, np.int64)[self.sheet_index]

    @property
    def unreadable(self) -> bool:
        """Whether the whole file cannot be used."""
        return any(record is None for record, _ in self.bad)


def scan_file(task: Task) -> FileScan:
    """Read everything of a file except the pixels. Problems of the file are listed in the result.

    Raises `OSError` if the file cannot be extracted.
    """
    kind, scan = task.etl_set.type, FileScan(task.place.path)
    try:
        scan.path, scan.offset = locate(task.place, task.extracted)
        codes, sheets = _read_columns(task, scan)
    except Unreadable as error:
        task.extracted.unlink(missing_ok=True)
        return FileScan(task.place.path, bad=[(None, str(error))])
    num_records, rest = divmod(task.place.size, kind.size)
    if not task.place.size:
        scan.bad.append((None, f"is empty; expected records of {kind.size:,} bytes"))
    elif rest:
        scan.bad.append((num_records, f"is truncated: {rest:,} of {kind.size:,} bytes"))
    distinct, index = np.unique(codes, return_inverse=True)
    scan.codes, scan.code_index = distinct.tolist(), index.astype(np.uint16)
    distinct, index = np.unique(sheets, return_inverse=True)
    scan.sheets = [sheet if isinstance(sheet, int) else " ".join(sheet.decode().split()) for sheet in distinct.tolist()]
    scan.sheet_index = index.astype(np.uint32)
    return scan


def _read_columns(task: Task, scan: FileScan) -> tuple[np.ndarray, np.ndarray]:
    """Return code (uint16) and sheet (number, or text) of each image. Sets `first` and `num_models` of `scan`."""
    kind, num_records = task.etl_set.type, task.place.size // task.etl_set.type.size
    scan.first = min(task.etl_set.dummies, num_records)
    codes, sheets = [np.zeros(0, np.uint16)], []
    for window in _windows(scan.path, scan.offset, kind, scan.first, num_records):
        codes.append(values(window, kind.fields["code"]).astype(np.uint16))
        if "sheet" in kind.fields:
            sheets.append(values(window, kind.fields["sheet"]))
        else:
            style, font = (values(window, kind.fields[name]) for name in ("style", "font"))
            sheets.append(np.char.add(np.char.add(style, b" "), font))
    code, sheet = np.concatenate(codes), np.concatenate(sheets) if sheets else np.zeros(0, np.uint64)
    scan.num_models = count_models(code, task.etl_set, task.number)
    stop = len(code) - scan.num_models
    return code[:stop], sheet[:stop]


def _windows(path: Path, offset: int, kind: RecordType, start: int, stop: int) -> Iterator[np.ndarray]:
    """Map the records from `start` to `stop` in runs, uint8 (n, bytes). Raises `Unreadable`."""
    step = max(1, _WINDOW // kind.size)
    for first in range(start, stop, step):
        shape = (min(step, stop - first), kind.size)
        try:
            yield np.memmap(path, np.uint8, "r", offset + first * kind.size, shape)
        except ValueError as error:
            raise Unreadable(f"became shorter while it was read: {error}. Run the command again") from error
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from error
