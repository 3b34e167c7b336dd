"""Sources that are arrays: `.npz` and HDF5 files with `images`, `labels` and, optionally, `groups`, `parts` and
`class_names`.

`images` is uint8, or float in [0, 1], (N, H, W) or (N, H, W, C) with C = 1 or 3; `labels` and `groups`
are integers or strings, (N,); `parts` strings, (N,), each a name of a part; where `class_names` is given,
labels index it.
"""

import math
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from augment.errors import EpochbankError
from augment.picture import BadPicture, to_uint8
from augment.sources.base import Decoded, Scan, SourceOptions, file_identity
from augment.sources.names import part_number

_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    EOFError,
    KeyError,
    OverflowError,
    NotImplementedError,
)
"""What reading a damaged `.npz` may raise."""


def scan_arrays(where: str, reader: Any, shape: tuple[int, ...], dtype: np.dtype, columns: dict[str, Any]) -> Scan:
    """Check arrays that belong together, and make classes, groups and parts of them.

    `columns` maps `labels`, `groups`, `class_names` and, where they are obeyed, `parts` to arrays or None. Raises
    `EpochbankError`.
    """
    if dtype != np.uint8 and dtype.kind != "f":
        raise EpochbankError(f"{where}: images is {dtype}; expected uint8, or float in [0, 1]. Convert it.")
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or 0 in shape[1:]:
        raise EpochbankError(f"{where}: images has shape {shape}; expected (N, H, W) or (N, H, W, C) with C = 1 or 3.")
    if shape[0] == 0:
        raise EpochbankError(f"{where}: images is empty; expected at least one picture.")
    labels, groups, parts = columns["labels"], columns["groups"], columns.get("parts")
    if labels is None:
        raise EpochbankError(f"{where}: there is no array `labels`; expected one label for each picture.")
    for name, column in (("labels", labels), ("groups", groups), ("parts", parts)):
        if column is not None and column.shape != (shape[0],):
            raise EpochbankError(
                f"{where}: images has {shape[0]} pictures and {name} has shape {column.shape}; "
                f"expected ({shape[0]},), one for each picture."
            )
        kinds, expected = ("UST", "strings") if name == "parts" else ("iuUST", "integers or strings")
        if column is not None and column.dtype.kind not in kinds:
            raise EpochbankError(f"{where}: {name} is {column.dtype}; expected {expected}.")
    label_index, class_names = _classes(where, labels, columns["class_names"])
    group_index, group_names = (None, None) if groups is None else _names(where, "groups", groups)
    return Scan(
        reader=reader,
        labels=label_index,
        class_names=class_names,
        groups=group_index,
        group_names=group_names,
        size=(shape[1], shape[2]),
        channels=shape[3] if len(shape) == 4 else 1,
        parts=None if parts is None else _parts(where, parts),
    )


def _columns(options: SourceOptions) -> tuple[str, ...]:
    """The arrays beside `images` that are read."""
    return ("labels", "groups", "class_names", *(("parts",) if options.split == "source" else ()))


def _parts(where: str, values: np.ndarray) -> np.ndarray | None:
    """int8 (N,): the number of each part; None where none is named."""
    index, names = _names(where, "parts", values)
    try:
        numbers = np.array([part_number(name) for name in names], np.int8)
    except ValueError as error:
        raise EpochbankError(f"{where}: parts {error}.") from error
    return numbers[index] if (numbers >= 0).any() else None


def _classes(where: str, labels: np.ndarray, class_names: np.ndarray | None) -> tuple[np.ndarray, list[str]]:
    if class_names is None:
        return _names(where, "labels", labels)
    if class_names.ndim != 1:
        raise EpochbankError(f"{where}: class_names has shape {class_names.shape}; expected (K,), a name a class.")
    names = [_text(where, "class_names", name) for name in class_names.tolist()]
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(names):
        received = f"{labels.dtype}" if labels.dtype.kind not in "iu" else f"{labels.min()} to {labels.max()}"
        raise EpochbankError(
            f"{where}: labels are {received}; expected integers from 0 to {len(names) - 1}, "
            f"since class_names has {len(names)} names."
        )
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise EpochbankError(
            f"{where}: class_names has {', '.join(map(repr, twice[:5]))} more than once; "
            "expected a name of its own for each class."
        )
    return labels.astype(np.int32), names


