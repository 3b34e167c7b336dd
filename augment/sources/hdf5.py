"""Sources that are HDF5 files, with datasets that are called as the arrays that `arrays` describes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import EpochbankError
from .arrays import columns_of, decoded, runs_of, scan_arrays
from .base import Decoded, Scan, SourceOptions, file_identity

_DAMAGED = (OSError, RuntimeError, KeyError, TypeError)
"""What h5py may raise for a damaged file, or a type that NumPy does not have."""


@dataclass(frozen=True)
class Hdf5Reader:
    """The dataset `images` of an HDF5 file."""

    path: Path

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """Opened anew for each call: a handle must not cross into another process."""
        import hdf5plugin  # noqa: F401  registers the filters that a file may be compressed with

        try:
            with h5py.File(self.path, "r", locking="best-effort") as file:
                images = file["images"]
                for run in runs_of(indices, images.shape, images.dtype):
                    yield from decoded(images[run])
        except _DAMAGED as error:
            raise EpochbankError(f"{self.path}: images cannot be read: {error}. Write the file again.") from error

    def origin(self, index: int) -> str:
        """Its number in the dataset."""
        return f"images[{index}]"


class Hdf5Source:
    """An HDF5 file."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Path, bytes and time of change."""
        return ["hdf5", *file_identity(self.path)]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read all but the pictures."""
        try:
            with h5py.File(self.path, "r", locking="best-effort") as file:
                if not isinstance(file.get("images"), h5py.Dataset):
                    raise EpochbankError(
                        f"{self.path}: there is no dataset `images` (found {', '.join(map(str, file)) or 'nothing'}); "
                        "expected datasets `images` and `labels`."
                    )
                columns = {key: _column(self.path, file, key) for key in columns_of(self.options)}
                shape, dtype = file["images"].shape, file["images"].dtype
        except _DAMAGED as error:
            raise EpochbankError(f"{self.path} cannot be read as HDF5: {error}. Write it again.") from error
        return scan_arrays(str(self.path), Hdf5Reader(self.path), shape, dtype, columns)


def _column(path: Path, file: h5py.File, key: str) -> np.ndarray | None:
    dataset = file.get(key)
    if dataset is None:
        return None
    if not isinstance(dataset, h5py.Dataset):
        raise EpochbankError(f"{path}: {key} is a group; expected a dataset of integers or strings.")
    if h5py.check_string_dtype(dataset.dtype) is None:
        return dataset[()]
    try:
        return np.array(dataset.asstr()[()], dtype=np.str_)
    except UnicodeDecodeError as error:
        raise EpochbankError(f"{path}: {key} is not text in UTF-8: {error}. Write it as text.") from error
