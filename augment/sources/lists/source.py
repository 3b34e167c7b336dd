"""Sources that list images: each row of a table has an image's path, label and, optionally, group and split.

The table may be a CSV file or JSON; which of its columns is which is recognized by name or by contents.
"""

import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import EpochbankError
from ...shared.progress import counted
from ..base import Scan, SourceOptions, size_and_mtime
from ..class_names import name_labels
from ..folders.readers import FilesReader
from ..names import GROUP, LABEL, PATH, SPLIT, Names, check_text, first_names, split_number
from ..paths import PathList, PathWriter
from .columns import Roles
from .fields import Faults, as_integer, integer_or_text, text_of
from .paths import PathFinder, Template

_SHOWN = 10
"""Images listed in a message."""


class Table(Protocol):
    """Rows with named columns, in a file."""

    path: Path
    header: list[str]
    """Names of the columns."""

    @property
    def notes(self) -> list[str]:
        """Messages for the user about the rows that were read last."""
        ...

    def rows(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield where each row is, such as `line 3`, and its fields, which may be fewer or more than the columns."""
        ...


class ListScanner:
    """Reads a table whose columns are known."""

    def __init__(self, table: Table, roles: Roles, options: SourceOptions):
        self.table, self.roles, self.options = table, roles, options
        self.path, self.folder = table.path, table.path.parent

    def digest(self) -> str:
        """Return a digest of path, size and modification time of every image, hexadecimal."""
        digest, finder = hashlib.sha256(), PathFinder(self.folder)
        for _, row in self.table.rows():
            try:
                path = finder.find(self._path(row))
                digest.update(f"{path}/{size_and_mtime(self.folder / path)}/".encode(errors="replace"))
            except (ValueError, IndexError):  # The scan reports invalid rows.
                digest.update(repr(row).encode(errors="replace"))
        return digest.hexdigest()

    def scan(self, workspace: Path) -> Scan:
        """Read the rows without opening the images.

        Raises `EpochbankError` that lists the invalid rows, and if no image is found.
        """
        paths = PathList(workspace / "paths", workspace / "path-ends")
        labels, groups, splits, hashes = Names(), Names(), array("b"), array("q")
        finder, faults = PathFinder(self.folder), Faults(self.path)
        unfound: list[str] = []
        with open(paths.text, "wb") as text, open(paths.ends, "wb") as ends:
            writer = PathWriter(text, ends)
            for where, row in self.table.rows():
                try:
                    written, label, group, split = self._fields(row)
                    path = finder.find(written)
                    encoded = os.fsencode(path)
                    labels.add(label)
                    if group is not None:
                        groups.add(group)
                except ValueError as error:
                    faults.add(f"{where} {error}")
                    continue
                if not finder.found and len(unfound) < 3:
                    unfound.append(path)
                splits.append(split)
                hashes.append(hash(self.folder / path))
                writer.add([encoded])
        faults.refuse("{rows} cannot be used", "Fix them.")
        if not labels:
            raise EpochbankError(f"{self.path} lists no images; expected a row for each image below the header.")
        self._check_repeats(paths, hashes)
        if not finder.found:
            raise self._none_found(len(labels), unfound)
        label_index, class_names = labels.sorted_index()
        if self.options.class_names is not None:
            class_names = name_labels(self.options.class_names, [int(name) for name in class_names])
        group_index, group_names = groups.sorted_index() if len(groups) else (None, None)
        split_index = np.frombuffer(splits, np.int8)
        return Scan(
            reader=FilesReader(self.folder, paths),
            labels=label_index,
            class_names=class_names,
            groups=group_index,
            group_names=group_names,
            splits=split_index if (split_index >= 0).any() else None,
            notes=[*self._column_notes(), *self.table.notes, *finder.notes(self.path.name)],
        )

    def _path(self, row: Sequence[Any]) -> str:
        """Return the path of a row's image as the list has it. Raises `ValueError` for a value that is not a path."""
        path = self.roles.path
        text = path.path(row) if isinstance(path, Template) else text_of("path", row[path])
        if "\0" in text:
            raise ValueError(f"has the path {text!r}; expected one without NUL")
        check_text(text)
        return text

    def _fields(self, row: Sequence[Any]) -> tuple[str, int | str, str | None, int]:
        """Return path, label, group and split of a row. Raises `ValueError` for an invalid one."""
        roles = self.roles
        if len(row) != len(self.table.header):
            raise ValueError(f"has {len(row)} fields; expected {len(self.table.header)}, as many as the header")
        group = None if roles.group is None else text_of("group", row[roles.group])
        label = integer_or_text("label", row[roles.label])
        if self.options.class_names is not None:
            label = as_integer(label)
        split = -1 if roles.split is None else split_number("" if row[roles.split] is None else str(row[roles.split]))
        return self._path(row), label, group, split

    def _column_notes(self) -> list[str]:
        """Say which columns are used, unless they have the preferred names, and which are not."""
        header, roles = self.table.header, self.roles
        named = [("labels", roles.label, LABEL), ("groups", roles.group, GROUP), ("splits", roles.split, SPLIT)]
        if not isinstance(roles.path, Template):
            named.insert(0, ("images", roles.path, PATH))
        taken = [
            f"{what} from {header[place]!r}"
            for what, place, names in named
            if place is not None and header[place].strip().lower() not in names
        ]
        unused = [name for place, name in enumerate(header) if place not in roles.columns()]
        return [
            *([f"columns of {self.path.name}: {', '.join(taken)}"] if taken else []),
            *([f"unused columns of {self.path.name}: {first_names(unused)}"] if unused else []),
        ]

    def _none_found(self, count: int, paths: list[str]) -> EpochbankError:
        return EpochbankError(
            f"{self.path}: no image of its {counted(count, 'row')} was found, such as {first_names(paths)}; expected "
            f"paths relative to {self.folder}, or absolute. Move the list to the images, or give their folder with "
            "--path-template, such as --path-template 'FOLDER/{" + self._example_column() + "}'."
        )

    def _example_column(self) -> str:
        place = self.roles.path.columns[0] if isinstance(self.roles.path, Template) else self.roles.path
        return self.table.header[place]

    def _check_repeats(self, paths: PathList, hashes: array) -> None:
        """Raise `EpochbankError` if an image is listed twice: it could be in two splits, or have two labels."""
        key = np.frombuffer(hashes, np.int64)
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order[1:]] == key[order[:-1]])
        pairs = ((int(order[at]), int(order[at + 1])) for at in same)
        repeats = sorted(pair for pair in pairs if self._full_path(paths, pair[0]) == self._full_path(paths, pair[1]))
        if not repeats:
            return
        wanted = {index for pair in repeats[:_SHOWN] for index in pair}
        rows = {index: row for index, row in enumerate(self.table.rows()) if index in wanted}
        faults = Faults(self.path)
        for one, other in repeats:
            if one in rows and other in rows:
                (where, first), (later, second) = rows[one], rows[other]
                faults.add(f"{_both(where, later)} list {self._path(second)} {self._labels_of(first, second)}")
            else:
                faults.add("")
        faults.refuse("images are listed twice; expected each once", "Remove one row of each pair.")

    def _labels_of(self, first: Sequence[Any], second: Sequence[Any]) -> str:
        label, other = (repr(row[self.roles.label]) for row in (first, second))
        return f"with the label {label}" if label == other else f"with the labels {label} and {other}"

    def _full_path(self, paths: PathList, index: int) -> Path:
        return self.folder / paths[index]


def _both(where: str, later: str) -> str:
    """Join `line 3` and `line 5` to `lines 3 and 5`."""
    what, _, number = where.partition(" ")
    return f"{what}s {number} and {later.partition(' ')[2]}"
