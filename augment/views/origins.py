"""Where images come from: their origins, as the source file has them."""

from pathlib import Path

import numpy as np

from ..ingest.source_file import read_origins
from ..store.description import read_description
from ..store.split_file import read_split

_CHUNK = 4096


def origins_of(directory: Path, split: str, positions: np.ndarray) -> list[str]:
    """Return the origin of the image at each of `positions` (int64 (n,)) of `validation` or `test` of a set.

    These splits are stored in order of row. All are '' if the source file no longer exists.
    """
    source = read_description(directory).source_path(directory)
    if not source.exists():
        return [""] * len(positions)
    return origins_at(source, np.asarray(read_split(directory, split).row[positions]))


def origins_at(source: Path, rows: np.ndarray) -> list[str]:
    """Return the origin of each of `rows` (int64 (n,), any order) of a source file, read in blocks."""
    found: dict[int, str] = {}
    for chunk in np.unique(rows // _CHUNK).tolist():
        start = chunk * _CHUNK
        names = read_origins(source, start, start + _CHUNK)
        found |= {row: names[row - start] for row in rows[rows // _CHUNK == chunk].tolist()}
    return [found[row] for row in rows.tolist()]
