"""Sources of arrays, in any file format: `images`, `labels` and, optionally, `groups`, `splits` and `class_names`.

`images` is uint8, or float in [0, 1], of shape (N, H, W) or (N, H, W, C) with C = 1 or 3. `labels` and `groups` are
integers or strings (N,). `splits` are names of splits (N,); files may also call this array `parts`. If there are
`class_names` (K,), labels are indices into them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EpochbankError
from .base import Decoded, Scan, SourceOptions
from .decode import BadImage, to_uint8
from .names import split_number

_SPLITS = ("splits", "parts")
"""Names of the array of splits; the first one present is used."""


def scan_arrays(where: str, reader: Any, shape: tuple[int, ...], dtype: np.dtype, columns: dict[str, Any]) -> Scan:
    """Check that the arrays fit together, and return the scan.

    Parameters
    ----------
    where
        The file, for error messages.
    reader
        The reader of the images.
    shape, dtype
        Of `images`.
    columns
        Maps each of `column_names` to its array, or to None if the file lacks it.

    Raises
    ------
    EpochbankError
        If an array is missing or does not fit the others.
    """
    if dtype != np.uint8 and dtype.kind != "f":
        raise EpochbankError(f"{where}: images is {dtype}; expected uint8, or float in [0, 1]. Convert it.")
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or 0 in shape[1:]:
        raise EpochbankError(f"{where}: images has shape {shape}; expected (N, H, W) or (N, H, W, C) with C = 1 or 3.")
    if shape[0] == 0:
        raise EpochbankError(f"{where}: images is empty; expected at least one image.")
    splits_name = next((name for name in _SPLITS if columns.get(name) is not None), "")
    labels, groups, splits = columns["labels"], columns["groups"], columns.get(splits_name)
    if labels is None:
        raise EpochbankError(f"{where}: there is no array `labels`; expected one label for each image.")
    for name, column in (("labels", labels), ("groups", groups), (splits_name, splits)):
        if column is not None and column.shape != (shape[0],):
            raise EpochbankError(
                f"{where}: images has {shape[0]} images and {name} has shape {column.shape}; "
                f"expected ({shape[0]},), one for each image."
            )
        kinds, expected = ("UST", "strings") if column is splits else ("iuUST", "integers or strings")
        if column is not None and column.dtype.kind not in kinds:
            raise EpochbankError(f"{where}: {name} is {column.dtype}; expected {expected}.")
    label_index, class_names = _classes(where, labels, columns["class_names"])
    group_index, group_names = (None, None) if groups is None else _distinct(where, "groups", groups)
    return Scan(
        reader=reader,
        labels=label_index,
        class_names=class_names,
        groups=group_index,
        group_names=group_names,
        size=(shape[1], shape[2]),
        channels=shape[3] if len(shape) == 4 else 1,
        splits=None if splits is None else _split_numbers(where, splits_name, splits),
    )


def column_names(options: SourceOptions) -> tuple[str, ...]:
    """Return the names of the arrays to read besides `images`."""
    return ("labels", "groups", "class_names", *(_SPLITS if options.split == "source" else ()))


def _split_numbers(where: str, column: str, values: np.ndarray) -> np.ndarray | None:
    """Return the index of each image's split, int8 (N,); None if no image has a split."""
    index, names = _distinct(where, column, values)
    try:
        numbers = np.array([split_number(name) for name in names], np.int8)
    except ValueError as error:
        raise EpochbankError(f"{where}: {column} {error}.") from error
    return numbers[index] if (numbers >= 0).any() else None


def _classes(where: str, labels: np.ndarray, class_names: np.ndarray | None) -> tuple[np.ndarray, list[str]]:
    if class_names is None:
        return _distinct(where, "labels", labels)
    if class_names.ndim != 1:
        raise EpochbankError(f"{where}: class_names has shape {class_names.shape}; expected (K,), one name per class.")
    names = [_text(where, "class_names", name) for name in class_names.tolist()]
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(names):
        received = f"{labels.dtype}" if labels.dtype.kind not in "iu" else f"{labels.min()} to {labels.max()}"
        raise EpochbankError(
            f"{where}: labels are {received}; expected integers from 0 to {len(names) - 1}, "
            f"because class_names has {len(names)} names."
        )
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise EpochbankError(
            f"{where}: class_names has {', '.join(map(repr, repeated[:5]))} more than once; "
            "expected a different name for each class."
        )
    return labels.astype(np.int32), names


def _distinct(where: str, column: str, values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the sorted distinct values as text, and the index of each value among them."""
    distinct, index = np.unique(values, return_inverse=True)
    return index.astype(np.int32), [_text(where, column, value) for value in distinct.tolist()]


def _text(where: str, column: str, value: object) -> str:
    try:
        text = value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise EpochbankError(f"{where}: {column} holds {value!r}; expected text in UTF-8. Write it as text.") from error
    if "\0" in text:
        raise EpochbankError(f"{where}: {column} holds {text!r}; expected text without NUL. Remove the NUL.")
    return text


def decode_block(block: np.ndarray) -> Iterator[Decoded]:
    """Yield a block of `images` as a reader does: uint8 as one array, float images one by one, as each may be bad."""
    block = block[:, :, :, 0] if block.ndim == 4 and block.shape[3] == 1 else block
    if block.dtype == np.uint8:
        yield block
        return
    for image in block:
        try:
            yield to_uint8(image)[None]
        except BadImage as bad:
            yield bad


def runs_of(indices: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    """Split `indices` into runs of up to 8 MiB of images."""
    image_size = max(1, math.prod(shape[1:]) * dtype.itemsize)
    step = max(1, (8 << 20) // image_size)
    return (indices[start : start + step] for start in range(0, len(indices), step))


@dataclass(frozen=True)
class RawReader:
    """Reads an array that is stored uncompressed in a file."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: str
    fortran_order: bool

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """Yield the images in runs; float images one by one."""
        for run in self.runs(indices):
            yield from decode_block(run)

    def runs(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the images as stored. Each run is copied from a memory map that is closed again."""
        return (self._copy(run) for run in runs_of(indices, self.shape, np.dtype(self.dtype)))

    def _copy(self, indices: np.ndarray) -> np.ndarray:
        try:
            mapped: np.memmap = np.memmap(
                self.path, self.dtype, "r", self.offset, self.shape, order="F" if self.fortran_order else "C"
            )
        except ValueError as error:
            raise EpochbankError(f"{self.path}: images cannot be read: {error}. Write the file again.") from error
        return np.asarray(mapped[indices])

    def origin(self, index: int) -> str:
        """Return the position of the image in the array."""
        return f"images[{index}]"
