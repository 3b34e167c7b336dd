"""Sources in IDX files, compressed with gzip or not: MNIST, Fashion-MNIST, KMNIST, EMNIST and QMNIST.

The format is described at yann.lecun.com/exdb/mnist: a magic number (two zeros, 8 for unsigned bytes or 12 for int32,
the number of dimensions), the size of each dimension as a big-endian uint32, and the big-endian values. EMNIST (Cohen
et al., 2017) stores the images transposed.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ...errors import EpochbankError
from ..arrays.store import RawArray
from ..base import Scan, SourceOptions, file_identity
from ..class_names import name_labels
from ..workspace_space import check_unpacked
from .files import Pair, find_pairs
from .names import find_name_files, read_class_names
from .places import UNREADABLE, Place

_QMNIST_COLUMNS, _WRITER = 8, 2
"""Columns of QMNIST's labels (Yadav and Bottou, 2019): class, series, writer, and five more."""


class _Kind(NamedTuple):
    """The type of an array."""

    magic: bytes
    dimensions: int
    dtype: str


_IMAGES = (_Kind(b"\0\0\x08\3", 3, "|u1"),)
_LABELS = (_Kind(b"\0\0\x08\1", 1, "|u1"), _Kind(b"\0\0\x0c\2", 2, ">i4"))

_DOWNLOAD_AGAIN = "Download the file again."


@dataclass(frozen=True)
class IdxReader:
    """Reads the images of several files, one after another."""

    files: tuple[RawArray, ...]
    names: tuple[str, ...]
    transposed: bool

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Yield upright images in runs."""
        start = 0
        for file in self.files:
            stop = start + file.shape[0]
            for run in file.runs(indices[(indices >= start) & (indices < stop)] - start):
                yield np.ascontiguousarray(run.transpose(0, 2, 1)) if self.transposed else run
            start = stop

    def origin(self, index: int) -> str:
        """Return the name of the file and the position of the image in it."""
        for name, file in zip(self.names, self.files, strict=True):
            if index < file.shape[0]:
                return f"{name}[{index}]"
            index -= file.shape[0]
        raise IndexError(index)


class IdxSource:
    """A folder or archive of IDX files, one image file of such a folder, or a prefix of the names of such files."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options

    def identity(self) -> Any:
        """Return path, size and modification time of each file."""
        container, prefix, pairs = find_pairs(self.path)
        places = [place for pair in pairs for place in (pair.images, pair.labels)]
        places += find_name_files(container.places, prefix)
        return ["idx", *map(file_identity, dict.fromkeys(place.path for place in places))]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read the labels, and decompress compressed images into `workspace`."""
        container, prefix, pairs = find_pairs(self.path)
        files = [_open_array(pair.images, _IMAGES, workspace) for pair in pairs]
        read = [_labels(pair, file.shape[0], workspace) for pair, file in zip(pairs, files, strict=True)]
        numbers, labels = np.unique(np.concatenate([label for label, _ in read]), return_inverse=True)
        transposed = prefix.startswith("emnist")
        sizes = {(width, height) if transposed else (height, width) for _, height, width in (f.shape for f in files)}
        notes = [f"images of {prefix} are stored transposed; they were turned upright"] if transposed else []
        if container.path != self.path and self.path.is_dir():
            notes.append(f"using the IDX files in {container.path}")
        class_names, names_note = self._class_names(find_name_files(container.places, prefix), numbers.tolist())
        splits = np.repeat(np.array([pair.split for pair in pairs], np.int8), [file.shape[0] for file in files])
        groups, group_names = _groups([writers for _, writers in read])
        return Scan(
            reader=IdxReader(tuple(files), tuple(_without_gz(pair.images.name) for pair in pairs), transposed),
            labels=labels.astype(np.int32),
            class_names=class_names,
            groups=groups,
            group_names=group_names,
            size=sizes.pop() if len(sizes) == 1 else None,
            channels=1,
            splits=splits if self.options.split == "source" else None,
            notes=[*notes, *names_note],
        )

    def _class_names(self, name_files: list[Place], numbers: list[int]) -> tuple[list[str], list[str]]:
        """Return the names of the labels `numbers`, and notes."""
        if self.options.class_names is not None:
            return name_labels(self.options.class_names, numbers), []
        return read_class_names(name_files, numbers)


def _without_gz(name: str) -> str:
    return name[:-3] if name.lower().endswith(".gz") else name


def _groups(writers: list[np.ndarray | None]) -> tuple[np.ndarray | None, list[str] | None]:
    """Return the group of each image, int32 (N,), and the groups' names, if the labels of all files name writers."""
    known = [numbers for numbers in writers if numbers is not None]
    if len(known) < len(writers):
        return None, None
    names, index = np.unique(np.concatenate(known), return_inverse=True)
    return index.astype(np.int32), [f"writer {number}" for number in names.tolist()]


