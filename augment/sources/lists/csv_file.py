"""Sources in a .csv, .tsv or .txt file: a list of images, or a table of their pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base import Scan, SourceOptions, file_identity
from .columns import Roles, find_roles, is_image_name, missing_columns
from .csv_pixels import scan_pixels
from .csv_table import CsvTable, first_row, samples
from .pixel_columns import PixelColumns, find_pixels, is_header
from .source import ListScanner


@dataclass(frozen=True)
class _Opened:
    """A table and the roles of its columns."""

    table: CsvTable
    columns: Roles | PixelColumns


class CsvSource:
    """A .csv, .tsv or .txt file."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Return path, size and modification time of the file, and a digest of those of every image in a list."""
        opened = self._open()
        if isinstance(opened.columns, PixelColumns):
            return ["csv", *file_identity(self.path)]
        scanner = ListScanner(opened.table, opened.columns, self.options)
        return ["csv", *file_identity(self.path), scanner.digest()]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read the rows. Raises `EpochbankError` that lists the invalid ones, and if no image is found."""
        opened = self._open()
        if isinstance(opened.columns, PixelColumns):
            return scan_pixels(opened.table, opened.columns, self.options, workspace)
        return ListScanner(opened.table, opened.columns, self.options).scan(workspace)

    def _open(self) -> _Opened:
        """Recognize separator, header and columns. The first separator that gives all columns is used."""
        longest = first_row(self.path)
        for separator, rows in samples(self.path):
            opened = self._recognize(separator, rows)
            if opened is not None:
                return opened
            longest = max(longest, rows[0], key=len)
        raise missing_columns(self.path, longest)

    def _recognize(self, separator: str, rows: list[list[str]]) -> _Opened | None:
        """Return the table and its columns; None if `separator` is not the one of the file."""
        names, has_header = rows[0], not any(map(is_image_name, rows[0])) and is_header(rows)
        if not has_header:
            names = [f"column {number}" for number in range(1, len(names) + 1)]
        sample = rows[int(has_header) :]
        lists_files = self.options.path_template is not None or any(map(is_image_name, sample[0] if sample else ()))
        pixels = None if lists_files else find_pixels(self.path, names, sample, self.options)
        columns: PixelColumns | Roles | None = pixels or find_roles(self.path, names, sample, self.options)
        if columns is None:
            return None
        return _Opened(CsvTable(self.path, separator, names, has_header=has_header), columns)
