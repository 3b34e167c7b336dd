"""Where the contents of a shard are in its file, and whether it is the shard that the manifest lists.

The HDF5 library is asked once per shard. Everything that it answers is compared with the manifest entry before an image
is read: the attributes that name the shard, the types and sizes of the datasets, the filter, and the place of each
chunk. Shards are written in HDF5's format 1.10, in which checksums cover all of this. Shards of earlier versions are in
the format before it, which has none, and in which a damaged byte can have the library crash or loop forever: such a
file is read completely and compared with the checksum in the manifest, once per process. The chunks are then read
without the library, each with its checksum (`store.shard_read`, `train.reading.chunk_table`).
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5p

from ..errors import EpochbankError
from ..shared.unreadable import unreadable
from .codec import CODECS
from .description import LARGEST_CHUNK
from .digest import file_checksum
from .manifest import Entry
from .objects.access import shard_at_hand
from .presence import fault_of
from .shard import IDENTITY, identity_of

REPAIR = "`augment verify` lists all damaged shards and explains how to generate them again."
"""The fix in messages about a damaged shard."""


_SUPERBLOCK = b"\x89HDF\r\n\x1a\n\x03"
"""First bytes of an HDF5 file of format 1.10: signature, and version of the superblock (HDF5 File Format 3.0, II.A)."""

DAMAGE = (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError, MemoryError)
"""What h5py raises for damaged files."""


@dataclass(frozen=True)
class ShardIndex:
    """Where the contents of one shard are. 20 bytes per chunk."""

    shape: tuple[int, int, int]
    """(H, W, C) of an image."""
    offsets: np.ndarray
    """int64 (chunks,): byte offset of each stored chunk in the file."""
    sizes: np.ndarray
    """int64 (chunks,): stored bytes of each chunk."""
    checksums: np.ndarray
    """uint32 or uint64 (chunks,): see `store.shard_read.chunk_is_sound`."""
    labels: int
    """Byte offset of the labels, int32 (n,), in the file."""
    rows: int
    """Byte offset of the rows, int64 (n,), in the file."""


def read_index(directory: Path, entry: Entry, *, is_there: bool = False) -> ShardIndex:
    """Return where the contents of a shard of the set in `directory` are.

    A shard of a mirror is fetched first, unless the caller knows that it `is_there`.

    Raises `EpochbankError` if the file is missing, damaged, or not the shard that `entry` describes.
    """
    with opened(directory, entry, is_there=is_there) as file:
        image, label, row, checksum = (h5d.open(file.id, name) for name in (b"image", b"label", b"row", b"checksum"))
        count, chunks = entry.num_images, -(-entry.num_images // entry.chunk)
        if len(image.shape) != 4 or not all(image.shape) or entry.chunk * math.prod(image.shape[1:]) > LARGEST_CHUNK:
            raise ValueError(f"the dataset image has shape {image.shape}; expected ({count}, height, width, channels)")
        shape = image.shape[1], image.shape[2], image.shape[3]
        for name, dataset, expected, types in (
            ("image", image, (count, *shape), ("uint8",)),
            ("label", label, (count,), ("int32",)),
            ("row", row, (count,), ("int64",)),
            ("checksum", checksum, (chunks,), ("uint32", "uint64")),
        ):
            if dataset.shape != expected or dataset.dtype not in types:
                raise ValueError(
                    f"the dataset {name} is {dataset.dtype} {dataset.shape}; expected {types[0]} {expected}"
                )
        _check_filter(image, entry, (entry.chunk, *shape))
        offsets, sizes = _chunks(image, entry, chunks)
        where = {name: offset_of(one, entry) for name, one in (("label", label), ("row", row), ("checksum", checksum))}
        checksums = np.fromfile(directory / entry.file, checksum.dtype, chunks, offset=where["checksum"])
        return ShardIndex(shape, offsets, sizes, checksums, where["label"], where["row"])


@contextmanager
def opened(directory: Path, entry: Entry, *, is_there: bool = False) -> Iterator[h5py.File]:
    """Open a shard of the set in `directory`, after comparing its size and attributes with its manifest entry.

    A shard of a mirror is fetched first, unless the caller knows that it `is_there`.

    Raises `EpochbankError` if the file is missing, damaged, or another shard; also for what the `with` block raises
    about a damaged file.
    """
    path = directory / entry.file
    with nullcontext() if is_there else shard_at_hand(directory, entry):
        try:
            fault = fault_of(path, entry)
            if fault:
                raise ValueError(fault)
            _check_old_format(path, entry)
            # Low-level calls are faster: the first batches of an epoch wait for this, once per shard.
            access = h5p.create(h5p.FILE_ACCESS)
            # No lock: shards do not change, and a process that fetches one holds its own lock for a moment longer.
            access.set_file_locking(False, True)
            with h5py.File(h5f.open(os.fsencode(path), h5f.ACC_RDONLY, access)) as file:
                check_identity(file, entry)
                yield file
        except EpochbankError:
            raise
        except DAMAGE as error:
            other = unreadable(path, error)
            raise (other or EpochbankError(f"{path} cannot be read: {error}. {REPAIR}")) from error


def _check_old_format(path: Path, entry: Entry) -> None:
    """Raise `ValueError` if a file in a format without checksums does not have the checksum of its entry."""
    with open(path, "rb") as file:
        if file.read(len(_SUPERBLOCK)) == _SUPERBLOCK:
            return
    found = path.stat()
    if _old_checksum(path, found.st_ino, found.st_size, found.st_mtime_ns) != entry.checksum:
        raise ValueError("the file was changed: its checksum is wrong")


@lru_cache(maxsize=1 << 16)
def _old_checksum(path: Path, inode: int, size: int, changed_ns: int) -> str:
    return file_checksum(path)


def check_identity(file: h5py.File, entry: Entry) -> None:
    """Raise `ValueError` unless the attributes of the file are those of the shard that `entry` describes."""
    if h5a.exists(file.id, IDENTITY.encode()):
        found, expected = str(bytes(file.attrs[IDENTITY]), "ascii", "replace"), identity_of(entry, entry.digest)
    else:  # Earlier shards have these attributes only.
        expected = f"{entry.split} {entry.epoch} {entry.start} {entry.digest}"
        found = " ".join(str(file.attrs[name]) for name in ("part", "epoch", "start", "digest"))
    if found != expected:
        raise ValueError(f"it is another shard: it contains {found[:100]!r}; the manifest lists {expected!r}")


def _check_filter(image: h5d.DatasetID, entry: Entry, chunk: tuple[int, ...]) -> None:
    """Raise `ValueError` unless the dataset has the chunks and the only filter that `entry` describes."""
    properties = image.get_create_plist()
    filters = [properties.get_filter(at)[0] for at in range(properties.get_nfilters())]
    expected = [] if CODECS[entry.codec] is None else [CODECS[entry.codec]]
    if filters != expected:
        raise ValueError(f"its images have the HDF5 filters {filters}; expected {expected}, of codec {entry.codec}")
    if properties.get_chunk() != chunk:
        raise ValueError(f"its images have chunks of {properties.get_chunk()}; expected {chunk}")


def _chunks(image: h5d.DatasetID, entry: Entry, chunks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the offset and size of each stored chunk. Raises `ValueError` if one is impossible."""
    found: list[h5d.StoreInfo] = []
    image.chunk_iter(found.append)
    if len(found) != chunks:
        raise ValueError(f"it has {len(found)} chunks; expected {chunks}")
    offsets, sizes = np.full(chunks, -1, np.int64), np.zeros(chunks, np.int64)
    for chunk in found:
        at, within = divmod(chunk.chunk_offset[0], entry.chunk)
        if within or any(chunk.chunk_offset[1:]) or not 0 <= at < chunks or offsets[at] >= 0:
            raise ValueError(f"it has a chunk at {chunk.chunk_offset}, where none belongs")
        if chunk.filter_mask:
            raise ValueError(f"chunk {at} has filter mask {chunk.filter_mask}; expected 0, all filters")
        if not 0 < chunk.size <= entry.bytes or not 0 < chunk.byte_offset <= entry.bytes - chunk.size:
            raise ValueError(f"chunk {at} has {chunk.size} bytes at {chunk.byte_offset}, not within the file")
        offsets[at], sizes[at] = chunk.byte_offset, chunk.size
    return offsets, sizes


def offset_of(dataset: h5d.DatasetID, entry: Entry) -> int:
    """Return where a dataset is in the file. Raises `ValueError` if it is not in one piece within the file."""
    offset, size = dataset.get_offset(), math.prod(dataset.shape) * dataset.dtype.itemsize
    if offset is None or not 0 < offset <= entry.bytes - size:
        raise ValueError("a dataset is not in one piece within the file")
    return int(offset)
