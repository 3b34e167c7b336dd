"""A source file as a source that can be inspected."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...ingest.source_file import SourceFile, open_source_file, read_origins
from ...sources import Scan

_BATCH_BYTES, _ORIGINS = 8 << 20, 4096


@dataclass(frozen=True)
class _RowsReader:
    file: SourceFile
    """Without names, because it is sent with every task."""

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        step = max(1, _BATCH_BYTES // math.prod(self.file.shape))
        for start in range(0, len(indices), step):
            images = self.file.read(indices[start : start + step])
            yield images[..., 0] if images.shape[3] == 1 else images

    def origin(self, index: int) -> str:
        return _origins(self.file.path, index // _ORIGINS)[index % _ORIGINS]


@lru_cache(maxsize=16)
def _origins(path: Path, number: int) -> list[str]:
    """Return a block of origins, so that the file is not opened for each image."""
    return read_origins(path, number * _ORIGINS, (number + 1) * _ORIGINS)


class SourceFileSource:
    """Reads the columns of a source file."""

    def __init__(self, path: Path):
        self.path, self.name, self._file = path, path.stem, open_source_file(path)

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Return labels, groups and splits as imported; images that the import left out count as unusable."""
        file = self._file
        return Scan(
            reader=_RowsReader(replace(file, class_names=[], group_names=None)),
            labels=file.column("label"),
            class_names=file.class_names,
            groups=file.column("group") if file.group_names is not None else None,
            group_names=file.group_names,
            size=file.shape[:2],
            channels=file.shape[2],
            splits=file.column("split") if file.splits else None,
            bad=file.skipped_names() if file.skipped else [],
            notes=[f"imported earlier: {file.decided}"],
        )
