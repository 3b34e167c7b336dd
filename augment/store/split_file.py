"""`split.h5`: which images of the source are in which split, with their labels and groups.

`train`, `validation` and `test` each contain `row` int64 (n,), `label` int32 (n,) and, if the source has groups,
`group` int32 (n,), an index into the dataset `group_name` at the top level. If epochs are balanced, `train/by_class`
int64 (n,) lists the training images class by class. The datasets are memory-mapped, so a worker's memory does not grow
with the set.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from ..errors import EpochbankError
from ..shared.atomic import new_file
from .digest import file_checksum

NAME = "split.h5"


@dataclass(frozen=True)
class SplitRows:
    """The images of one split, in order of row."""

    row: np.ndarray
    """int64 (n,): row in the source file."""
    label: np.ndarray
    """int32 (n,): class index."""
    group: np.ndarray | None
    """int32 (n,): index into `group_name`; None if the source has no groups."""


def write_split(
    directory: Path, splits: dict[str, SplitRows], group_names: list[str] | None, *, by_class: bool = False
) -> None:
    """Write and publish `split.h5` in `directory`; `by_class` adds `train/by_class`, for balanced epochs."""
    with new_file(directory / NAME) as temporary, h5py.File(temporary, "x") as file:
        for name, split in splits.items():
            group = file.create_group(name)
            group["row"], group["label"] = split.row.astype(np.int64), split.label.astype(np.int32)
            if split.group is not None:
                group["group"] = split.group.astype(np.int32)
            if name == "train" and by_class:
                group["by_class"] = np.argsort(split.label, kind="stable").astype(np.int64)
        if group_names is not None:
            file.create_dataset("group_name", data=group_names, dtype=h5py.string_dtype())


def check_split(directory: Path, checksum: str) -> None:
    """Raise `EpochbankError` unless `split.h5` exists and has this checksum (XXH3-128, hexadecimal)."""
    path = directory / NAME
    if not path.exists() or file_checksum(path) != checksum:
        raise EpochbankError(
            f"{path} is {'damaged: its checksum is wrong' if path.exists() else 'missing'}. "
            "Restore it from a copy, or generate the set again."
        )


@lru_cache(maxsize=16)
def read_split(directory: Path, split: str) -> SplitRows:
    """Return the rows, labels and groups of a split, memory-mapped and read-only.

    Raises `EpochbankError` if the file is missing or damaged.
    """
    with _opened(directory) as file:
        columns = {name: _mapped(directory, dataset) for name, dataset in file[split].items()}
        return SplitRows(columns["row"], columns["label"], columns.get("group"))


@lru_cache(maxsize=16)
def read_by_class(directory: Path) -> np.ndarray:
    """Return the training images class by class, int64 (n,), memory-mapped.

    Raises `EpochbankError` if the file is missing or damaged.
    """
    with _opened(directory) as file:
        return _mapped(directory, file["train"]["by_class"])


def group_name(directory: Path, number: int) -> str:
    """Return the name of group `number`. Raises `EpochbankError` if the file is missing or damaged."""
    with _opened(directory) as file:
        return file["group_name"].asstr()[number]


@contextmanager
def _opened(directory: Path) -> Iterator[h5py.File]:
    path = directory / NAME
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    # Damage makes h5py and the memory map raise any of these.
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise EpochbankError(
            f"{path} cannot be read: {error}. Restore it from a copy, or generate the set again."
        ) from error


def _mapped(directory: Path, dataset: h5py.Dataset) -> np.ndarray:
    if dataset.size == 0:
        return np.empty(0, dataset.dtype)
    return np.memmap(directory / NAME, dataset.dtype, "r", dataset.id.get_offset(), dataset.shape)
