"""Combines the scans of all `.gnt` files into labels and the table of images."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..etl.characters import CharacterFilter
from ..etl.places import Place
from ..names import ranks
from ..paths import PathList, PathWriter
from .reader import ROW, GntFiles, GntReader
from .samples import character_of

_UNKNOWN, _NO_CHARACTER, _NOT_WANTED = -3, -2, -1
_LISTS = ("paths", "names")


@dataclass(frozen=True)
class FileScan:
    """The samples of a file that can be used, and number and reason of the others."""

    path: Path
    """The file on disk: the file itself, its archive, or an extracted copy."""
    table: np.ndarray
    """Array of `SAMPLE`, (n,); its offsets are in `path`."""
    bad: list[tuple[int | None, str]]


class Collector:
    """Combines the scans of all files; a context manager that writes the table of images."""

    def __init__(self, wanted: CharacterFilter, workspace: Path, bad: list[tuple[str, str]]):
        self.wanted, self.bad = wanted, bad
        self.characters: set[str] = set()
        """Characters that occur, wanted or not."""
        self.num_unwanted = 0
        self.counts: list[int] = []
        """Number of images of each file."""
        files = GntFiles(*(PathList(workspace / f"gnt-{name}", workspace / f"gnt-{name}-ends") for name in _LISTS))
        self.reader = GntReader(files, workspace / "gnt-table")
        self._class_of_tag = np.full(1 << 16, _UNKNOWN, np.int32)
        self._classes: dict[str, int] = {}
        self._labels = [np.zeros(0, np.int32)]
        self._open = ExitStack()

    def __enter__(self) -> "Collector":
        paths = [path for names in self.reader.files for path in (names.text, names.ends)]
        *opened, self._table = (self._open.enter_context(path.open("wb")) for path in [*paths, self.reader.table])
        self._paths, self._names = PathWriter(*opened[:2]), PathWriter(*opened[2:])
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, place: Place, scan: FileScan) -> None:
        """Add the wanted images of a file."""
        for tag in np.unique(scan.table["tag"]).tolist():
            if self._class_of_tag[tag] == _UNKNOWN:
                self._class_of_tag[tag] = self._class(tag)
        labels = self._class_of_tag[scan.table["tag"]]
        self.num_unwanted += int((labels == _NOT_WANTED).sum())
        damaged = [(number, reason) for number, reason in scan.bad]
        for row in np.flatnonzero(labels == _NO_CHARACTER).tolist():
            tag = f"0x{scan.table['tag'][row]:04X}"
            damaged.append(
                (int(scan.table["number"][row]), f"has the tag {tag}, which is not a character of GBK or ASCII")
            )
        for number, reason in sorted(damaged, key=lambda one: -1 if one[0] is None else one[0]):
            self.bad.append((place.name if number is None else f"{place.name}, sample {number}", reason))
        rows = np.flatnonzero(labels >= 0)
        table = np.empty(len(rows), ROW)
        for name in ("offset", "number", "width", "height"):
            table[name] = scan.table[name][rows]
        table["file"] = len(self.counts)
        self._table.write(table.tobytes())
        self._paths.add([os.fsencode(scan.path)])
        self._names.add([place.name.encode()])
        self._labels.append(labels[rows])
        self.counts.append(len(rows))

    def _class(self, tag: int) -> int:
        character = character_of(tag)
        if character is None:
            return _NO_CHARACTER
        self.characters.add(character)
        if not self.wanted.accepts(character):
            return _NOT_WANTED
        return self._classes.setdefault(character, len(self._classes))

    def labels(self) -> tuple[np.ndarray, list[str]]:
        """Return the class of each image, int32 (N,), and the sorted names of the classes."""
        names = sorted(self._classes)
        return ranks(names, self._classes)[np.concatenate(self._labels)], names
