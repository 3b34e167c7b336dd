"""Readers of image files, in a folder or in a .zip archive."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..archive import Archive
from ..decode import BadImage, read_image
from ..paths import PathList, printable


@dataclass(frozen=True)
class FilesReader:
    """Reads images from files. Paths are relative to `root` or absolute."""

    root: Path
    paths: PathList

    def read(self, indices: np.ndarray) -> Iterator[Image.Image | BadImage]:
        """Yield each decoded image, or the reason why it cannot be used."""
        root = os.fsencode(self.root)
        for index in indices.tolist():
            path = self.paths.encoded(index)
            yield read_image(path if path.startswith(b"/") else root + b"/" + path)

    def origin(self, index: int) -> str:
        """Return the path, relative to the folder unless it is absolute."""
        return printable(self.paths.encoded(index))


@dataclass(frozen=True)
class ZipReader:
    """Reads images from a .zip archive."""

    archive: Archive
    paths: PathList
    offsets: Path
    """File with the offset of each image's directory entry in the archive, uint64 (N,)."""

    def read(self, indices: np.ndarray) -> Iterator[Image.Image | BadImage]:
        """Yield each decoded image, or the reason why it cannot be used."""
        offsets = np.memmap(self.offsets, np.uint64, "r")[indices].tolist()
        with open(self.archive.path, "rb") as file:
            for offset in offsets:
                yield self._read_one(file.fileno(), offset)

    def _read_one(self, descriptor: int, offset: int) -> Image.Image | BadImage:
        try:
            return read_image(io.BytesIO(self.archive.read(descriptor, self.archive.entry(descriptor, offset))))
        except BadImage as bad:
            return bad

    def origin(self, index: int) -> str:
        """Return the path in the archive."""
        return printable(self.paths.encoded(index))
