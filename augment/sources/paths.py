"""Paths of images: stored in files instead of memory, filtered by name, and made printable."""

import os
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from .decode import UNSUPPORTED_FORMATS

_RUN = 256
"""Number of paths read from the files at once."""

_SYSTEM_FOLDERS = {b"__MACOSX", b"@eaDir", b"lost+found", b"$RECYCLE.BIN", b"System Volume Information"}
"""Folders that operating systems create for metadata and deleted files."""

_CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class PathList:
    """A list of paths in two files, so that millions of paths take no memory.

    `text` holds the bytes of all paths, one after another. `ends`, uint64 (N,), holds the offset where each path ends.
    """

    def __init__(self, text: Path, ends: Path):
        self.text, self.ends = text, ends
        self._first, self._run = 0, list[bytes]()

    def __reduce__(self) -> tuple:
        return PathList, (self.text, self.ends)  # without the cached run

    def __getitem__(self, index: int) -> str:
        return os.fsdecode(self.encoded(index))

    def encoded(self, index: int) -> bytes:
        """Return path `index` as the bytes in the file system. Raises `IndexError` after the last path."""
        if not self._first <= index < self._first + len(self._run):
            self._read(index - index % _RUN)
        return self._run[index - self._first]

    def select(self, keep: np.ndarray) -> "PathList":
        """Write the paths for which `keep`, bool (N,), is True to new files, and return their list."""
        chosen = PathList(self.text.with_name(self.text.name + "-kept"), self.ends.with_name(self.ends.name + "-kept"))
        with open(chosen.text, "wb") as text, open(chosen.ends, "wb") as ends:
            writer = PathWriter(text, ends)
            for start in range(0, len(keep), _RUN):
                indices = start + np.flatnonzero(keep[start : start + _RUN])
                writer.add([self.encoded(index) for index in indices.tolist()])
        return chosen

    def _read(self, first: int) -> None:
        with open(self.ends, "rb") as ends, open(self.text, "rb") as text:
            ends.seek(8 * max(first - 1, 0))
            bounds = np.fromfile(ends, np.uint64, _RUN + (first > 0)).tolist()
            bounds = bounds if first else [0, *bounds]
            text.seek(bounds[0])
            run = text.read(bounds[-1] - bounds[0])
        self._first, self._run = first, [run[low - bounds[0] : high - bounds[0]] for low, high in pairwise(bounds)]


class PathWriter:
    """Writes the files of a `PathList`."""

    def __init__(self, text: BinaryIO, ends: BinaryIO):
        self._text, self._ends, self._end = text, ends, 0

    def add(self, paths: Sequence[bytes]) -> None:
        """Append paths."""
        ends = self._end + np.cumsum(np.fromiter(map(len, paths), np.uint64, len(paths)), dtype=np.uint64)
        self._text.write(b"".join(paths))
        self._ends.write(ends.tobytes())
        self._end = int(ends[-1]) if len(ends) else self._end


def join(folder: bytes, name: bytes) -> bytes:
    """Join a folder and a name; either may be empty."""
    return folder + b"/" + name if folder and name else folder or name


def printable(path: bytes) -> str:
    """Return a path as text. Invalid UTF-8 and control characters, such as line breaks, become `\\xe9`."""
    return path.decode("utf-8", "backslashreplace").translate(_CONTROL_CHARACTERS)


def is_hidden(name: bytes) -> bool:
    """Return whether files and folders of this name are skipped."""
    return name[:1] == b"." or name in _SYSTEM_FOLDERS


def skip_reason(name: bytes) -> str:
    """Return why a file is skipped: `hidden`, its suffix, such as `.txt`, or `without a suffix`; empty for an image."""
    if is_hidden(name):
        return "hidden"
    dot = name.rfind(b".")
    suffix = name[dot:].lower() if dot > 0 else b"."
    if suffix in _image_suffixes():
        return ""
    return "without a suffix" if suffix == b"." else printable(suffix)


@lru_cache(maxsize=1)
def _image_suffixes() -> frozenset[bytes]:
    extensions = Image.registered_extensions()  # Loads Pillow's plugins, which also fill Image.OPEN.
    readable = Image.OPEN.keys() - UNSUPPORTED_FORMATS
    return frozenset(suffix.encode() for suffix, kind in extensions.items() if kind in readable)
