"""Which columns of a table are the pixels of images.

There is a column for each pixel (`label,pixel0,...,pixel783`, `label,1x1,...,28x28`, or no header and the label
first), or one column of pixels with spaces between them (`emotion,pixels,Usage`, as FER-2013 has it).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import EpochbankError
from ..base import SourceOptions
from ..names import GROUP, LABEL, SPLIT, find_column, first_names
from .columns import named_column
from .fields import is_number

_LEAST = 16
"""Least number of pixels: 4 x 4."""

_PIXEL = re.compile(r"[A-Za-z_ .\-]*\d+(?:[x_.]\d+)?")
"""Header of a column of one pixel: `pixel7`, `7`, `0.7`, or row and column, `1x7`."""

_ROW_AND_COLUMN = re.compile(r"(\D*)(\d+)[x_](\d+)")
_NUMBERED = re.compile(r"(\D*)(\d+)")

_ALL_PIXELS = ("pixels", "pixel", "image_pixels", "pixel_values")
"""Headers of a column with all pixels of an image."""


@dataclass(frozen=True)
class PixelColumns:
    """Which columns of a table are the pixels."""

    pixels: tuple[int, ...]
    """Positions of the columns, row by row as their names say; or of the one column with all pixels."""
    shape: tuple[int, int]
    """(H, W) of an image."""
    label: int
    group: int | None
    split: int | None
    is_label_named: bool
    """Whether a header or an option says which column is the label; if not, it is the first."""
    transposed: bool
    """Whether the images are stored column by column, as EMNIST has them."""

    @property
    def packed(self) -> bool:
        """Whether one column has all pixels, separated by spaces."""
        return len(self.pixels) == 1


def is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of `rows` names the columns, rather than being a label and the pixels of an image.

    A header may be numbers: 0, 1, 2, ... in any order or, as pandas names equal columns, 0, 0.1, 0.2, ...
    """
    numbers = [list(filter(is_number, row)) for row in rows[:2]]
    if len(numbers[0]) < len(rows[0]) - 1:
        return True
    if any(set(numbers[0]) == {str(number + first) for number in range(len(numbers[0]))} for first in (0, 1)):
        return True
    whole = [all(map(str.isdecimal, row)) for row in numbers]
    return whole == [False, True]


def find_pixels(
    path: Path, header: Sequence[str], sample: Sequence[Sequence[str]], options: SourceOptions
) -> PixelColumns | None:
    """Return which columns are the pixels; None if there are none.

    Raises `EpochbankError` if there is no label, or the number of pixels does not make an image.
    """
    try:
        label = named_column(path, header, LABEL, options.labels_key, "--labels-key")
        is_label_named = label is not None
        group, split = find_column(header, GROUP), find_column(header, SPLIT)
        packed = named_column(path, header, _ALL_PIXELS, options.images_key, "--images-key")
    except ValueError as error:
        raise EpochbankError(f"{path}: the columns {error}.") from error
    if packed is not None:
        texts = [row[packed].split() for row in sample if len(row) > packed]
        counts = set(map(len, texts))
        if max(counts, default=0) < _LEAST or not all(map(is_number, texts[0])):
            return None
        pixels, shape = [packed], _square(path, max(counts))
    else:
        numbered = [place for place in range(len(header)) if _PIXEL.fullmatch(header[place].strip())]
        pixels = [place for place in numbered if place not in (label, group, split)]
        if label is None and len(pixels) == len(header) and _side(len(pixels) - 1):
            label, pixels = 0, pixels[1:]
        first = sample[0] if sample else []
        if len(pixels) < _LEAST or not all(is_number(first[place]) for place in pixels if place < len(first)):
            return None
        pixels = _by_name(pixels, header)
        shape = _named_shape([header[place].strip() for place in pixels]) or _square(path, len(pixels))
    if label is None:
        raise EpochbankError(
            f"{path} has {_described(header)}: pixels, but no label; expected a column label (or "
            f"{', '.join(LABEL[1:3])}, ...). Name it with --labels-key, or use the file that has labels."
        )
    split = None if options.split == "fractions" else split
    transposed = path.name.lower().startswith("emnist")
    return PixelColumns(tuple(pixels), shape, label, group, split, is_label_named, transposed)


def _side(count: int) -> int:
    """Return the side of a square of `count` pixels; 0 if there is none."""
    side = math.isqrt(count)
    return side if side * side == count else 0


def _square(path: Path, count: int) -> tuple[int, int]:
    side = _side(count)
    if not side:
        raise EpochbankError(
            f"{path} has {count:,} pixels for each image, which is not a square number. Name the columns by row and "
            "column, 1x1 to HxW, which gives the size; or write the images to an .npz file."
        )
    return side, side


def _by_name(pixels: Sequence[int], header: Sequence[str]) -> list[int]:
    """Return the positions `pixels` in the order of rows and columns, or of numbers, that their names in `header` say.

    The order is unchanged if a name has neither, if names differ in more, or if two names say the same.
    """
    for pattern in (_ROW_AND_COLUMN, _NUMBERED):
        matches = [pattern.fullmatch(header[place].strip()) for place in pixels]
        groups = [match.groups() for match in matches if match]
        keys = [tuple(map(int, numbers)) for _, *numbers in groups]
        if len(set(keys)) == len(pixels) and len({prefix for prefix, *_ in groups}) == 1:
            return [place for _, place in sorted(zip(keys, pixels, strict=True))]
    return list(pixels)


def _named_shape(names: Sequence[str]) -> tuple[int, int] | None:
    """Return (H, W) if `names` are 1x1, 1x2, ... HxW, or begin with 0x0; None if they are not."""
    pairs = [tuple(map(int, found.groups()[1:])) for found in map(_ROW_AND_COLUMN.fullmatch, names) if found]
    if len(pairs) < len(names):
        return None
    (top, left), (bottom, right) = pairs[0], pairs[-1]
    rows, columns = range(top, bottom + 1), range(left, right + 1)
    return (len(rows), len(columns)) if pairs == [(row, column) for row in rows for column in columns] else None


def _described(header: Sequence[str]) -> str:
    """Return the number of columns and the first and last names: `785 columns, 'label', 'pixel0' ... 'pixel783'`."""
    if len(header) <= 4:
        return first_names(header)
    return f"{len(header):,} columns, {header[0]!r}, {header[1]!r} ... {header[-1]!r}"