def _read_shape(place: Place, file: IO[bytes], kinds: tuple[_Kind, ...]) -> tuple[_Kind, tuple[int, ...]]:
    """Read the header of an IDX file of one of `kinds`."""
    start = file.read(4)
    kind = next((kind for kind in kinds if start == kind.magic), None)
    if kind is None:
        raise EpochbankError(
            f"{place} begins with {start.hex(' ') or 'nothing'}; expected {kinds[0].magic.hex(' ')}, the beginning of "
            f"IDX files of unsigned bytes in {kinds[0].dimensions} dimension(s). {_DOWNLOAD_AGAIN}"
        )
    sizes = file.read(4 * kind.dimensions)
    if len(sizes) < 4 * kind.dimensions:
        raise EpochbankError(
            f"{place} has {4 + len(sizes)} bytes; expected a header of {4 + 4 * kind.dimensions}. {_DOWNLOAD_AGAIN}"
        )
    shape = struct.unpack(f">{kind.dimensions}I", sizes)
    if 0 in shape:
        raise EpochbankError(f"{place} has the dimensions {shape}; expected no zero among them. {_DOWNLOAD_AGAIN}")
    return kind, shape


def _open_array(place: Place, kinds: tuple[_Kind, ...], workspace: Path) -> RawArray:
    """Return a reader of the array in an IDX file: in place, or of a decompressed copy in `workspace`."""
    try:
        with place.open() as (file, compressed):
            kind, shape = _read_shape(place, file, kinds)
            offset, expected, count = file.tell(), math.prod(shape) * np.dtype(kind.dtype).itemsize, 0
            if compressed:
                extracted = workspace / f"{place.name}.extracted"
                check_unpacked(str(place), expected, workspace)
                with open(extracted, "wb") as copy:
                    while count <= expected and (piece := file.read(1 << 20)):
                        copy.write(piece[: max(expected - count, 0)])
                        count += len(piece)
            else:
                count = place.path.stat().st_size - offset
    except UNREADABLE as error:
        raise EpochbankError(f"{place} cannot be decompressed: {error}. {_DOWNLOAD_AGAIN}") from error
    if count != expected:
        raise EpochbankError(
            f"{place} holds {count:,} bytes after its header; expected {expected:,}, for the dimensions "
            f"{' x '.join(map(str, shape))} in the header. {_DOWNLOAD_AGAIN}"
        )
    path, offset = (extracted, 0) if compressed else (place.path, offset)
    return RawArray(path, offset, shape, kind.dtype, False)


def _labels(pair: Pair, num_images: int, workspace: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the label of each image, (N,) of integers, and the number of its writer, (N,), if the file names it."""
    file = _open_array(pair.labels, _LABELS, workspace)
    if file.shape[0] != num_images:
        raise EpochbankError(
            f"{pair.images} holds {num_images:,} images and {pair.labels} {file.shape[0]:,} labels; expected one label "
            "for each image. Download both files again."
        )
    values = np.fromfile(file.path, file.dtype, math.prod(file.shape), offset=file.offset).reshape(file.shape)
    if values.ndim == 1:
        return values, None
    if values.shape[1] != _QMNIST_COLUMNS:
        raise EpochbankError(
            f"{pair.labels} has {values.shape[1]} columns; expected {_QMNIST_COLUMNS}, as in QMNIST. {_DOWNLOAD_AGAIN}"
        )
    return values[:, 0], values[:, _WRITER]
