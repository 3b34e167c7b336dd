"""A binary copy of pixels that are text: parsed once, in the smallest type that holds all values."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..arrays.store import RawArray
from .fields import Faults, is_number
from .pixel_columns import PixelColumns

_TYPES = (np.dtype(np.uint8), np.dtype(np.int32), np.dtype(np.float32))
"""Types of pixels; the first that holds all values is used."""


class PixelFile:
    """Writes the pixels of rows to a file, in the smallest type that holds all values; a context manager."""

    def __init__(self, path: Path, columns: PixelColumns):
        self._path, self._columns, self._type, self._count = path, columns, _TYPES[0], 0
        self._file: BinaryIO = open(path, "w+b")  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> "PixelFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def reader(self) -> RawArray:
        """Return a reader of the images, to be used after the file is closed."""
        return RawArray(self._path, 0, (self._count, *self._columns.shape), self._type.str)

    def add(self, rows: Sequence[tuple[str, Sequence[str]]], faults: Faults) -> None:
        """Append the images of rows, or record which rows are invalid."""
        if not rows:
            return
        texts = [self._text(row) for _, row in rows]
        try:
            values = self._values(texts)
        except ValueError:
            for (where, _), text in zip(rows, texts, strict=True):
                try:
                    self._values([text])
                except ValueError:
                    faults.add(f"{where} {self._reason(text)}")
            return
        self._widen(next(kind for kind in _TYPES if _holds(kind, values)))
        images = values.reshape(-1, *self._columns.shape)
        images = images.transpose(0, 2, 1) if self._columns.transposed else images
        self._file.write(np.ascontiguousarray(images, self._type).data)
        self._count += len(images)

    def _text(self, row: Sequence[str]) -> str:
        pixels = self._columns.pixels
        return row[pixels[0]] if self._columns.packed else " ".join([row[place] or "?" for place in pixels])

    def _values(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (n, H * W). Raises `ValueError` for text that is not a number, or a wrong number of pixels."""
        if not all(map(str.strip, texts)):
            raise ValueError
        values = np.loadtxt(texts, np.float32, comments=None, ndmin=2)
        if values.shape != (len(texts), math.prod(self._columns.shape)):
            raise ValueError
        return values

    def _reason(self, text: str) -> str:
        fields, expected = text.split(), math.prod(self._columns.shape)
        wrong = [field for field in fields if not is_number(field)]
        if wrong:
            return f"has the pixel {wrong[0].replace('?', '')!r}; expected a number"
        return f"has {len(fields):,} pixels; expected {expected:,}"

    def _widen(self, kind: np.dtype) -> None:
        """Change the type of the pixels in the file to `kind`, unless that is a smaller one."""
        if _TYPES.index(kind) <= _TYPES.index(self._type):
            return
        narrow, self._type = self._type, kind
        old, self._file = self._file, open(self._path.with_suffix(f".{kind.name}"), "w+b")  # noqa: SIM115
        old.seek(0)
        with old:
            while piece := old.read(1 << 20):
                self._file.write(np.frombuffer(piece, narrow).astype(kind).data)
        self._path.unlink()
        self._path = self._path.with_suffix(f".{kind.name}")


def _holds(kind: np.dtype, values: np.ndarray) -> bool:
    if kind.kind == "f":
        return True
    limits = np.iinfo(kind)
    with np.errstate(invalid="ignore"):
        return bool(((values >= limits.min) & (values <= limits.max) & (values == np.floor(values))).all())
