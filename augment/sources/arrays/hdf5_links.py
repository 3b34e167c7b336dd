"""Where the values of an HDF5 dataset are: a file may refer to any other file of the machine.

External links, virtual datasets and external raw storage name other files (HDF5 User's Guide). Links and virtual
datasets are followed only to files below the folder of the file that names them. External raw storage, whose names are
relative to the working directory, is refused. So are virtual datasets that refer to themselves: HDF5 1.14 crashes when
it reads one.
"""

import re
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import h5py

from ...errors import EpochbankError
from .checks import compressed_chunk

_MAX_FILES = 100_000
"""Files that the virtual datasets of a source may refer to."""
_MAX_LEVELS = 32
"""Virtual datasets that refer to virtual datasets."""
_THIS_FILE = "."
_PATTERN = re.compile("%[%b]")
"""In the names that a virtual dataset refers to: `%b` stands for the numbers 0, 1, 2, ..., and `%%` for `%`."""

_Node = tuple[Path, int]
"""A dataset: its file, and its address in it."""


def check_inside(path: Path, file: h5py.File) -> None:
    """Raise `EpochbankError` if a dataset or link of the open file `path` refers to a file outside of its folder.

    So it does if a virtual dataset refers to itself, or if virtual datasets refer to each other on many levels.
    """
    inside = _Inside(path)
    inside.check_group(path, file)
    inside.check_levels()  # Only now are all links known to lead to files of the folder.


class _Inside:
    """Follows the references of a file, and checks every file once."""

    def __init__(self, path: Path):
        self.path, self.root, self._seen = path, path.resolve().parent, {path.resolve()}
        self._virtual: list[tuple[Path, str]] = []
        """File and name of each virtual dataset."""
        self._levels: dict[_Node, int] = {}
        """Levels of virtual datasets below each one, itself included."""

    def check_group(self, path: Path, group: Any) -> None:
        names: list[bytes] = []
        group.id.links.visit(names.append)  # Calling HDF5, or raising an exception, is not possible while it visits.
        for name in (name.decode("utf-8", "surrogateescape") for name in names):
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                self._check_file(path, link.filename, name)
            elif isinstance(link, h5py.HardLink):
                item = group[name]
                if isinstance(item, h5py.Dataset):
                    self._check_dataset(path, item)
                    if path != self.path:
                        compressed_chunk(path, item)

    def _check_dataset(self, path: Path, dataset: h5py.Dataset) -> None:
        for name, _, _ in dataset.external or ():
            raise EpochbankError(
                f"{self.path}: the values of {dataset.name} are in another file, {name}; expected them in the HDF5 "
                "file itself. Copy them into it, for example with h5repack."
            )
        if dataset.is_virtual:
            for name in sorted({source.file_name for source in dataset.virtual_sources()} - {_THIS_FILE}):
                if _has_numbers(name):
                    raise EpochbankError(
                        f"{self.path}: {dataset.name} refers to files of the pattern {name}; expected their names. "
                        "Write the file again."
                    )
                self._check_file(path, _numbered(name), str(dataset.name))
            self._virtual.append((path, str(dataset.name)))

    def check_levels(self) -> None:
        """Raise `EpochbankError` for virtual datasets that cannot be read safely; after `check_group`."""
        for path, name in self._virtual:
            with h5py.File(path, "r", locking="best-effort") as file:
                self._levels_of(file[name], ())

    def _levels_of(self, dataset: h5py.Dataset, above: tuple[_Node, ...]) -> int:
        """Return the levels of virtual datasets from `dataset` on; those in `above` refer to it."""
        node = Path(dataset.file.filename).resolve(), h5py.h5o.get_info(dataset.id).addr
        if node in above:
            raise EpochbankError(
                f"{self.path}: the virtual dataset {dataset.name} refers to itself; expected one that refers to stored "
                "datasets. Write the file again."
            )
        if not dataset.is_virtual:
            return 0
        levels = self._levels.get(node, 1)
        if len(above) + levels > _MAX_LEVELS:
            raise EpochbankError(
                f"{self.path}: virtual datasets refer to each other on more than {_MAX_LEVELS} levels; expected fewer. "
                "Copy the data into one dataset."
            )
        if node not in self._levels:
            levels += max((self._levels_of(one, (*above, node)) for one in _sources(dataset)), default=0)
            self._levels[node] = levels
        return levels

    def _check_file(self, path: Path, name: str, where: str) -> None:
        """Check a file that is referred to, and what that refers to."""
        other = self._resolve(path, name, where)
        if other in self._seen:
            return
        self._seen.add(other)
        if len(self._seen) > _MAX_FILES:
            raise EpochbankError(f"{self.path} refers to more than {_MAX_FILES:,} files; expected fewer.")
        if not other.is_file():  # Opening a pipe would wait for its writer.
            fault = "is not a file" if other.exists() else "does not exist"
            raise EpochbankError(f"{self.path}: {where} refers to {name}, which {fault}. Restore that file.")
        with h5py.File(other, "r", locking="best-effort") as file:
            self.check_group(other, file)

    def _resolve(self, path: Path, name: str, where: str) -> Path:
        """Return the file that `path` calls `name`. Raises `EpochbankError` if it is outside of the folder."""
        other = (path.parent / name).resolve()
        if not other.is_relative_to(self.root):
            raise EpochbankError(
                f"{self.path}: {where} refers to the file {name}; expected only files in {self.root}, because a source "
                "may come from others. Copy the data into one file."
            )
        return other


def _sources(dataset: h5py.Dataset) -> Iterator[h5py.Dataset]:
    """Yield the datasets that a virtual dataset refers to; missing ones count as zeros."""
    own = Path(dataset.file.filename).resolve()
    names: dict[Path, set[str]] = {}
    for source in dataset.virtual_sources():
        path = own if source.file_name == _THIS_FILE else (own.parent / _numbered(source.file_name)).resolve()
        names.setdefault(path, set()).add(source.dset_name)
    for path, inside in names.items():
        with h5py.File(path, "r", locking="best-effort") as file:
            for name in sorted(inside):
                numbers = count() if _has_numbers(name) else iter([0])
                found = (file.get(_numbered(name, number)) for number in numbers)
                yield from takewhile(lambda one: isinstance(one, h5py.Dataset), found)


def _has_numbers(name: str) -> bool:
    return "%b" in _PATTERN.findall(name)


def _numbered(name: str, number: int = 0) -> str:
    return _PATTERN.sub(lambda found: "%" if found[0] == "%%" else str(number), name)