def _names(where: str, column: str, values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Index of each value among the distinct ones in order, and their names."""
    distinct, index = np.unique(values, return_inverse=True)
    return index.astype(np.int32), [_text(where, column, value) for value in distinct.tolist()]


def _text(where: str, column: str, value: object) -> str:
    try:
        text = value.decode() if isinstance(value, bytes) else str(value)
        if "\0" in text:
            raise EpochbankError(f"{where}: {column} holds {text!r}; expected text without NUL. Mend the name.")
        return text
    except UnicodeDecodeError as error:
        raise EpochbankError(f"{where}: {column} holds {value!r}; expected text in UTF-8. Write it as text.") from error


def _decoded(block: np.ndarray) -> Iterator[Decoded]:
    block = block[:, :, :, 0] if block.ndim == 4 and block.shape[3] == 1 else block
    if block.dtype == np.uint8:
        yield block
        return
    for picture in block:
        try:
            yield to_uint8(picture)[None]
        except BadPicture as bad:
            yield bad


def _runs(indices: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    """`indices` in runs of up to 8 MiB of pictures."""
    each = max(1, math.prod(shape[1:]) * dtype.itemsize)
    step = max(1, (8 << 20) // each)
    return (indices[start : start + step] for start in range(0, len(indices), step))


@dataclass(frozen=True)
class RawReader:
    """An array that lies uncompressed in a file."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: str
    fortran: bool

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """In runs; float pictures one by one."""
        for run in self.runs(indices):
            yield from _decoded(run)

    def runs(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """As they are stored, copied out of maps that live only as long as a run is read."""
        return (self._copy(run) for run in _runs(indices, self.shape, np.dtype(self.dtype)))

    def _copy(self, indices: np.ndarray) -> np.ndarray:
        try:
            mapped: np.memmap = np.memmap(
                self.path, self.dtype, "r", self.offset, self.shape, order="F" if self.fortran else "C"
            )
        except ValueError as error:
            raise EpochbankError(f"{self.path}: images cannot be read: {error}. Write the file again.") from error
        return np.asarray(mapped[indices])

    def origin(self, index: int) -> str:
        """Its number in the array."""
        return f"images[{index}]"


class NpzSource:
    """An `.npz` file, compressed or not."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Path, bytes and time of change."""
        return ["npz", *file_identity(self.path)]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read all but the pictures, which are laid bare in `workspace` where they are compressed."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                if "images.npy" not in archive.namelist():
                    found = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
                    raise EpochbankError(
                        f"{self.path}: there is no array `images` (found {found}); "
                        "expected `images` and `labels`, as np.savez(file, images=..., labels=...) writes them."
                    )
                reader = _lay_bare(self.path, archive, workspace)
            with np.load(self.path, allow_pickle=False) as arrays:
                columns = {key: _member(self.path, arrays, key) for key in _columns(self.options)}
        except _UNREADABLE as error:
            raise EpochbankError(f"{self.path} cannot be read as .npz: {error}. Write it again.") from error
        return scan_arrays(str(self.path), reader, reader.shape, np.dtype(reader.dtype), columns)


def _member(path: Path, arrays: Any, key: str) -> np.ndarray | None:
    try:
        return arrays[key] if key in arrays.files else None
    except ValueError as error:
        raise EpochbankError(
            f"{path}: {key} cannot be read ({error}); expected integers or strings. Write it as np.array([...], str)."
        ) from error


def _lay_bare(path: Path, archive: zipfile.ZipFile, workspace: Path) -> RawReader:
    """A reader of the member `images.npy`: in place if it is stored as it is, else from a decompressed copy."""
    member = archive.getinfo("images.npy")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        header_bytes = file.tell()
    if member.compress_type == zipfile.ZIP_STORED:
        with open(path, "rb") as file:
            file.seek(member.header_offset + 26)
            name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
        return RawReader(
            path, member.header_offset + 30 + name_bytes + extra_bytes + header_bytes, shape, dtype.str, fortran
        )
    bare = workspace / "images.npy"
    with archive.open(member) as packed, open(bare, "wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    return RawReader(bare, header_bytes, shape, dtype.str, fortran)


@dataclass(frozen=True)
class Hdf5Reader:
    """The dataset `images` of an HDF5 file."""

    path: Path

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """Opened anew for each call: a handle must not cross into another process."""
        import hdf5plugin  # noqa: F401  registers the filters that a file may be compressed with

        try:
            with h5py.File(self.path, "r", locking="best-effort") as file:
                images = file["images"]
                for run in _runs(indices, images.shape, images.dtype):
                    yield from _decoded(images[run])
        except OSError as error:
            raise EpochbankError(f"{self.path}: images cannot be read: {error}. Write the file again.") from error

    def origin(self, index: int) -> str:
        """Its number in the dataset."""
        return f"images[{index}]"


class Hdf5Source:
    """An HDF5 file with the same names as datasets."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Path, bytes and time of change."""
        return ["hdf5", *file_identity(self.path)]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read all but the pictures."""
        try:
            with h5py.File(self.path, "r", locking="best-effort") as file:
                if not isinstance(file.get("images"), h5py.Dataset):
                    raise EpochbankError(
                        f"{self.path}: there is no dataset `images` (found {', '.join(file) or 'nothing'}); "
                        "expected datasets `images` and `labels`."
                    )
                columns = {key: _column(self.path, file, key) for key in _columns(self.options)}
                shape, dtype = file["images"].shape, file["images"].dtype
        except OSError as error:
            raise EpochbankError(f"{self.path} cannot be read as HDF5: {error}. Write it again.") from error
        return scan_arrays(str(self.path), Hdf5Reader(self.path), shape, dtype, columns)


def _column(path: Path, file: h5py.File, key: str) -> np.ndarray | None:
    dataset = file.get(key)
    if dataset is None:
        return None
    if not isinstance(dataset, h5py.Dataset):
        raise EpochbankError(f"{path}: {key} is a group; expected a dataset of integers or strings.")
    if h5py.check_string_dtype(dataset.dtype) is None:
        return dataset[()]
    try:
        return np.array(dataset.asstr()[()], dtype=np.str_)
    except UnicodeDecodeError as error:
        raise EpochbankError(f"{path}: {key} is not text in UTF-8: {error}. Write it as text.") from error
