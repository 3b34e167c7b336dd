"""Sources that are arrays, whatever file they lie in: `images`, `labels` and, optionally, `groups`, `parts` and
`class_names`.

`images` is uint8, or float in [0, 1], (N, H, W) or (N, H, W, C) with C = 1 or 3; `labels` and `groups`
are integers or strings, (N,); `parts` strings, (N,), each a name of a part; where `class_names` is given,
labels index it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EpochbankError
from .base import Decoded, Scan, SourceOptions
from .decode import BadPicture, to_uint8
from .names import part_number


def scan_arrays(where: str, reader: Any, shape: tuple[int, ...], dtype: np.dtype, columns: dict[str, Any]) -> Scan:
    """Check arrays that belong together, and make classes, groups and parts of them.

    `columns` maps `labels`, `groups`, `class_names` and, where they are obeyed, `parts` to arrays or None. Raises
    `EpochbankError`.
    """
    if dtype != np.uint8 and dtype.kind != "f":
        raise EpochbankError(f"{where}: images is {dtype}; expected uint8, or float in [0, 1]. Convert it.")
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or 0 in shape[1:]:
        raise EpochbankError(f"{where}: images has shape {shape}; expected (N, H, W) or (N, H, W, C) with C = 1 or 3.")
    if shape[0] == 0:
        raise EpochbankError(f"{where}: images is empty; expected at least one picture.")
    labels, groups, parts = columns["labels"], columns["groups"], columns.get("parts")
    if labels is None:
        raise EpochbankError(f"{where}: there is no array `labels`; expected one label for each picture.")
    for name, column in (("labels", labels), ("groups", groups), ("parts", parts)):
        if column is not None and column.shape != (shape[0],):
            raise EpochbankError(
                f"{where}: images has {shape[0]} pictures and {name} has shape {column.shape}; "
                f"expected ({shape[0]},), one for each picture."
            )
        kinds, expected = ("UST", "strings") if name == "parts" else ("iuUST", "integers or strings")
        if column is not None and column.dtype.kind not in kinds:
            raise EpochbankError(f"{where}: {name} is {column.dtype}; expected {expected}.")
    label_index, class_names = _classes(where, labels, columns["class_names"])
    group_index, group_names = (None, None) if groups is None else _names(where, "groups", groups)
    return Scan(
        reader=reader,
        labels=label_index,
        class_names=class_names,
        groups=group_index,
        group_names=group_names,
        size=(shape[1], shape[2]),
        channels=shape[3] if len(shape) == 4 else 1,
        parts=None if parts is None else _parts(where, parts),
    )


def columns_of(options: SourceOptions) -> tuple[str, ...]:
    """The arrays beside `images` that are read."""
    return ("labels", "groups", "class_names", *(("parts",) if options.split == "source" else ()))


def _parts(where: str, values: np.ndarray) -> np.ndarray | None:
    """int8 (N,): the number of each part; None where none is named."""
    index, names = _names(where, "parts", values)
    try:
        numbers = np.array([part_number(name) for name in names], np.int8)
    except ValueError as error:
        raise EpochbankError(f"{where}: parts {error}.") from error
    return numbers[index] if (numbers >= 0).any() else None


def _classes(where: str, labels: np.ndarray, class_names: np.ndarray | None) -> tuple[np.ndarray, list[str]]:
    if class_names is None:
        return _names(where, "labels", labels)
    if class_names.ndim != 1:
        raise EpochbankError(f"{where}: class_names has shape {class_names.shape}; expected (K,), a name a class.")
    names = [_text(where, "class_names", name) for name in class_names.tolist()]
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(names):
        received = f"{labels.dtype}" if labels.dtype.kind not in "iu" else f"{labels.min()} to {labels.max()}"
        raise EpochbankError(
            f"{where}: labels are {received}; expected integers from 0 to {len(names) - 1}, "
            f"since class_names has {len(names)} names."
        )
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise EpochbankError(
            f"{where}: class_names has {', '.join(map(repr, twice[:5]))} more than once; "
            "expected a name of its own for each class."
        )
    return labels.astype(np.int32), names


def _names(where: str, column: str, values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Index of each value among the distinct ones in order, and their names."""
    distinct, index = np.unique(values, return_inverse=True)
    return index.astype(np.int32), [_text(where, column, value) for value in distinct.tolist()]


def _text(where: str, column: str, value: object) -> str:
    try:
        text = value.decode() if isinstance(value, bytes) else str(value)
        if "\0" in text:
            raise EpochbankError(f"{where}: {column} holds {text!r}; expected text without NUL. Mend the name.")
        return text
    except UnicodeDecodeError as error:
        raise EpochbankError(f"{where}: {column} holds {value!r}; expected text in UTF-8. Write it as text.") from error


def decoded(block: np.ndarray) -> Iterator[Decoded]:
    """Some of `images` as a reader gives them: uint8 in one run; float pictures one by one, since one may be bad."""
    block = block[:, :, :, 0] if block.ndim == 4 and block.shape[3] == 1 else block
    if block.dtype == np.uint8:
        yield block
        return
    for picture in block:
        try:
            yield to_uint8(picture)[None]
        except BadPicture as bad:
            yield bad


def runs_of(indices: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    """`indices` in runs of up to 8 MiB of pictures."""
    each = max(1, math.prod(shape[1:]) * dtype.itemsize)
    step = max(1, (8 << 20) // each)
    return (indices[start : start + step] for start in range(0, len(indices), step))


@dataclass(frozen=True)
class RawReader:
    """An array that lies uncompressed in a file."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: str
    fortran: bool

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """In runs; float pictures one by one."""
        for run in self.runs(indices):
            yield from decoded(run)

    def runs(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """As they are stored, copied out of maps that live only as long as a run is read."""
        return (self._copy(run) for run in runs_of(indices, self.shape, np.dtype(self.dtype)))

    def _copy(self, indices: np.ndarray) -> np.ndarray:
        try:
            mapped: np.memmap = np.memmap(
                self.path, self.dtype, "r", self.offset, self.shape, order="F" if self.fortran else "C"
            )
        except ValueError as error:
            raise EpochbankError(f"{self.path}: images cannot be read: {error}. Write the file again.") from error
        return np.asarray(mapped[indices])

    def origin(self, index: int) -> str:
        """Its number in the array."""
        return f"images[{index}]"
