"""Where the values of an HDF5 dataset are: a file may refer to any other file of the machine.

External links, virtual datasets and external raw storage name other files (HDF5 User's Guide). Links and virtual
datasets are followed only to files below the folder of the file that names them. External raw storage, whose names are
relative to the working directory, is refused.
"""

from pathlib import Path
from typing import Any

import h5py

from ...errors import EpochbankError
from .checks import compressed_chunk

_MAX_FILES = 100_000
"""Files that the virtual datasets of a source may refer to."""
_THIS_FILE = "."


def check_inside(path: Path, file: h5py.File) -> None:
    """Raise `EpochbankError` if a dataset or link of the open file `path` refers to a file outside of its folder."""
    _Inside(path).check_group(path, file)


class _Inside:
    """Follows the references of a file, and checks every file once."""

    def __init__(self, path: Path):
        self.path, self.root, self._seen = path, path.resolve().parent, {path.resolve()}

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
                self._check_file(path, name, str(dataset.name))

    def _check_file(self, path: Path, name: str, where: str) -> None:
        """Check a file that is referred to, and what that refers to."""
        other = self._resolve(path, name, where)
        if other in self._seen:
            return
        self._seen.add(other)
        if len(self._seen) > _MAX_FILES:
            raise EpochbankError(f"{self.path} refers to more than {_MAX_FILES:,} files; expected fewer.")
        if not other.exists():
            raise EpochbankError(f"{self.path}: {where} refers to {name}, which does not exist. Restore that file.")
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
