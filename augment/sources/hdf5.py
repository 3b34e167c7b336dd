"""Sources in HDF5 files, with the arrays that `arrays` describes as datasets."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import EpochbankError
from .arrays import column_names, decode_block, runs_of, scan_arrays
from .base import Decoded, Scan, SourceOptions, file_identity

_DAMAGED = (OSError, RuntimeError, KeyError, TypeError)
"""Exceptions that h5py raises for damaged files, and for types that NumPy lacks."""


@dataclass(frozen=True)
class Hdf5Reader:
    """Reads the dataset `images` of an HDF5 file."""

    path: Path

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """Yield the images. Each call opens the file, because processes cannot share a handle."""
        import hdf5plugin  # noqa: F401  registers compression filters

        try:
            with h5py.File(self.path, "r", locking="best-effort") as file:
                images = file["images"]
                for run in runs_of(indices, images.shape, images.dtype):
                    yield from decode_block(images[run])
        except _DAMAGED as error:
            raise EpochbankError(f"{self.path}: images cannot be read: {error}. Write the file again.") from error

    def origin(self, index: int) -> str:
        """Return the position of the image in the dataset."""
        return f"images[{index}]"


class Hdf5Source:
    """An HDF5 file."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Return path, size and modification time."""
        return ["hdf5", *file_identity(self.path)]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read everything except the images."""
        try:
            with h5py.File(self.path, "r", locking="best-effort") as file:
                if not isinstance(file.get("images"), h5py.Dataset):
                    raise EpochbankError(
                        f"{self.path}: there is no dataset `images` (found {', '.join(map(str, file)) or 'nothing'}); "
                        "expected datasets `images` and `labels`."
                    )
                columns = {name: _column(self.path, file, name) for name in column_names(self.options)}
                shape, dtype = file["images"].shape, file["images"].dtype
        except _DAMAGED as error:
            raise EpochbankError(f"{self.path} cannot be read as HDF5: {error}. Write it again.") from error
        return scan_arrays(str(self.path), Hdf5Reader(self.path), shape, dtype, columns)


def _column(path: Path, file: h5py.File, name: str) -> np.ndarray | None:
    dataset = file.get(name)
    if dataset is None:
        return None
    if not isinstance(dataset, h5py.Dataset):
        raise EpochbankError(f"{path}: {name} is a group; expected a dataset of integers or strings.")
    if h5py.check_string_dtype(dataset.dtype) is None:
        return dataset[()]
    try:
        return np.array(dataset.asstr()[()], dtype=np.str_)
    except UnicodeDecodeError as error:
        raise EpochbankError(f"{path}: {name} is not text in UTF-8: {error}. Write it as text.") from error
