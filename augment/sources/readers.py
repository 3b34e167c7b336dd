"""Readers of pictures that are files: in a folder, or in a .zip archive."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .archive import Archive
from .decode import BadPicture, read_picture
from .paths import PathList, shown


@dataclass(frozen=True)
class FilesReader:
    """Opens pictures by path, below a folder or wherever a path of its own leads."""

    root: Path
    paths: PathList

    def read(self, indices: np.ndarray) -> Iterator[Image.Image | BadPicture]:
        """Each picture decoded, or the reason why not."""
        root = os.fsencode(self.root)
        for index in indices.tolist():
            path = self.paths.encoded(index)
            yield read_picture(path if path.startswith(b"/") else root + b"/" + path)

    def origin(self, index: int) -> str:
        """The path below the folder."""
        return shown(self.paths.encoded(index))


@dataclass(frozen=True)
class ZipReader:
    """Reads pictures out of a .zip archive."""

    archive: Archive
    paths: PathList
    places: Path
    """uint64 (N,): the byte of the archive at which each picture's entry in its directory begins."""

    def read(self, indices: np.ndarray) -> Iterator[Image.Image | BadPicture]:
        """Each picture decoded, or the reason why not."""
        places = np.memmap(self.places, np.uint64, "r")[indices].tolist()
        with open(self.archive.path, "rb") as file:
            for place in places:
                yield self._read_one(file.fileno(), place)

    def _read_one(self, descriptor: int, place: int) -> Image.Image | BadPicture:
        try:
            return read_picture(io.BytesIO(self.archive.contents(descriptor, self.archive.entry(descriptor, place))))
        except BadPicture as bad:
            return bad

    def origin(self, index: int) -> str:
        """The path within the archive."""
        return shown(self.paths.encoded(index))
