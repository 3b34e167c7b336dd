"""Read a shard: its chunks, each compared with its checksum, and its rejected attempts."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import xxhash
from isal import isal_zlib

from ..errors import EpochbankError
from ..shared.unreadable import unreadable
from .codec import decode
from .manifest import Entry
from .objects.access import shard_at_hand
from .shard import REJECTED, chunk_checksum
from .shard_index import DAMAGE, REPAIR, opened, read_index

Content = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Images uint8 (n, H, W, C), labels int32 (n,) and rows int64 (n,) at consecutive positions."""


def chunk_is_sound(stored: bytes | bytearray | memoryview, labels: np.ndarray, checksum: np.integer) -> bool:
    """Return whether a stored chunk and its labels match `checksum`, an element of the shard's `checksum` dataset.

    Checksums are CRC-32 (uint32). Shards of the first development versions have XXH3-64 (uint64) instead.
    """
    if checksum.dtype == np.uint32:
        return chunk_checksum(stored, labels) == checksum
    state = xxhash.xxh3_64(stored)
    state.update(labels.data)
    return state.intdigest() == checksum


def read_chunks(directory: Path, entry: Entry, first: int, last: int) -> Iterator[tuple[int, Content]]:
    """Yield the position of the first image, and the contents, of the chunks with positions `first` to `last` - 1.

    Memory: one chunk. Raises `EpochbankError` if the file is missing, damaged or another shard.
    """
    stop = -(-(last - entry.start) // entry.chunk)
    return _chunks(directory, entry, range((first - entry.start) // entry.chunk, stop))


def read_positions(directory: Path, entry: Entry, positions: np.ndarray) -> Iterator[tuple[np.ndarray, Content]]:
    """Yield some of `positions` (int64 (n,), ascending) of a shard with their contents, until all were yielded.

    The shard is opened once, and each of its chunks that has some of them is read once. Memory: one chunk. Raises
    `EpochbankError` like `read_chunks`.
    """
    numbers = np.unique((positions - entry.start) // entry.chunk)
    for start, content in _chunks(directory, entry, numbers.tolist()):
        some = positions[(positions >= start) & (positions < start + len(content[1]))]
        images, labels, rows = (column[some - start] for column in content)
        yield some, (images, labels, rows)


def _chunks(directory: Path, entry: Entry, numbers: Iterable[int]) -> Iterator[tuple[int, Content]]:
    """Yield the position of the first image, and the contents, of the chunks with these `numbers`."""
    index = read_index(directory, entry)
    path = directory / entry.file
    try:
        with shard_at_hand(directory, entry), open(path, "rb") as file:
            for number in numbers:
                start = number * entry.chunk
                count = min(entry.chunk, entry.num_images - start)
                labels = np.frombuffer(_bytes(file, index.labels + 4 * start, 4 * count), np.int32)
                rows = np.frombuffer(_bytes(file, index.rows + 8 * start, 8 * count), np.int64)
                stored = _bytes(file, int(index.offsets[number]), int(index.sizes[number]))
                images = np.empty((entry.chunk, *index.shape), np.uint8)
                if not chunk_is_sound(stored, labels, index.checksums[number]):
                    raise ValueError(f"the checksum of chunk {number} and its labels is wrong")
                decode(entry.codec, stored, images)
                yield entry.start + start, (images[:count], labels, rows)
    except DAMAGE as error:
        other = unreadable(path, error)
        raise (other or EpochbankError(f"{path} cannot be read: {error}. {REPAIR}")) from error


def _bytes(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return `size` bytes of the file from `offset` on. Raises `ValueError` if it is too short."""
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise ValueError(f"the file ends {size - len(data)} bytes early")
    return data


def read_run(directory: Path, entry: Entry, first: int, last: int) -> Content:
    """Read positions `first` to `last` - 1 of a shard; they must be positions of the shard, at least one.

    Returns images uint8 (n, H, W, C), labels int32 (n,) and rows int64 (n,). Raises `EpochbankError` if the file is
    missing, damaged or another shard.
    """
    parts = [
        [column[max(first - start, 0) : last - start] for column in content]
        for start, content in read_chunks(directory, entry, first, last)
    ]
    images, labels, rows = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return images, labels, rows


def read_rejected(directory: Path, entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Read the rejected attempts of a shard (`REJECTED` (k,)) and the labels of their images (int32 (k,)).

    Raises `EpochbankError` if the file is missing, damaged or another shard. Shards of earlier versions have no
    checksum of the table, whose values are then only compared with what is possible.
    """
    with opened(directory, entry) as file:
        if "rejected" not in file:
            return np.empty(0, REJECTED), np.empty(0, np.int32)
        dataset = file["rejected"]
        if dataset.dtype != REJECTED or dataset.nbytes > entry.bytes:
            raise ValueError(f"the dataset rejected is {dataset.dtype} {dataset.shape}")
        table = dataset[()]
        checksum = dataset.attrs.get("checksum")
        positions = table["position"]
        if (checksum is not None and isal_zlib.crc32(table.tobytes()) != checksum) or np.any(
            (positions < entry.start) | (positions >= entry.stop)
        ):
            raise ValueError("the table of rejected attempts was changed")
        labels = file["label"]
        if labels.shape != (entry.num_images,) or labels.dtype != np.int32:
            raise ValueError(f"the dataset label is {labels.dtype} {labels.shape}")
        return table, labels[()][positions - entry.start]
