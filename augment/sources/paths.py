"""Paths of pictures: kept in files instead of memory, told from what is none by their names, and made fit to show."""

import os
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from .decode import NAMED_ALONE

_RUN = 256
"""Paths that are read from the files at once."""

_LEFTOVERS = {b"__MACOSX", b"@eaDir", b"lost+found", b"$RECYCLE.BIN", b"System Volume Information"}
"""Folders of copies, attributes and waste that systems leave behind."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class PathList:
    """Paths kept in two files instead of memory: millions of them cost nothing.

    `text` holds their bytes, one after another; `ends`, uint64 (N,), where each ends in it.
    """

    def __init__(self, text: Path, ends: Path):
        self.text, self.ends = text, ends
        self._first, self._run = 0, list[bytes]()

    def __reduce__(self) -> tuple:
        return PathList, (self.text, self.ends)  # without the run that was read last

    def __getitem__(self, index: int) -> str:
        return os.fsdecode(self.encoded(index))

    def encoded(self, index: int) -> bytes:
        """Path `index` as it is on the disk; `IndexError` beyond the last."""
        if not self._first <= index < self._first + len(self._run):
            self._read(index - index % _RUN)
        return self._run[index - self._first]

    def _read(self, first: int) -> None:
        with open(self.ends, "rb") as ends, open(self.text, "rb") as text:
            ends.seek(8 * max(first - 1, 0))
            bounds = np.fromfile(ends, np.uint64, _RUN + (first > 0)).tolist()
            bounds = bounds if first else [0, *bounds]
            text.seek(bounds[0])
            run = text.read(bounds[-1] - bounds[0])
        self._first, self._run = first, [run[low - bounds[0] : high - bounds[0]] for low, high in pairwise(bounds)]


class PathWriter:
    """Writes the files of a `PathList`, a run of paths at a time."""

    def __init__(self, text: BinaryIO, ends: BinaryIO):
        self._text, self._ends, self._end = text, ends, 0

    def add(self, paths: Sequence[bytes]) -> None:
        """The next paths."""
        ends = self._end + np.cumsum(np.fromiter(map(len, paths), np.uint64, len(paths)), dtype=np.uint64)
        self._text.write(b"".join(paths))
        self._ends.write(ends.tobytes())
        self._end = int(ends[-1]) if len(ends) else self._end


def shown(path: bytes) -> str:
    """A path or name as text: what is no UTF-8, or no character but a command (a line break), as `\\xe9`."""
    return path.decode("utf-8", "backslashreplace").translate(_CONTROLS)


def is_hidden(name: bytes) -> bool:
    """Whether a file or folder of this name is left out, whatever it holds."""
    return name[:1] == b"." or name in _LEFTOVERS


def left_out_as(name: bytes) -> str:
    """Empty for a picture by its name; else what it is left out as: `hidden`, `.txt`, `without a suffix`."""
    if is_hidden(name):
        return "hidden"
    dot = name.rfind(b".")
    suffix = name[dot:].lower() if dot > 0 else b"."
    if suffix in _picture_suffixes():
        return ""
    return "without a suffix" if suffix == b"." else shown(suffix)


@lru_cache(maxsize=1)
def _picture_suffixes() -> frozenset[bytes]:
    readable = Image.registered_extensions().items()
    return frozenset(suffix.encode() for suffix, kind in readable if kind in Image.OPEN and kind not in NAMED_ALONE)
