"""Pictures of any size in two files: their pixels, one after another, and a table that says where each lies."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ROW = np.dtype([("offset", "<u8"), ("item", "<u8"), ("shape", "<u4", (3,)), ("part", "<u4")])
_PACK = struct.Struct("<QQ3II").pack
_RUN_BYTES = 8 << 20


@dataclass(frozen=True)
class SpoolReader:
    """Pictures of a `Spool`, for workers."""

    pixels: Path
    table: Path
    parts: tuple[str, ...]
    """What the items of each part are called: `item`, `train item`."""

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Those of one size that follow each other together, up to 8 MiB."""
        rows = self._rows(indices)
        shapes, start = rows["shape"], 0
        with open(self.pixels, "rb") as file:
            while start < len(rows):
                shape = shapes[start].tolist()
                stop = start + max(1, _RUN_BYTES // math.prod(shape))
                others = np.flatnonzero((shapes[start:stop] != shapes[start]).any(axis=1))
                run = rows["offset"][start : start + others[0] if len(others) else stop].tolist()
                pictures = np.empty((len(run), *shape), np.uint8)
                for picture, offset in zip(pictures, run, strict=True):
                    file.seek(offset)
                    file.readinto(picture)
                yield pictures[:, :, :, 0] if shape[2] == 1 else pictures
                start += len(run)

    def origin(self, index: int) -> str:
        """Its number among the items."""
        row = self._rows(np.array([index]))[0]
        return f"{self.parts[row['part']]} {row['item']}"

    def _rows(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(np.memmap(self.table, _ROW, "r")[indices])


class Spool:
    """Writes pictures as they come into two files in `workspace`; a context manager."""

    def __init__(self, workspace: Path):
        self._paths = workspace / "spool", workspace / "spool-table"
        self._pixels, self._table = (path.open("wb") for path in self._paths)
        self._offset = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._pixels.close()
        self._table.close()

    def add(self, picture: np.ndarray, item: int, part: int) -> None:
        """The next picture, uint8 (H, W) or (H, W, 3), which is the item of that number of a part."""
        channels = 1 if picture.ndim == 2 else 3
        self._pixels.write(np.ascontiguousarray(picture).data)
        self._table.write(_PACK(self._offset, item, *picture.shape[:2], channels, part))
        self._offset += picture.nbytes

    def reader(self, parts: tuple[str, ...]) -> SpoolReader:
        """A reader of what was added, once the spool is closed; `parts`: what the items of each are called."""
        return SpoolReader(*self._paths, parts)
