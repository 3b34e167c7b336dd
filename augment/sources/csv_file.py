"""Sources listed in a .csv or .tsv file with a header: each row has an image's path, label, group and split.

Python's `csv` reads it. Fields that contain the separator, quotes or line breaks are in double quotes (RFC 4180).
"""

import csv
import hashlib
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EpochbankError
from .base import Scan, SourceOptions, file_identity, size_and_mtime
from .names import GROUP, LABEL, PATH, SPLIT, Names, find_column, split_number
from .paths import PathList, PathWriter
from .readers import FilesReader

_SHOWN = 10
"""Errors listed in a message; further ones are counted."""


@dataclass(frozen=True)
class _Layout:
    """Positions of the columns."""

    separator: str
    columns: int
    path: int
    label: int
    group: int | None
    split: int | None
    unused: str
    """Names of the other columns."""


class CsvSource:
    """A .csv or .tsv file."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Return path, size and modification time of the file, and a digest of those of every image in it."""
        layout, digest = self._layout(), hashlib.sha256()
        for _, row in self._rows(layout):
            path = row[layout.path] if len(row) > layout.path else ""
            digest.update(f"{path}/{size_and_mtime(self.path.parent / path)}/".encode())
        return ["csv", *file_identity(self.path), digest.hexdigest()]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read the rows without opening the images. Raises `EpochbankError` that lists the invalid lines."""
        layout = self._layout()
        paths = PathList(workspace / "paths", workspace / "path-ends")
        labels, groups, split_column, hashes = Names(), Names(), array("b"), array("q")
        shown: list[str] = []
        errors = 0
        with open(paths.text, "wb") as text, open(paths.ends, "wb") as ends:
            writer = PathWriter(text, ends)
            for line, row in self._rows(layout):
                try:
                    path, label, group, split = self._fields(row, layout)
                    encoded = os.fsencode(path)
                    labels.add(label)
                    if group is not None:
                        groups.add(group)
                except ValueError as error:
                    errors += 1
                    if errors <= _SHOWN:
                        shown.append(f"line {line} {error}")
                    continue
                split_column.append(split)
                hashes.append(hash(self.path.parent / path))
                writer.add([encoded])
        if errors:
            self._refuse(f"{errors:,} row(s) cannot be used", errors, shown, "Fix them.")
        if not labels:
            raise EpochbankError(f"{self.path} lists no images; expected a row for each below the header.")
        self._check_repeats(layout, paths, hashes)
        label_index, class_names = labels.sorted_index()
        group_index, group_names = groups.sorted_index() if len(groups) else (None, None)
        splits = np.frombuffer(split_column, np.int8)
        return Scan(
            reader=FilesReader(self.path.parent, paths),
            labels=label_index,
            class_names=class_names,
            groups=group_index,
            group_names=group_names,
            splits=splits if (splits >= 0).any() else None,
            notes=[f"unused columns of {self.path.name}: {layout.unused}"] if layout.unused else [],
        )

    def _layout(self) -> _Layout:
        """Find the columns. The separator is the first of `,`, `;` and tab that gives a path and a label column."""
        longest: list[str] = []
        for separator in "\t,;" if self.path.suffix.lower() == ".tsv" else ",;\t":
            header = next((row for _, row in _parse(self.path, separator, strict=False)), [])
            try:
                path, label, group, split = (find_column(header, names) for names in (PATH, LABEL, GROUP, SPLIT))
            except ValueError as error:
                raise EpochbankError(f"{self.path}: the columns {error}.") from error
            if path is not None and label is not None:
                split = None if self.options.split == "fractions" else split
                unused = [name for place, name in enumerate(header) if place not in (path, label, group, split)]
                return _Layout(separator, len(header), path, label, group, split, ", ".join(map(repr, unused)))
            longest = max(longest, header, key=len)
        found = f"the columns {', '.join(map(repr, longest))}" if longest else "no header"
        raise EpochbankError(
            f"{self.path} has {found}; expected {PATH[0]} (or {', '.join(PATH[1:])}) and {LABEL[0]} (or "
            f"{', '.join(LABEL[1:])}). Name the columns in the first line."
        )

    def _rows(self, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
        """Yield line number and fields of each row below the header."""
        rows = _parse(self.path, layout.separator, strict=True)
        next(rows)
        return rows

    def _fields(self, row: list[str], layout: _Layout) -> tuple[str, str, str | None, int]:
        if len(row) != layout.columns:
            raise ValueError(f"has {len(row)} fields; expected {layout.columns}, as many as the header")
        path, label = row[layout.path], row[layout.label]
        group = None if layout.group is None else row[layout.group]
        for name, value in (("path", path), ("label", label), ("group", group)):
            if value is not None and not value.strip():
                raise ValueError(f"has an empty {name}; expected one for each image")
        if "\0" in path:
            raise ValueError(f"has the path {path!r}; expected one without NUL")
        return path, label, group, -1 if layout.split is None else split_number(row[layout.split])

    def _check_repeats(self, layout: _Layout, paths: PathList, hashes: array) -> None:
        """Raise `EpochbankError` if an image is listed twice: it could be in two splits, or have two labels."""
        key = np.frombuffer(hashes, np.int64)
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order[1:]] == key[order[:-1]])
        pairs = ((int(order[at]), int(order[at + 1])) for at in same)
        repeats = sorted(pair for pair in pairs if self._full_path(paths, pair[0]) == self._full_path(paths, pair[1]))
        if not repeats:
            return
        wanted = {index for pair in repeats[:_SHOWN] for index in pair}
        rows = {index: row for index, row in enumerate(self._rows(layout)) if index in wanted}
        shown = []
        for one, other in repeats[:_SHOWN]:
            (line, first), (later, second) = rows[one], rows[other]
            label, other_label = (repr(row[layout.label]) for row in (first, second))
            labels = f"with the label {label}" if label == other_label else f"with the labels {label} and {other_label}"
            shown.append(f"lines {line} and {later} list {second[layout.path]} {labels}")
        self._refuse("images are listed twice; expected each once", len(repeats), shown, "Remove one row of each pair.")

    def _full_path(self, paths: PathList, index: int) -> Path:
        return self.path.parent / paths[index]

    def _refuse(self, what: str, count: int, shown: list[str], remedy: str) -> None:
        more = f"\n  and {count - _SHOWN:,} more" if count > _SHOWN else ""
        listed = "".join(f"\n  {text}" for text in shown)
        raise EpochbankError(f"{self.path}: {what}:{listed}{more}\n{remedy}")


def _parse(path: Path, separator: str, *, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield line number (from 1) and fields of each row that is not blank. Raises `EpochbankError` for invalid CSV."""
    line = 1
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=separator, strict=strict)
            for row in reader:
                if any(map(str.strip, row)):
                    yield line, row
                line = reader.line_num + 1
    except csv.Error as error:
        raise EpochbankError(
            f"{path}, line {line}, cannot be read as CSV: {error}. Put fields that contain quotes or line breaks in "
            "double quotes, and double the quotes in them."
        ) from error
    except UnicodeDecodeError as error:
        raise EpochbankError(
            f"{path}, line {_invalid_line(path)}, is not valid UTF-8: {error.reason}. Save the file as UTF-8."
        ) from error


def _invalid_line(path: Path) -> int:
    """Return the first line (from 1) that is not UTF-8. The decoder reads ahead, so it does not know the line."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.decode("utf-8", "replace").encode() != line:
                return number
    return 1
