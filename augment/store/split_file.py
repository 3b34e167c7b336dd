"""`split.h5`: which images of the source are in which split, with their labels and groups.

`train`, `validation` and `test` each contain `row` int64 (n,), `label` int32 (n,) and, if the source has groups,
`group` int32 (n,), an index into the dataset `group_name` at the top level. If epochs are balanced, `train/by_class`
int64 (n,) lists the training images class by class. The datasets are memory-mapped, so a worker's memory does not grow
with the set.

Every reader compares the file with its checksum in `set.json`, and its columns with what `set.json` says, once per
process and state of the file.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from ..errors import EpochbankError
from ..shared.atomic import new_file
from ..shared.hdf5_output import hdf5_output
from ..shared.unreadable import unreadable
from .description import Description, read_description
from .digest import file_checksum
from .set_files import special

NAME = "split.h5"

_FIX = "Restore it from a copy, or run `augment repair`, which writes it again from the source file."

_BLOCK = 1 << 20
"""Elements of a column that are looked at together."""
_SETTLED = 0.1
"""Seconds after its last change from which a file's time of change tells whether it changes again."""

_State = tuple[int, int, int, int]
"""Device, inode, bytes and time of the last change (ns) of a file."""


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
    with new_file(directory / NAME) as temporary, hdf5_output(temporary, "x") as (file, _):
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
    fault = special(path, directory)
    if not fault and not path.exists():
        fault = "missing"
    if not fault and file_checksum(path) != checksum:
        fault = "damaged: its checksum is wrong"
    if fault:
        raise EpochbankError(f"{path} is {fault}. {_FIX}")


def read_split(directory: Path, split: str) -> SplitRows:
    """Return the rows, labels and groups of a split, memory-mapped and read-only.

    Raises `EpochbankError` if the file is missing or damaged.
    """
    return _read_split(directory, split, _checked(directory))


@lru_cache(maxsize=16)
def _read_split(directory: Path, split: str, state: _State) -> SplitRows:
    with _opened(directory) as file:
        columns = {name: _mapped(directory, dataset) for name, dataset in file[split].items()}
        return SplitRows(columns["row"], columns["label"], columns.get("group"))


def read_by_class(directory: Path) -> np.ndarray:
    """Return the training images class by class, int64 (n,), memory-mapped.

    Raises `EpochbankError` if the file is missing or damaged.
    """
    return _read_by_class(directory, _checked(directory))


@lru_cache(maxsize=16)
def _read_by_class(directory: Path, state: _State) -> np.ndarray:
    with _opened(directory) as file:
        return _mapped(directory, file["train"]["by_class"])


def group_name(directory: Path, number: int) -> str:
    """Return the name of group `number`. Raises `EpochbankError` if the file is missing or damaged."""
    _checked(directory)
    with _opened(directory) as file:
        return file["group_name"].asstr()[number]


def read_group_names(directory: Path) -> list[str]:
    """Return the names of all groups; none if the source has no groups.

    Raises `EpochbankError` if the file is missing or damaged.
    """
    _checked(directory)
    with _opened(directory) as file:
        return list(file["group_name"].asstr()[()]) if "group_name" in file else []


_sound: dict[Path, _State] = {}
"""The state in which the file of each set was checked."""


def _checked(directory: Path) -> _State:
    """Return the state of `split.h5`, after checking it if this process has not checked it in this state.

    A file without a set around it is not checked: it is one that is being written.
    """
    with _describing_damage(directory):
        found = (directory / NAME).stat()
    state = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    if _sound.get(directory) != state and (directory / "set.json").exists():
        description = read_description(directory)
        check_split(directory, description.split_checksum)
        with _describing_damage(directory):
            _check_columns(directory, description, state)
        if time.time_ns() - found.st_mtime_ns > _SETTLED * 1e9:
            _sound[directory] = state
    return state


def _check_columns(directory: Path, description: Description, state: _State) -> None:
    """Raise `ValueError` if a column does not fit `set.json`, such as a label that is no class."""
    with _opened(directory) as file:
        groups = len(file["group_name"]) if "group_name" in file else 0
    for split, count in description.num_images.items():
        rows = _read_split(directory, split, state)
        if rows.row.ndim != 1 or (len(rows.row) != count and (split != "train" or description.per_class is None)):
            raise ValueError(f"{split}/row has shape {rows.row.shape}; expected ({count},)")
        _check_column(f"{split}/row", rows.row, rows.row.shape, np.int64, np.iinfo(np.int64).max)
        _check_column(f"{split}/label", rows.label, rows.row.shape, np.int32, len(description.class_names))
        if rows.group is not None:
            _check_column(f"{split}/group", rows.group, rows.row.shape, np.int32, groups)
    if description.per_class is not None:
        rows = _read_split(directory, "train", state)
        by_class = _read_by_class(directory, state)
        _check_column("train/by_class", by_class, rows.row.shape, np.int64, len(rows.row))


def _check_column(name: str, column: np.ndarray, shape: tuple[int, ...], dtype: type, stop: int) -> None:
    if column.shape != shape or column.dtype != dtype:
        raise ValueError(f"{name} is {column.dtype} {column.shape}; expected {np.dtype(dtype)} {shape}")
    for start in range(0, len(column), _BLOCK):
        block = column[start : start + _BLOCK]
        if block.min() < 0 or block.max() >= stop:
            raise ValueError(f"{name} has a value out of 0 to {stop - 1}")


@contextmanager
def _opened(directory: Path) -> Iterator[h5py.File]:
    with (
        _describing_damage(directory),
        h5py.File(directory / NAME, "r", locking="best-effort") as file,
    ):
        yield file


@contextmanager
def _describing_damage(directory: Path) -> Iterator[None]:
    try:
        yield
    # Damage makes h5py and the memory map raise any of these.
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        other = unreadable(directory / NAME, error)
        raise (other or EpochbankError(f"{directory / NAME} cannot be read: {error}. {_FIX}")) from error


def _mapped(directory: Path, dataset: h5py.Dataset) -> np.ndarray:
    if dataset.size == 0:
        return np.empty(0, dataset.dtype)
    return np.memmap(directory / NAME, dataset.dtype, "r", dataset.id.get_offset(), dataset.shape)
