"""A source file that `augment import` made, as a source that can be looked at."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from ...ingest.source_file import SourceFile, open_source_file
from ...sources import Scan

_RUN_BYTES, _ORIGINS = 8 << 20, 4096


@dataclass(frozen=True)
class _RowsReader:
    file: SourceFile
    """Without names: it is sent with every task."""

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        step = max(1, _RUN_BYTES // math.prod(self.file.shape))
        for start in range(0, len(indices), step):
            run = self.file.read(indices[start : start + step])
            yield run[..., 0] if run.shape[3] == 1 else run

    def origin(self, index: int) -> str:
        return _origins(self.file.path, index // _ORIGINS)[index % _ORIGINS]


@lru_cache(maxsize=16)
def _origins(path: Path, run: int) -> list[str]:
    """Where the pictures of a run came from: of many pictures, a file is not opened for each."""
    with h5py.File(path, "r", locking="best-effort") as file:
        return file["origin"].asstr()[run * _ORIGINS : (run + 1) * _ORIGINS].tolist()


class SourceFileSource:
    """A source file, read by its columns."""

    def __init__(self, path: Path):
        self.path, self.name, self._file = path, path.stem, open_source_file(path)

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Labels, groups and parts as the import recorded them; what it left out is told as bad."""
        file = self._file
        return Scan(
            reader=_RowsReader(replace(file, class_names=[], group_names=None)),
            labels=file.column("label"),
            class_names=file.class_names,
            groups=file.column("group") if file.group_names is not None else None,
            group_names=file.group_names,
            size=file.shape[:2],
            channels=file.shape[2],
            parts=file.column("part") if file.parts else None,
            bad=file.skipped_names() if file.skipped else [],
            notes=[f"when it was imported: {file.decided}"],
        )
