"""Sources in CSV files with the pixels of an image in each row, as many public datasets have them."""

import math
from array import array
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ...errors import EpochbankError
from ...shared.progress import Progress, counted
from ..arrays.store import RawArray
from ..base import Decoded, Scan, SourceOptions
from ..class_names import name_labels
from ..names import Names, check_text, first_names, is_integer, split_number
from ..workspace_space import check_unpacked
from .csv_table import CsvTable
from .fields import Faults, as_integer, is_number, text_of
from .pixel_columns import PixelColumns
from .pixel_file import PixelFile

_TEXT_PER_PIXEL = 2
"""Fewest bytes of text of a pixel, which is a digit and a separator; in the copy it is usually one byte."""

_ROWS = 256
"""Most rows whose pixels are converted together."""
_PIXELS = 1 << 20
"""Pixels that are converted together, unless one image has more."""

_MOST_CLASSES = 255
"""Most values of a column of labels, if its name does not say that it has labels; a pixel may have one more."""


@dataclass(frozen=True)
class PixelReader:
    """Reads the images of a table from a binary copy."""

    images: RawArray
    name: str
    """Name of the table."""

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """Yield the images in runs."""
        return self.images.runs(indices)

    def origin(self, index: int) -> str:
        """Return the number of the row, counted from 0 below the header."""
        return f"{self.name} row {index}"


def scan_pixels(table: CsvTable, columns: PixelColumns, options: SourceOptions, workspace: Path) -> Scan:
    """Copy the pixels into a binary file in `workspace`. Raises `EpochbankError` that lists the invalid rows."""
    labels, groups, splits = Names(), Names(), array("b")
    faults = Faults(table.path)
    check_unpacked(f"the pixels of {table.path}", table.path.stat().st_size // _TEXT_PER_PIXEL, workspace)
    last_column = None if columns.is_label_named else set[str]()
    with (
        PixelFile(workspace / "pixels", columns) as pixels,
        Progress(f"read {table.path.name}", None, "rows") as progress,
    ):
        rows, together = table.rows(), min(_ROWS, max(1, _PIXELS // math.prod(columns.shape)))
        while chunk := list(islice(rows, together)):
            usable: list[tuple[str, Sequence[str]]] = []
            for where, row in chunk:
                try:
                    label, group, split = _fields(row, len(table.header), columns, options)
                    labels.add(label)
                    if group is not None:
                        groups.add(group)
                except ValueError as error:
                    faults.add(f"{where} {error}")
                    continue
                if last_column is not None and len(last_column) <= _MOST_CLASSES:
                    last_column.add(row[-1])
                splits.append(split)
                usable.append((where, row))
            pixels.add(usable, faults)
            progress.advance(len(chunk))
    faults.refuse("{rows} cannot be used", "Fix them.")
    if not labels:
        raise EpochbankError(f"{table.path} holds no images; expected a row of pixels for each.")
    label_index, class_names = labels.sorted_index(by_value=True)
    if last_column is not None:
        _check_label(table, class_names, last_column)
    if options.class_names is not None:
        class_names = name_labels(options.class_names, [int(name) for name in class_names])
    group_index, group_names = groups.sorted_index() if len(groups) else (None, None)
    split_index = np.frombuffer(splits, np.int8)
    return Scan(
        reader=PixelReader(pixels.reader(), table.path.name),
        labels=label_index,
        class_names=class_names,
        groups=group_index,
        group_names=group_names,
        size=columns.shape,
        channels=1,
        splits=split_index if (split_index >= 0).any() else None,
        notes=_notes(table, columns),
    )


def _check_label(table: CsvTable, first: Sequence[str], last: Set[str]) -> None:
    """Raise `EpochbankError` if the last column of a table without names seems to be the label, rather than the first.

    `first` and `last` are the distinct values of these columns.
    """
    is_pixel = all(map(is_number, first)) and (len(first) <= 2 < len(last) or not _looks_like_classes(first))
    if is_pixel and _looks_like_classes(last):
        raise EpochbankError(
            f"{table.path} does not say which column is the label, and the last one ({counted(len(last), 'value')}) "
            f"looks like it rather than the first ({counted(len(first), 'value')}, such as {first[0]!r}). Choose with "
            f'--labels-key "{table.header[-1]}" or --labels-key "{table.header[0]}".',
            usage=True,
        )


def _looks_like_classes(values: Collection[str]) -> bool:
    """Return whether the distinct values of a column are several whole numbers without a gap, from 0 or 1."""
    if not 1 < len(values) <= _MOST_CLASSES or not all(is_integer(value) for value in values):
        return False
    numbers = sorted(map(int, values))
    return numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(numbers) - 1


def _fields(
    row: Sequence[str], width: int, columns: PixelColumns, options: SourceOptions
) -> tuple[int | str, str | None, int]:
    """Return label, group and split of a row. Raises `ValueError` for an invalid one."""
    if len(row) != width:
        raise ValueError(f"has {len(row)} fields; expected {width}, as many as the first row")
    label: int | str = text_of("label", row[columns.label])
    check_text(str(label))
    if options.class_names is not None:
        label = as_integer(label)
    group = None if columns.group is None else text_of("group", row[columns.group])
    return label, group, -1 if columns.split is None else split_number(row[columns.split])


def _notes(table: CsvTable, columns: PixelColumns) -> list[str]:
    name, (height, width) = table.path.name, columns.shape
    used = {*columns.pixels, columns.label, columns.group, columns.split}
    unused = [column for place, column in enumerate(table.header) if place not in used]
    label = table.header[columns.label]
    named = repr(label) if table.has_header else f"{label}, as there is no header"
    notes = [f"images of {name} are rows of {height} x {width} pixels; the label is in {named}"]
    if list(columns.pixels) != sorted(columns.pixels):
        notes.append(f"pixels of {name} are in the order that the names of their columns say, not in that of the file")
    if columns.transposed:
        notes.append(f"images of {name} are stored transposed, as in all of EMNIST; they were turned upright")
    return [*notes, *([f"unused columns of {name}: {first_names(unused)}"] if unused else []), *table.notes]
