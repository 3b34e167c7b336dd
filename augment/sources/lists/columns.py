"""Which columns of a table are the images' paths, labels, groups and splits, by their names or contents."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EpochbankError
from ...shared.closest import did_you_mean
from ..base import SourceOptions
from ..names import GROUP, LABEL, PATH, SPLIT, check_once, find_column, find_key, first_names
from ..paths import skip_reason
from .fields import is_number
from .paths import Template


@dataclass(frozen=True)
class Roles:
    """Positions of the columns of a list."""

    path: int | Template
    label: int
    group: int | None
    split: int | None

    def columns(self) -> set[int | None]:
        """Return the positions of all columns that are used."""
        return {
            self.label,
            self.group,
            self.split,
            *(self.path.columns if isinstance(self.path, Template) else [self.path]),
        }


def find_roles(path: Path, header: list[str], sample: Sequence[Sequence[Any]], options: SourceOptions) -> Roles | None:
    """Return which column is which, by their names, or else by the contents of the `sample` of rows.

    Returns None if there is no column of paths or of labels. Raises `EpochbankError` if several columns may be either.
    """
    try:
        group, split = find_column(header, GROUP), find_column(header, SPLIT)
        image: int | Template | None
        if options.path_template is not None:
            image = Template(options.path_template, header)
        else:
            image = named_column(path, header, PATH, options.images_key, "--images-key")
            image = _column_of_images(sample) if image is None else image
        label = named_column(path, header, LABEL, options.labels_key, "--labels-key")
    except ValueError as error:
        raise EpochbankError(f"{path}: the columns {error}.") from error
    if label is None and image is not None and not isinstance(image, Template):
        label = _column_of_labels(sample, set(range(len(header))) - {image, group, split})
    split = None if options.split == "fractions" else split
    return None if image is None or label is None else Roles(image, label, group, split)


def named_column(path: Path, header: Sequence[str], names: tuple[str, ...], key: str | None, option: str) -> int | None:
    """Return the position of the column that `key`, the value of `option`, names; else that of one of `names`.

    Returns None if `key` is None and the header has none of `names`. Raises `EpochbankError` for an unknown `key`, and
    `ValueError` if several columns have one of `names`, or are named `key`.
    """
    if key is None:
        return find_column(header, names, option=option)
    check_once(header, key)
    place = find_key(header, key)
    if place is None:
        raise EpochbankError(
            f"{path} has no column {key!r} for {option}; expected one of {first_names(header)}."
            f"{did_you_mean(key, header)}",
            usage=True,
        )
    return place


def _column_of_images(sample: Sequence[Sequence[Any]]) -> int | None:
    """Return the only column whose fields all have the suffix of an image; None if there are none, or several."""
    if not sample or len(set(map(len, sample))) > 1:
        return None
    columns = [place for place in range(len(sample[0])) if all(is_image_name(row[place]) for row in sample)]
    return columns[0] if len(columns) == 1 else None


def _column_of_labels(sample: Sequence[Sequence[Any]], columns: set[int]) -> int | None:
    """Return the only one of `columns`, or else the only one that is not all numbers; None if there are several."""
    if len(columns) == 1:
        return columns.pop()
    texts = {place for place in columns for row in sample if place < len(row) and not is_number(str(row[place]))}
    return texts.pop() if len(texts) == 1 else None


def is_image_name(field: Any) -> bool:
    """Return whether a field is text with the suffix of an image."""
    if not isinstance(field, str):
        return False
    name = field.replace("\\", "/").rpartition("/")[2]
    return bool(name) and not skip_reason(name.encode(errors="replace"))


def missing_columns(path: Path, header: Sequence[str]) -> EpochbankError:
    """Describe a table without a column of paths or of labels."""
    found = f"the columns {first_names(header)}" if header else "no header"
    return EpochbankError(
        f"{path} has {found}; expected {PATH[0]} (or {', '.join(PATH[1:4])}, ...) and {LABEL[0]} (or "
        f"{', '.join(LABEL[2:5])}, ...). Name the columns in the first line, or choose them with --images-key and "
        "--labels-key."
    )
