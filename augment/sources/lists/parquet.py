"""Sources in Parquet files with encoded images, as Hugging Face stores datasets: a file, or a folder of shards.

The column of images is binary, or a struct with the fields `bytes` and `path`. Names of shards give the splits
(`train-00000-of-00002.parquet`). The schema's metadata has the class names, under `huggingface`.
"""

import json
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EpochbankError
from ..base import Scan, SourceOptions, file_identity
from ..class_names import name_labels
from ..exported import about_files, as_exported
from ..names import GROUP, LABEL, SPLIT, Names, check_text, find_column, first_names, is_integer, split_number
from ..peek import first_files
from ..shards.files import shard_files, split_of
from .columns import is_image_name, named_column
from .fields import as_integer, integer_or_text, text_of
from .parquet_reader import ParquetReader, naming_damage, open_parquet
from .parquet_spool import spool_large

IMAGE = ("image", "images", "img", "picture", "image_bytes", "bytes", "data", "png", "jpg")
"""Names of the column of images: the preferred name first."""

_ROWS = 4096
"""Rows whose labels are read at once."""


def is_parquet_folder(path: Path) -> bool:
    """Return whether a folder, or a folder in it, such as `data/`, holds Parquet files and no images."""
    names = first_files(path)
    return any(name.lower().endswith(".parquet") for name in names) and not any(map(is_image_name, names))


