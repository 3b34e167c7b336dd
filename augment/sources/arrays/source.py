"""Sources of arrays: which files belong to SOURCE, and the store that reads them.

A file with several arrays is a source of its own. A file with one array of images (`.npy`, or an `.npz` with one array)
has its labels in another file in the same folder, and so may have the images of other splits; MATLAB files have the
other splits in other files, such as `train_32x32.mat` and `test_32x32.mat`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...errors import EpochbankError
from ..base import Scan, SourceOptions, file_identity
from ..exported import about_files, as_exported
from ..paths import is_hidden, skip_reason
from .hdf5 import Hdf5Store
from .mat import MatStore, is_version_5
from .names import Name, labels_name, parse_name
from .npy import NpyStore
from .npz import NpzStore
from .scan import scan_arrays
from .store import ArrayStore, Header, StoredArray

_SINGLE = (".npy", ".npz")
"""Suffixes of files that may have one array."""
_MAX_FILES = 2000


class _Together:
    """Several stores as one: the arrays of each are named by the file, and by their names if there are several."""

    def __init__(self, where: Path, stores: Mapping[str, ArrayStore]):
        self.where, self._stores = str(where), stores

    @cached_property
    def _places(self) -> dict[str, tuple[ArrayStore, str, Header]]:
        places = {}
        for stem, store in self._stores.items():
            headers = store.headers()
            single = len(headers) == 1 and isinstance(store, NpyStore | NpzStore)
            for name, header in headers.items():
                places[stem if single else f"{stem}/{name}"] = (store, name, header)
        return places

    def headers(self) -> dict[str, Header]:
        """Return the header of each array."""
        return {name: header for name, (_, _, header) in self._places.items()}

    def column(self, name: str) -> np.ndarray:
        """Return a whole array."""
        store, inner, _ = self._places[name]
        return store.column(inner)

    def open(self, name: str, workspace: Path) -> StoredArray:
        """Return an array, to be read in runs."""
        store, inner, _ = self._places[name]
        return store.open(inner, workspace)


class _ArraySource:
    """The common part of the sources of arrays."""

    kind = ""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def files(self) -> list[Path]:
        """Return the files that belong to the source."""
        return [self.path]

    def identity(self) -> Any:
        """Return path, size and modification time of each file."""
        files = [*self.files(), *about_files(self.path)]
        return [self.kind, *(file_identity(files[0]) if files == [self.path] else map(file_identity, files))]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read everything except the images. Compressed images are decompressed into `workspace`."""
        files = self.files()
        stores = {file.stem: self._store(file) for file in files if file.suffix.lower() != ".csv"}
        first = next(iter(stores.values()), None)
        alone = first is not None and len(stores) == 1 and not isinstance(first, NpyStore)
        scan = self._scan(first if first is not None and alone else _Together(self.path, stores), files, workspace)
        return as_exported(scan, self.path)

    def _store(self, path: Path) -> ArrayStore:
        raise NotImplementedError

    def _scan(self, store: ArrayStore, files: list[Path], workspace: Path) -> Scan:
        return scan_arrays(store, self.options, workspace)


class Hdf5Source(_ArraySource):
    """An HDF5 file."""

    kind = "hdf5"

    def _store(self, path: Path) -> ArrayStore:
        return Hdf5Store(path)

    def _scan(self, store: ArrayStore, files: list[Path], workspace: Path) -> Scan:
        scan = scan_arrays(store, self.options, workspace)
        return replace(scan, light=False) if isinstance(store, Hdf5Store) and store.is_of_a_set() else scan


class NpyFilesSource(_ArraySource):
    """A `.npy` or `.npz` file with one array of images, with the files beside it; or a folder of such files."""

    kind = "npy"

    def files(self) -> list[Path]:
        """Return the files of images and labels that belong together, and a table of the names of their classes."""
        folder = self.path if self.path.is_dir() else self.path.parent
        only = _only_npz(folder) if self.path.is_dir() else None
        if only is not None:
            return [only]
        named = None if self.path.is_dir() else parse_name(self.path.stem)
        found = {path: parse_name(path.stem) for path in _listed(folder, _SINGLE)}
        if named is not None and self.options.labels_key is None and self.options.images_key is None:
            found = {path: name for path, name in found.items() if _belongs(name, named)}
        files = sorted(
            path
            for path, name in found.items()
            if name.role or path == self.path or self.options.labels_key is not None
        )
        return files + _class_tables(folder, found.values())

    def _store(self, path: Path) -> ArrayStore:
        return NpyStore(path) if path.suffix.lower() == ".npy" else NpzStore(path)

    def _scan(self, store: ArrayStore, files: list[Path], workspace: Path) -> Scan:
        options = self.options if self.path.is_dir() else self._with_images(store)
        table = next((file for file in files if file.suffix == ".csv"), None)
        if table is None or options.class_names is not None:
            return scan_arrays(store, options, workspace)
        scan = scan_arrays(store, replace(options, class_names=str(table)), workspace)
        return replace(scan, notes=[*scan.notes, f"class names are from {table.name}"])

    def _with_images(self, store: ArrayStore) -> SourceOptions:
        """Return the options, in which SOURCE is the array of images if its name has no word for its role.

        Raises `EpochbankError` if SOURCE is the only array.
        """
        name, arrays = self.path.stem, store.headers()
        role = parse_name(name).role
        if len(arrays) == 1 and self.options.labels_key is None and (role == "images" or (not role and name in arrays)):
            raise EpochbankError(
                f"{self.path} has one array, without labels; expected one label for each image in a file beside it, "
                f"such as {labels_name(name)}{self.path.suffix}. Save the labels in such a file, or both arrays with "
                "np.savez('data.npz', images=..., labels=...)."
            )
        is_images = role == "" and name in arrays and self.options.images_key is None
        return replace(self.options, images_key=name) if is_images else self.options


