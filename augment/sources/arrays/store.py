"""What the array formats have in common: files with named arrays, of which images are read in runs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from ...errors import EpochbankError

_RUN_BYTES = 8 << 20


class Header(NamedTuple):
    """Shape and type of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype


class StoredArray(Protocol):
    """An array in a file, read in workers: it is pickled, so it must be small."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    def runs(self, indices: np.ndarray, axis: int = 0) -> Iterator[np.ndarray]:
        """Yield the entries at `indices` (int64, ascending) of an axis, in runs of up to 8 MiB."""
        ...


class ArrayStore(Protocol):
    """A file, or several, with named arrays. Every method raises `EpochbankError` for damaged files."""

    where: str
    """The file or folder, for error messages."""

    def headers(self) -> Mapping[str, Header]:
        """Return the header of each array."""
        ...

    def column(self, name: str) -> np.ndarray:
        """Return a whole array: labels and the like, not images."""
        ...

    def open(self, name: str, workspace: Path) -> StoredArray:
        """Return an array that may be larger than the memory. It may be decompressed into `workspace`."""
        ...


def runs_of(indices: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, axis: int = 0) -> Iterator[np.ndarray]:
    """Split `indices` of an axis into runs of up to 8 MiB."""
    size = math.prod(shape[:axis] + shape[axis + 1 :]) * dtype.itemsize
    step = max(1, _RUN_BYTES // max(size, 1))
    return (indices[start : start + step] for start in range(0, len(indices), step))


@dataclass(frozen=True)
class RawArray:
    """An array that is stored uncompressed in a file."""

    path: Path
    offset: int
    """Where the array begins, in bytes."""
    shape: tuple[int, ...]
    dtype: str
    """The type as it is stored."""
    fortran_order: bool = False
    value_type: str | None = None
    """The type that it is converted to; None for `dtype`."""

    def runs(self, indices: np.ndarray, axis: int = 0) -> Iterator[np.ndarray]:
        """Yield the entries at `indices` of an axis. Each run is copied from a memory map that is closed again."""
        for run in runs_of(indices, self.shape, np.dtype(self.value_type or self.dtype), axis):
            block = np.take(self._map(), run, axis) if axis else np.asarray(self._map()[run])
            yield block if self.value_type is None else block.astype(self.value_type)

    def _map(self) -> np.memmap:
        order = "F" if self.fortran_order else "C"
        try:
            return np.memmap(self.path, self.dtype, "r", self.offset, self.shape, order=order)  # type: ignore[call-overload]
        except ValueError as error:
            raise EpochbankError(f"{self.path}: images cannot be read: {error}. Write the file again.") from error


def objects_refused(where: str, name: str) -> EpochbankError:
    """Return the error for an array of Python objects, which only unpickling would read."""
    return EpochbankError(
        f"{where}: {name} is an array of Python objects, which epochbank never unpickles; expected numbers, or "
        f"integers or strings for labels. Save it as np.stack(list({name})) or np.array([...], str)."
    )
