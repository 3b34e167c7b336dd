"""Sources that are IDX files, packed with gzip or not: MNIST, Fashion-MNIST, KMNIST, EMNIST, as they are distributed.

The format is described at yann.lecun.com/exdb/mnist: a magic number (two zeros, 8 for unsigned bytes, the number of
dimensions), each dimension as a big-endian uint32, the bytes. EMNIST (Cohen et al., 2017) stores its pictures columns
first.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import EpochbankError
from .arrays import RawReader
from .base import Scan, SourceOptions, file_identity
from .idx_files import Pair, find_pairs
from .idx_names import find_name_files, names_of

_AGAIN = "Fetch the file again."


@dataclass(frozen=True)
class IdxReader:
    """The pictures of several files, one after another."""

    files: tuple[RawReader, ...]
    names: tuple[str, ...]
    columns_first: bool

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """In runs, upright."""
        start = 0
        for file in self.files:
            stop = start + file.shape[0]
            for run in file.runs(indices[(indices >= start) & (indices < stop)] - start):
                yield np.ascontiguousarray(run.transpose(0, 2, 1)) if self.columns_first else run
            start = stop

    def origin(self, index: int) -> str:
        """Its number in its file."""
        for name, file in zip(self.names, self.files, strict=True):
            if index < file.shape[0]:
                return f"{name}[{index}]"
            index -= file.shape[0]
        raise IndexError(index)


class IdxSource:
    """A folder of IDX files, one of the files of pictures in it, or what the names of some of its files begin with."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.folder = path if path.is_dir() else path.parent

    def identity(self) -> Any:
        """Path, bytes and time of change of each file."""
        family, pairs = find_pairs(self.path)
        files = [file for pair in pairs for file in (pair.images, pair.labels)]
        return ["idx", *map(file_identity, [*files, *find_name_files(self.folder, family)])]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read the labels, and lay the pictures bare in `workspace` where they are packed."""
        family, pairs = find_pairs(self.path)
        files = [_laid_bare(pair.images, 3, workspace) for pair in pairs]
        labels = [_labels(pair, file.shape[0], workspace) for pair, file in zip(pairs, files, strict=True)]
        label = np.concatenate(labels)
        numbers = np.unique(label)
        place = np.zeros(256, np.int32)
        place[numbers] = np.arange(len(numbers))
        columns_first = family.startswith("emnist")
        sizes = {(width, height) if columns_first else (height, width) for _, height, width in (f.shape for f in files)}
        notes = [f"pictures of {family} are stored columns first, and were put upright"] if columns_first else []
        class_names, named = names_of(self.folder, family, numbers.tolist())
        parts = np.repeat(np.array([pair.part for pair in pairs], np.int8), [file.shape[0] for file in files])
        return Scan(
            reader=IdxReader(
                tuple(files), tuple(pair.images.name.removesuffix(".gz") for pair in pairs), columns_first
            ),
            labels=place[label],
            class_names=class_names,
            size=sizes.pop() if len(sizes) == 1 else None,
            channels=1,
            parts=parts if self.options.split == "source" else None,
            notes=[*notes, *named],
        )


def _opened(path: Path) -> tuple[BinaryIO, bool]:
    """The file, and whether it is packed, whatever its name: browsers lay files bare without a word."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return (gzip.open(path, "rb") if packed else open(path, "rb")), packed  # type: ignore[return-value]


def _shape(path: Path, file: BinaryIO, dimensions: int) -> tuple[int, ...]:
    """The dimensions that the head of the file says, behind which it stands then."""
    magic, head = bytes([0, 0, 8, dimensions]), file.read(4 + 4 * dimensions)
    if head[:4] != magic:
        raise EpochbankError(
            f"{path} begins with {head[:4].hex(' ') or 'nothing'}; expected {magic.hex(' ')}, as IDX files of unsigned "
            f"bytes in {dimensions} dimension(s) do. {_AGAIN}"
        )
    if len(head) < 4 + 4 * dimensions:
        raise EpochbankError(f"{path} has {len(head)} bytes; expected a head of {4 + 4 * dimensions}. {_AGAIN}")
    shape = struct.unpack(f">{dimensions}I", head[4:])
    if 0 in shape:
        raise EpochbankError(f"{path} has the dimensions {shape}; expected no zero among them. {_AGAIN}")
    return shape


def _laid_bare(path: Path, dimensions: int, workspace: Path) -> RawReader:
    """A reader of what is behind the head: in place, or from a copy in `workspace` of a packed file."""
    try:
        file, packed = _opened(path)
        with file:
            shape = _shape(path, file, dimensions)
            offset, expected = file.tell(), math.prod(shape)
            bare, count = (workspace / f"{path.name}.bare") if packed else path, 0
            if packed:
                with open(bare, "wb") as copy:
                    while piece := file.read(1 << 20):
                        copy.write(piece[: max(expected - count, 0)])
                        count += len(piece)
            else:
                count = path.stat().st_size - offset
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EpochbankError(f"{path} cannot be unpacked: {error}. {_AGAIN}") from error
    if count != math.prod(shape):
        raise EpochbankError(
            f"{path} holds {count:,} bytes behind its head; expected {math.prod(shape):,}, for the dimensions "
            f"{' x '.join(map(str, shape))} that it says. {_AGAIN}"
        )
    return RawReader(bare, 0 if packed else offset, shape, "|u1", False)


def _labels(pair: Pair, pictures: int, workspace: Path) -> np.ndarray:
    """uint8 (N,), one for each of so many pictures."""
    file = _laid_bare(pair.labels, 1, workspace)
    if file.shape[0] != pictures:
        raise EpochbankError(
            f"{pair.images} holds {pictures:,} pictures and {pair.labels} {file.shape[0]:,} labels; expected one label "
            "for each picture. Fetch both again."
        )
    return np.fromfile(file.path, np.uint8, pictures, offset=file.offset)
