"""Arrays in HDF5 files: datasets, also in groups such as `train` and `test`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...errors import EpochbankError
from .checks import compressed_chunk
from .hdf5_links import check_inside
from .store import Header, StoredArray, objects_refused, runs_of

_DAMAGED = (OSError, RuntimeError, KeyError, TypeError, UnicodeError)
"""Exceptions that h5py raises for damaged files, and for types that NumPy lacks."""
_MAX_DATASETS = 1000
_MAX_LEVELS = 3
_CLASS_NAMES = "class_names"
"""A dataset, or an attribute of the file as in epochbank's virtual datasets: names of the classes."""


@dataclass(frozen=True)
class Hdf5Array:
    """A dataset of an HDF5 file."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: str
    transposed: bool
    """Whether the axes are in the reverse order of those in the file, as MATLAB writes them."""
    cache: int = 1 << 20
    """Bytes of chunks that HDF5 keeps: at least one, so that each is decompressed once."""

    def runs(self, indices: np.ndarray, axis: int = 0) -> Iterator[np.ndarray]:
        """Yield the entries at `indices` of an axis. Each call opens the file: processes cannot share a handle."""
        import hdf5plugin  # noqa: F401  registers compression filters

        try:
            with h5py.File(self.path, "r", locking="best-effort", rdcc_nbytes=self.cache) as file:
                dataset = file[self.name]
                stored_axis = len(self.shape) - 1 - axis if self.transposed else axis
                for run in runs_of(indices, self.shape, np.dtype(self.dtype), axis):
                    # A slice is read faster than a list of indices.
                    dense = run[-1] - run[0] + 1 == len(run)
                    chosen = slice(int(run[0]), int(run[-1]) + 1) if dense else run
                    block = dataset[(slice(None),) * stored_axis + (chosen,)]
                    yield block.T if self.transposed else block
        except _DAMAGED as error:
            raise EpochbankError(f"{self.path}: images cannot be read: {error}. Write the file again.") from error


class Hdf5Store:
    """The datasets of an HDF5 file, by their paths, such as `train/data`."""

    def __init__(self, path: Path, *, transposed: bool = False):
        self.path, self.where, self.transposed = path, str(path), transposed

    def headers(self) -> dict[str, Header]:
        """Return shape and type of each of the first 1,000 datasets on three levels, and of the attribute of names."""
        return self._headers

    @cached_property
    def _headers(self) -> dict[str, Header]:
        found: dict[str, Header] = {}
        with self._open() as file:
            check_inside(self.path, file)
            self._collect(file, "", _MAX_LEVELS, found)
            if _CLASS_NAMES not in found and _CLASS_NAMES in file.attrs:
                shape, kind = file.attrs.get_id(_CLASS_NAMES).shape, file.attrs.get_id(_CLASS_NAMES).dtype
                if len(shape) == 1 and h5py.check_string_dtype(kind) is not None:
                    found[_CLASS_NAMES] = Header(shape, np.dtype(np.str_))
        return found

    def _collect(self, group: Any, prefix: str, levels: int, found: dict[str, Header]) -> None:
        for name in group:
            item = group.get(name)
            if len(found) >= _MAX_DATASETS or name.startswith("#"):
                return
            if isinstance(item, h5py.Dataset) and item.shape is not None:  # A null dataspace has no shape.
                found[prefix + name] = _header(item, transposed=self.transposed)
            elif isinstance(item, h5py.Group) and levels > 1:
                self._collect(item, f"{prefix}{name}/", levels - 1, found)

    def column(self, name: str) -> np.ndarray:
        """Return a whole dataset; strings as text."""
        with self._open() as file:
            if name == _CLASS_NAMES and name not in file:
                return np.array(file.attrs[name].tolist(), dtype=np.str_)
            dataset = file[name]
            if h5py.check_string_dtype(dataset.dtype) is None:
                if dataset.dtype.hasobject:
                    raise objects_refused(self.where, name)
                return dataset[()].T if self.transposed else dataset[()]
            try:
                return np.array(dataset.asstr()[()], dtype=np.str_)
            except UnicodeDecodeError as error:
                raise EpochbankError(f"{self.path}: {name} is not text in UTF-8: {error}. Write it as text.") from error

    def is_of_a_set(self) -> bool:
        """Return whether the file is a virtual dataset of a set, whose images have bright ink."""
        with self._open() as file:
            about = file.attrs.get("about")
            return isinstance(about, str) and about.startswith("epochbank virtual dataset")

    def open(self, name: str, workspace: Path) -> StoredArray:
        """Return a dataset, to be read in place."""
        header = self.headers()[name]
        with self._open() as file:
            chunk = compressed_chunk(self.path, file[name])
        return Hdf5Array(self.path, name, header.shape, header.dtype.str, self.transposed, max(chunk, 1 << 20))

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import hdf5plugin  # noqa: F401  registers compression filters

        try:
            with h5py.File(self.path, "r", locking="best-effort") as file:
                yield file
        except _DAMAGED as error:
            raise EpochbankError(f"{self.path} cannot be read as HDF5: {error}. Write it again.") from error


def _header(dataset: Any, *, transposed: bool) -> Header:
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return Header(dataset.shape, np.dtype(np.str_))
    return Header(dataset.shape[::-1] if transposed else dataset.shape, dataset.dtype)
