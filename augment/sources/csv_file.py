"""Sources that are a list: a .csv or .tsv file with a header, and a picture's path, label, group and part in each row.

Read by Python's `csv`: fields with the separator, quotes or line breaks in them stand in double quotes (RFC 4180).
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
from .base import Scan, SourceOptions, file_identity, status_of
from .names import GROUP, LABEL, PART, PATH, Names, find_column, part_number
from .paths import PathList, PathWriter
from .readers import FilesReader

_SHOWN = 10
"""Faults that are listed; more are counted."""


@dataclass(frozen=True)
class _Layout:
    """Where in a row is what."""

    separator: str
    columns: int
    path: int
    label: int
    group: int | None
    part: int | None
    unused: str
    """The names of the other columns."""


class CsvSource:
    """A .csv or .tsv file."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Path, bytes and time of change of the list, and a digest of those of every picture in it."""
        layout, digest = self._layout(), hashlib.sha256()
        for _, row in self._rows(layout):
            path = row[layout.path] if len(row) > layout.path else ""
            digest.update(f"{path}/{status_of(self.path.parent / path)}/".encode())
        return ["csv", *file_identity(self.path), digest.hexdigest()]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read the list; `EpochbankError` with the lines that cannot be meant. No picture is opened."""
        layout = self._layout()
        paths = PathList(workspace / "paths", workspace / "path-ends")
        labels, groups, parts, keys = Names(), Names(), array("b"), array("q")
        shown: list[str] = []
        faults = 0
        with open(paths.text, "wb") as text, open(paths.ends, "wb") as ends:
            writer = PathWriter(text, ends)
            for line, row in self._rows(layout):
                try:
                    path, label, group, part = self._fields(row, layout)
                    encoded = os.fsencode(path)
                    labels.add(label)
                    if group is not None:
                        groups.add(group)
                except ValueError as fault:
                    faults += 1
                    if faults <= _SHOWN:
                        shown.append(f"line {line} {fault}")
                    continue
                parts.append(part)
                keys.append(hash(self.path.parent / path))
                writer.add([encoded])
        if faults:
            self._refuse(f"{faults:,} row(s) cannot be used", faults, shown, "Mend them.")
        if not labels:
            raise EpochbankError(f"{self.path} lists no pictures; expected a row for each, below the header.")
        self._check_repeats(layout, paths, keys)
        label_index, class_names = labels.in_order()
        group_index, group_names = groups.in_order() if len(groups) else (None, None)
        said = np.frombuffer(parts, np.int8)
        return Scan(
            reader=FilesReader(self.path.parent, paths),
            labels=label_index,
            class_names=class_names,
            groups=group_index,
            group_names=group_names,
            parts=said if (said >= 0).any() else None,
            notes=[f"columns of {self.path.name} that are not used: {layout.unused}"] if layout.unused else [],
        )

    def _layout(self) -> _Layout:
        """The separator is the one of `,`, `;` and tab at which the header falls into the columns that are needed."""
        most: list[str] = []
        for separator in "\t,;" if self.path.suffix.lower() == ".tsv" else ",;\t":
            header = next((row for _, row in _parsed(self.path, separator, strict=False)), [])
            try:
                path, label, group, part = (find_column(header, names) for names in (PATH, LABEL, GROUP, PART))
            except ValueError as error:
                raise EpochbankError(f"{self.path}: the columns {error}.") from error
            if path is not None and label is not None:
                part = None if self.options.split == "fractions" else part
                unused = [name for place, name in enumerate(header) if place not in (path, label, group, part)]
                return _Layout(separator, len(header), path, label, group, part, ", ".join(map(repr, unused)))
            most = max(most, header, key=len)
        found = f"the columns {', '.join(map(repr, most))}" if most else "no header"
        raise EpochbankError(
            f"{self.path} has {found}; expected {PATH[0]} (or {', '.join(PATH[1:])}) and {LABEL[0]} (or "
            f"{', '.join(LABEL[1:])}). Name the columns so, in the first line."
        )

    def _rows(self, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
        """Line and fields of each row below the header."""
        rows = _parsed(self.path, layout.separator, strict=True)
        next(rows)
        return rows

    def _fields(self, row: list[str], layout: _Layout) -> tuple[str, str, str | None, int]:
        if len(row) != layout.columns:
            raise ValueError(f"has {len(row)} fields; expected {layout.columns}, as many as the header")
        path, label = row[layout.path], row[layout.label]
        group = None if layout.group is None else row[layout.group]
        for name, value in (("path", path), ("label", label), ("group", group)):
            if value is not None and not value.strip():
                raise ValueError(f"has an empty {name}; expected one for each picture")
        if "\0" in path:
            raise ValueError(f"has the path {path!r}; expected one without NUL")
        return path, label, group, -1 if layout.part is None else part_number(row[layout.part])

    def _check_repeats(self, layout: _Layout, paths: PathList, keys: array) -> None:
        """Refuse a picture that is listed twice: it might be trained on and tested with, or bear two labels."""
        key = np.frombuffer(keys, np.int64)
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order[1:]] == key[order[:-1]])
        pairs = ((int(order[at]), int(order[at + 1])) for at in same)
        repeats = sorted(pair for pair in pairs if self._place(paths, pair[0]) == self._place(paths, pair[1]))
        if not repeats:
            return
        wanted = {index for pair in repeats[:_SHOWN] for index in pair}
        rows = {index: row for index, row in enumerate(self._rows(layout)) if index in wanted}
        shown = []
        for one, other in repeats[:_SHOWN]:
            (line, first), (later, second) = rows[one], rows[other]
            under = [repr(row[layout.label]) for row in (first, second)]
            labels = f"under the label {under[0]}" if under[0] == under[1] else f"under {under[0]} and {under[1]}"
            shown.append(f"lines {line} and {later} list {second[layout.path]} {labels}")
        self._refuse("pictures are listed twice; expected each once", len(repeats), shown, "Remove one row of each.")

    def _place(self, paths: PathList, index: int) -> Path:
        return self.path.parent / paths[index]

    def _refuse(self, what: str, count: int, shown: list[str], remedy: str) -> None:
        more = f"\n  and {count - _SHOWN:,} more" if count > _SHOWN else ""
        listed = "".join(f"\n  {text}" for text in shown)
        raise EpochbankError(f"{self.path}: {what}:{listed}{more}\n{remedy}")


def _parsed(path: Path, separator: str, *, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """Line (from 1) and fields of each row that is not blank; `EpochbankError` for what is no such file."""
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
            f"{path}, line {line}, cannot be read as CSV: {error}. Put fields with quotes or line breaks into double "
            "quotes, and double the quotes in them."
        ) from error
    except UnicodeDecodeError as error:
        raise EpochbankError(
            f"{path}, line {_undecoded(path)}, is no UTF-8: {error.reason}. Save the file as UTF-8."
        ) from error


def _undecoded(path: Path) -> int:
    """The first line (from 1) that is no UTF-8; a decoder reads ahead, and cannot tell."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.decode("utf-8", "replace").encode() != line:
                return number
    return 1
