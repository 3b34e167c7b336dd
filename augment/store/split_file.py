"""`split.h5`: which pictures of the source each part holds, and their labels and groups.

`train`, `validation` and `test` each hold `row` int64, `label` int32 and, where the source has groups,
`group` int32, all (n,); `group_name` at the top. Where epochs are balanced, `train/by_class` int64 (n,) has the
training pictures class by class. Read through memory maps, so that a worker's memory
does not grow with the set.
"""

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
class PartRows:
    """The pictures of one part, in order of row."""

    row: np.ndarray
    """int64 (n,): row in the source file."""
    label: np.ndarray
    """int32 (n,): class index."""
    group: np.ndarray | None
    """int32 (n,): index into `group_name`; None where the source has no groups."""


def write_split(
    directory: Path, parts: dict[str, PartRows], group_names: list[str] | None, *, by_class: bool = False
) -> None:
    """Publish `split.h5` in `directory`, with `train/by_class` where that is asked for."""
    with new_file(directory / NAME) as temporary, h5py.File(temporary, "x") as file:
        for name, part in parts.items():
            group = file.create_group(name)
            group["row"], group["label"] = part.row.astype(np.int64), part.label.astype(np.int32)
            if part.group is not None:
                group["group"] = part.group.astype(np.int32)
            if name == "train" and by_class:
                group["by_class"] = np.argsort(part.label, kind="stable").astype(np.int64)
        if group_names is not None:
            file.create_dataset("group_name", data=group_names, dtype=h5py.string_dtype())


def check_split(directory: Path, checksum: str) -> None:
    """`EpochbankError` unless `split.h5` is there and has this checksum (XXH3-128, hexadecimal)."""
    path = directory / NAME
    if not path.exists() or file_checksum(path) != checksum:
        raise EpochbankError(
            f"{path} is {'not what was written (another checksum)' if path.exists() else 'missing'}. "
            "Restore it from a copy, or generate the set again."
        )


@lru_cache(maxsize=16)
def read_part(directory: Path, part: str) -> PartRows:
    """The rows, labels and groups of one part, memory-mapped, read-only; `EpochbankError` for a damaged file."""
    path = directory / NAME
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            columns = {name: _mapped(path, dataset) for name, dataset in file[part].items()}
        return PartRows(columns["row"], columns["label"], columns.get("group"))
    except (OSError, KeyError) as error:
        raise EpochbankError(
            f"{path} cannot be read: {error}. Restore it from a copy, or generate the set again."
        ) from error


@lru_cache(maxsize=16)
def read_by_class(directory: Path) -> np.ndarray:
    """The training pictures class by class, int64 (n,), memory-mapped."""
    with h5py.File(directory / NAME, "r", locking="best-effort") as file:
        return _mapped(directory / NAME, file["train"]["by_class"])


def group_name(directory: Path, number: int) -> str:
    """The name of group `number`."""
    with h5py.File(directory / NAME, "r", locking="best-effort") as file:
        return file["group_name"].asstr()[number]


def _mapped(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    if dataset.size == 0:
        return np.empty(0, dataset.dtype)
    return np.memmap(path, dataset.dtype, "r", dataset.id.get_offset(), dataset.shape)
