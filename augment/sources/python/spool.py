"""Temporary storage for decoded images of any size: a file of pixels, and a table of their offsets and shapes."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_ROW = np.dtype([("offset", "<u8"), ("item", "<u8"), ("shape", "<u4", (3,)), ("iterable", "<u4"), ("type", "S8")])
_PACK = struct.Struct("<QQ3II8s").pack
_RUN_BYTES = 8 << 20


@dataclass(frozen=True)
class SpoolReader:
    """Reads the images of a `Spool`."""

    pixels: Path
    table: Path
    item_names: tuple[str, ...]
    """What an item of each iterable is called: `item`, or `train item`."""

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Yield consecutive images of one size together, up to 8 MiB."""
        rows = self._rows(indices)
        shapes, types, start = rows["shape"], rows["type"], 0
        with open(self.pixels, "rb") as file:
            while start < len(rows):
                shape = shapes[start].tolist()
                dtype = np.dtype(types[start].decode())
                stop = start + max(1, _RUN_BYTES // (math.prod(shape) * dtype.itemsize))
                same_shape = (shapes[start:stop] == shapes[start]).all(axis=1)
                others = np.flatnonzero(~same_shape | (types[start:stop] != types[start]))
                offsets = rows["offset"][start : start + others[0] if len(others) else stop].tolist()
                images = np.empty((len(offsets), *shape), dtype)
                for image, offset in zip(images, offsets, strict=True):
                    file.seek(offset)
                    file.readinto(image)
                yield images[:, :, :, 0] if shape[2] == 1 else images
                start += len(offsets)

    def origin(self, index: int) -> str:
        """Return the number of the item, such as `train item 17`."""
        row = self._rows(np.array([index]))[0]
        return f"{self.item_names[row['iterable']]} {row['item']}"

    def _rows(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(np.memmap(self.table, _ROW, "r")[indices])


class Spool:
    """Writes images to two files in `workspace` as they arrive; a context manager."""

    def __init__(self, workspace: Path):
        self._paths = workspace / "spool", workspace / "spool-table"
        self._pixels, self._table = (path.open("wb") for path in self._paths)
        self._offset = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._pixels.close()
        self._table.close()

    def add(self, image: np.ndarray, item: int, iterable: int) -> None:
        """Append an image, integers or floats (H, W) or (H, W, 3), with its item number and that of its iterable."""
        channels = 1 if image.ndim == 2 else 3
        dtype = image.dtype.str.encode()
        self._pixels.write(np.ascontiguousarray(image).data)
        self._table.write(_PACK(self._offset, item, *image.shape[:2], channels, iterable, dtype))
        self._offset += image.nbytes

    def reader(self, item_names: tuple[str, ...]) -> SpoolReader:
        """Return a reader of the images, to be used after the spool is closed."""
        return SpoolReader(*self._paths, item_names)