class ParquetSource:
    """A Parquet file, or a folder of them."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.root = path if path.is_dir() else path.parent

    def identity(self) -> Any:
        """Return path, size and modification time of each file."""
        return ["parquet", *map(file_identity, [*self._files(), *about_files(self.path)])]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read all columns but the images. Raises `EpochbankError` for files that do not fit together."""
        files = self._files()
        columns, class_names = self._columns(files[0])
        labels, groups = Names(), Names()
        counts, splits = list[int](), list[np.ndarray]()
        for path in files:
            split = self._read_columns(path, columns, labels, groups)
            splits.append(np.full(len(split), split_of(path, self.path), np.int8) if columns.split is None else split)
            counts.append(len(split))
        if not labels:
            raise EpochbankError(f"{self.path} has no rows; expected one for each image.")
        label_index, numbers = labels.sorted_index()
        group_index, group_names = groups.sorted_index() if len(groups) else (None, None)
        split_index = np.concatenate(splits)
        named = columns.split is not None or len(np.unique(split_index)) > 1
        use_splits = named and self.options.split == "source" and (split_index >= 0).any()
        relative = (str(path.relative_to(self.root)) for path in files)
        copies = (spool_large(path, columns.image, workspace / f"parquet-{k}") for k, path in enumerate(files))
        scan = Scan(
            reader=ParquetReader(self.root, tuple(zip(relative, counts, strict=True)), columns.image, tuple(copies)),
            labels=label_index,
            class_names=self._named(numbers, class_names),
            groups=group_index,
            group_names=group_names,
            splits=split_index if use_splits else None,
            notes=[f"unused columns: {first_names(columns.unused)}"] if columns.unused else [],
        )
        return as_exported(scan, self.path)

    def _files(self) -> list[Path]:
        """Return the file, or those in the folder and its subfolders, sorted by split and path."""
        return shard_files(self.path, lambda name: name.lower().endswith(".parquet"), ".parquet files")

    def _columns(self, path: Path) -> tuple["_Columns", list[str] | None]:
        """Return the columns, and the class names in the schema, of the first file."""
        with open_parquet(path) as file:
            schema = file.schema_arrow
        header = schema.names
        try:
            image = named_column(path, header, IMAGE, self.options.images_key, "--images-key")
            label = named_column(path, header, LABEL, self.options.labels_key, "--labels-key")
            group, split = find_column(header, GROUP), find_column(header, SPLIT)
        except ValueError as error:
            raise EpochbankError(f"{path}: the columns {error}.") from error
        if image is None or label is None:
            raise EpochbankError(
                f"{path} has the columns {first_names(header)}; expected {IMAGE[0]}, the bytes of an image file, and "
                f"{LABEL[0]}. Choose them with --images-key and --labels-key."
            )
        split = None if self.options.split == "fractions" else split
        used = [None if place is None else header[place] for place in (label, group, split)]
        unused = [name for place, name in enumerate(header) if place not in (image, label, group, split)]
        columns = _Columns(_bytes_of(path, schema.field(image)), header[label], used[1], used[2], unused)
        return columns, None if self.options.class_names is not None else _class_names(schema, header[label])

    def _read_columns(self, path: Path, columns: "_Columns", labels: Names, groups: Names) -> np.ndarray:
        """Append the labels and groups of a file; return the split of each row, int8 (n,), -1 without a column."""
        names, splits = columns.read(), array("b")
        with open_parquet(path) as file, naming_damage(path):
            missing = [name for name in names if name not in file.schema_arrow.names]
            if missing or columns.image.split(".")[0] not in file.schema_arrow.names:
                raise EpochbankError(
                    f"{path} has the columns {first_names(file.schema_arrow.names)}; expected those of the first file."
                )
            for batch in file.iter_batches(_ROWS, columns=names, use_threads=False):
                for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    values = dict(zip(names, row, strict=True))
                    try:
                        self._add(values, columns, labels, groups)
                        split = values.get(columns.split) if columns.split is not None else None
                        splits.append(split_number("" if split is None else str(split)))
                    except ValueError as error:
                        raise EpochbankError(f"{path}: row {len(splits)} {error}.") from error
        return np.frombuffer(splits, np.int8)

    def _add(self, values: dict[str, Any], columns: "_Columns", labels: Names, groups: Names) -> None:
        label = integer_or_text("label", values[columns.label])
        labels.add(label if self.options.class_names is None else as_integer(label))
        if columns.group is not None:
            groups.add(text_of("group", values[columns.group]))

    def _named(self, numbers: list[str], class_names: list[str] | None) -> list[str]:
        """Return the names of the distinct labels."""
        if self.options.class_names is not None:
            return name_labels(self.options.class_names, [int(number) for number in numbers])
        if class_names is None:
            return numbers
        wrong = [number for number in numbers if not (is_integer(number) and 0 <= int(number) < len(class_names))]
        if wrong:
            raise EpochbankError(
                f"{self.path} has the label {wrong[0]}, but its schema has class names for 0 to "
                f"{len(class_names) - 1}. Images without a label have -1: leave out their files."
            )
        named = [class_names[int(number)] for number in numbers]
        try:
            for name in named:
                check_text(name)
        except ValueError as error:
            raise EpochbankError(f"{self.path}: the class names in its schema {error}. Write it again.") from error
        return named


@dataclass(frozen=True)
class _Columns:
    """Names of the columns."""

    image: str
    """Column of the bytes, such as `image.bytes`."""
    label: str
    group: str | None
    split: str | None
    unused: list[str]

    def read(self) -> list[str]:
        """Return the columns that are read by the scan."""
        return [name for name in (self.label, self.group, self.split) if name is not None]


def _bytes_of(path: Path, field: Any) -> str:
    """Return the column of bytes in the column of images. Raises `EpochbankError` for a column of another type."""
    from pyarrow import types

    def is_binary(kind: Any) -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind)

    if is_binary(field.type):
        return field.name
    if types.is_struct(field.type) and any(one.name == "bytes" and is_binary(one.type) for one in field.type):
        return f"{field.name}.bytes"
    raise EpochbankError(
        f"{path}: the column {field.name!r} is {field.type}; expected the bytes of image files, binary or a struct "
        "with `bytes`. Choose another column with --images-key."
    )


def _class_names(schema: Any, label: str) -> list[str] | None:
    """Return the class names that Hugging Face stores in the metadata of the schema; None if there are none."""
    try:
        names = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):  # Other tools write other metadata, or none.
        return None
    return list(map(str, names)) if isinstance(names, list) else None