class NpzSource(NpyFilesSource):
    """An `.npz` file, compressed or not."""

    kind = "npz"

    def files(self) -> list[Path]:
        """Return the file; if it has one array of images, also the files beside it that belong to it."""
        name = parse_name(self.path.stem)
        single = name.role in ("images", "labels") and NpzStore(self.path).has_one_array()
        return super().files() if single else [self.path]


class MatSource(_ArraySource):
    """A MATLAB file, with those of the other splits beside it."""

    kind = "mat"

    def files(self) -> list[Path]:
        """Return the file, and, if its name says that it is of the training split, those of the other splits."""
        named = parse_name(self.path.stem)
        if named.split != 0:
            return [self.path]
        others = {path: parse_name(path.stem) for path in _listed(self.path.parent, (".mat",))}
        return sorted(
            path
            for path, name in others.items()
            if path == self.path or (name.rest == named.rest and name.split in (1, 2))
        )

    def _store(self, path: Path) -> ArrayStore:
        is_hdf5 = not is_version_5(path) and h5py.is_hdf5(path)
        return Hdf5Store(path, transposed=True) if is_hdf5 else MatStore(path)

    def _scan(self, store: ArrayStore, files: list[Path], workspace: Path) -> Scan:
        return _as_svhn(scan_arrays(store, self.options, workspace))


def holds_arrays(folder: Path) -> bool:
    """Return whether a folder has pairs of `.npy` or `.npz` files of images and labels by name, or only one `.npz`."""
    try:
        if _only_npz(folder) is not None:
            return True
        names = [parse_name(path.stem) for path in _listed(folder, _SINGLE)]
    except PermissionError:  # Reported when the folder is scanned.
        return False
    pairs = {role: {(name.rest, name.split) for name in names if name.role == role} for role in ("images", "labels")}
    return bool(pairs["images"] & pairs["labels"])


def _only_npz(folder: Path) -> Path | None:
    """Return the only file of arrays in a folder, if that is an `.npz`, as `augment export` writes it; else None."""
    found = _listed(folder, _SINGLE)
    if len(found) != 1 or found[0].suffix.lower() != ".npz":
        return None
    entries = [one for one in islice(folder.iterdir(), _MAX_FILES) if not is_hidden(one.name.encode(errors="replace"))]
    has_images = any(one.is_dir() or not skip_reason(one.name.encode(errors="replace")) for one in entries)
    return None if has_images else found[0]


def _listed(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    found = []
    for number, path in enumerate(folder.iterdir()):
        if number == _MAX_FILES:
            break
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            found.append(path)
    return sorted(found)


def _belongs(name: Name, named: Name) -> bool:
    """Return whether a file belongs to the named one: to its split, or to any if that is the training split."""
    return name.rest == named.rest and (name.split == named.split or (named.split == 0 and name.split is not None))


def _class_tables(folder: Path, names: Iterable[Name]) -> list[Path]:
    """Return `k49_classmap.csv` for files such as `k49-train-imgs.npz`, if there is one."""
    rests = {name.rest for name in names if name.role}
    table = folder / f"{'-'.join(next(iter(rests)))}_classmap.csv" if len(rests) == 1 else None
    return [table] if table is not None and table.is_file() else []


def _as_svhn(scan: Scan) -> Scan:
    """Rename class 10 of SVHN (Netzer et al., 2011) to 0, the digit that it stands for."""
    if scan.size != (32, 32) or scan.channels != 3 or scan.class_names != [str(label) for label in range(1, 11)]:
        return scan
    notes = [note.replace("; labels begin at 1", "") for note in scan.notes]
    return replace(scan, class_names=[*scan.class_names[:9], "0"], notes=[*notes, "label 10 of SVHN is the class 0"])
