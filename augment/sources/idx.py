"""Sources in IDX files, compressed with gzip or not: MNIST, Fashion-MNIST, KMNIST and EMNIST as distributed.

The format is described at yann.lecun.com/exdb/mnist: a magic number (two zeros, 8 for unsigned bytes, the number of
dimensions), the size of each dimension as a big-endian uint32, and the bytes. EMNIST (Cohen et al., 2017) stores the
images transposed.
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
from .idx_names import find_name_files, read_class_names

_DOWNLOAD_AGAIN = "Download the file again."


@dataclass(frozen=True)
class IdxReader:
    """Reads the images of several files, one after another."""

    files: tuple[RawReader, ...]
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
    """A folder of IDX files, one image file of such a folder, or a prefix of the names of such files."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.folder = path if path.is_dir() else path.parent

    def identity(self) -> Any:
        """Return path, size and modification time of each file."""
        prefix, pairs = find_pairs(self.path)
        files = [file for pair in pairs for file in (pair.images, pair.labels)]
        return ["idx", *map(file_identity, [*files, *find_name_files(self.folder, prefix)])]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read the labels, and decompress compressed images into `workspace`."""
        prefix, pairs = find_pairs(self.path)
        files = [_open_array(pair.images, 3, workspace) for pair in pairs]
        labels = [_labels(pair, file.shape[0], workspace) for pair, file in zip(pairs, files, strict=True)]
        label = np.concatenate(labels)
        numbers = np.unique(label)
        index = np.zeros(256, np.int32)
        index[numbers] = np.arange(len(numbers))
        transposed = prefix.startswith("emnist")
        sizes = {(width, height) if transposed else (height, width) for _, height, width in (f.shape for f in files)}
        notes = [f"images of {prefix} are stored transposed; they were turned upright"] if transposed else []
        class_names, names_note = read_class_names(self.folder, prefix, numbers.tolist())
        splits = np.repeat(np.array([pair.split for pair in pairs], np.int8), [file.shape[0] for file in files])
        return Scan(
            reader=IdxReader(tuple(files), tuple(pair.images.name.removesuffix(".gz") for pair in pairs), transposed),
            labels=index[label],
            class_names=class_names,
            size=sizes.pop() if len(sizes) == 1 else None,
            channels=1,
            splits=splits if self.options.split == "source" else None,
            notes=[*notes, *names_note],
        )


def _open(path: Path) -> tuple[BinaryIO, bool]:
    """Open a file, and return whether it is compressed. Its name does not decide: browsers decompress .gz files."""
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return (gzip.open(path, "rb") if compressed else open(path, "rb")), compressed  # type: ignore[return-value]


def _read_shape(path: Path, file: BinaryIO, dimensions: int) -> tuple[int, ...]:
    """Read the header of an IDX file."""
    magic, header = bytes([0, 0, 8, dimensions]), file.read(4 + 4 * dimensions)
    if header[:4] != magic:
        raise EpochbankError(
            f"{path} begins with {header[:4].hex(' ') or 'nothing'}; expected {magic.hex(' ')}, the beginning of IDX "
            f"files of unsigned bytes in {dimensions} dimension(s). {_DOWNLOAD_AGAIN}"
        )
    if len(header) < 4 + 4 * dimensions:
        raise EpochbankError(
            f"{path} has {len(header)} bytes; expected a header of {4 + 4 * dimensions}. {_DOWNLOAD_AGAIN}"
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if 0 in shape:
        raise EpochbankError(f"{path} has the dimensions {shape}; expected no zero among them. {_DOWNLOAD_AGAIN}")
    return shape


def _open_array(path: Path, dimensions: int, workspace: Path) -> RawReader:
    """Return a reader of the array in an IDX file: in place, or of a decompressed copy in `workspace`."""
    try:
        file, compressed = _open(path)
        with file:
            shape = _read_shape(path, file, dimensions)
            offset, expected, count = file.tell(), math.prod(shape), 0
            if compressed:
                extracted = workspace / f"{path.name}.extracted"
                with open(extracted, "wb") as copy:
                    while piece := file.read(1 << 20):
                        copy.write(piece[: max(expected - count, 0)])
                        count += len(piece)
            else:
                count = path.stat().st_size - offset
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EpochbankError(f"{path} cannot be decompressed: {error}. {_DOWNLOAD_AGAIN}") from error
    if count != expected:
        raise EpochbankError(
            f"{path} holds {count:,} bytes after its header; expected {expected:,}, for the dimensions "
            f"{' x '.join(map(str, shape))} in the header. {_DOWNLOAD_AGAIN}"
        )
    return RawReader(extracted, 0, shape, "|u1", False) if compressed else RawReader(path, offset, shape, "|u1", False)


def _labels(pair: Pair, num_images: int, workspace: Path) -> np.ndarray:
    """Read the label of each image, uint8 (N,)."""
    file = _open_array(pair.labels, 1, workspace)
    if file.shape[0] != num_images:
        raise EpochbankError(
            f"{pair.images} holds {num_images:,} images and {pair.labels} {file.shape[0]:,} labels; expected one label "
            "for each image. Download both files again."
        )
    return np.fromfile(file.path, np.uint8, num_images, offset=file.offset)
