"""The chunk table: where each chunk of a part or stored epoch lies, and how to read one.

The table is built once, with the HDF5 library; chunks are then read and decoded around it, outside
its lock and Python's, straight into the caller's memory.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from augment.errors import EpochbankError
from augment.store.codec import decode
from augment.store.manifest import Entry
from augment.store.shard import chunk_checksum

_COLUMNS = np.dtype(
    [
        ("shard", np.int32),
        ("offset", np.int64),  # of the stored chunk in its file, bytes
        ("size", np.int64),  # stored bytes
        ("checksum", np.uint64),
        ("first", np.int64),  # position of the first picture
        ("images", np.int64),
        ("labels", np.int64),  # offset of the labels in the file, bytes
    ]
)


@dataclass(frozen=True)
class ChunkTable:
    """All chunks of a part or stored epoch, in order of position. 52 bytes a chunk."""

    shape: tuple[int, int, int]
    shards: tuple[tuple[Path, str, int], ...]
    """Path, codec and pictures in a whole chunk of each shard."""
    chunks: np.ndarray
    """Structured, `_COLUMNS`."""

    @property
    def images(self) -> np.ndarray:
        """Pictures in each chunk, int64."""
        return self.chunks["images"]

    @property
    def chunk_bytes(self) -> int:
        """Decoded bytes of the largest chunk."""
        return int(self.images.max(initial=0)) * int(np.prod(self.shape))

    def read(self, number: int, images: np.ndarray, labels: np.ndarray) -> None:
        """Read and decode chunk `number` into `images` (uint8 (m, H, W, C), contiguous) and `labels` (int32 (m,)).

        m is the chunk's number of pictures. Raises `EpochbankError` where the chunk is damaged.
        """
        chunk = self.chunks[number]
        path, codec, whole = self.shards[chunk["shard"]]
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                stored = os.pread(descriptor, int(chunk["size"]), int(chunk["offset"]))
                if os.preadv(descriptor, [labels.data], int(chunk["labels"])) != labels.nbytes:
                    raise ValueError("the labels are cut short")
            finally:
                os.close(descriptor)
            if chunk_checksum(stored, labels) != int(chunk["checksum"]):
                raise ValueError("chunk or labels have another checksum than when they were written")
            if len(images) == whole:
                decode(codec, stored, images)
            else:  # A shard's last chunk is stored whole, filled up with zeros.
                filled = np.empty((whole, *self.shape), np.uint8)
                decode(codec, stored, filled)
                images[:] = filled[: len(images)]
        except (OSError, ValueError, RuntimeError) as error:
            first = int(chunk["first"])
            raise EpochbankError(
                f"{path}, positions {first} to {first + len(images) - 1} (bytes {chunk['offset']} to "
                f"{chunk['offset'] + chunk['size'] - 1}) cannot be read: {error}. `augment verify` lists all "
                "damaged shards and says how to have them made again."
            ) from error


def chunk_table(directory: Path, entries: Sequence[Entry], shape: tuple[int, int, int]) -> ChunkTable:
    """The table of the shards `entries`, in order of position; opens each file once."""
    ordered = sorted(entries, key=lambda entry: entry.start)
    tables = [_of_shard(directory, number, entry) for number, entry in enumerate(ordered)]
    return ChunkTable(
        shape,
        tuple((directory / entry.file, entry.codec, entry.chunk) for entry in ordered),
        np.concatenate(tables) if tables else np.empty(0, _COLUMNS),
    )


def _of_shard(directory: Path, number: int, entry: Entry) -> np.ndarray:
    path = directory / entry.file
    rows = np.zeros(-(-entry.images // entry.chunk), _COLUMNS)
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            found: list[h5py.h5d.StoreInfo] = []
            file["image"].id.chunk_iter(found.append)
            if len(found) != len(rows) or any(chunk.filter_mask for chunk in found):
                raise OSError(f"it has {len(found)} chunks as written by epochbank; expected {len(rows)}")
            for chunk in found:
                row = rows[chunk.chunk_offset[0] // entry.chunk]
                row["offset"], row["size"] = chunk.byte_offset, chunk.size
            rows["checksum"] = file["checksum"][()]
            labels = file["label"].id.get_offset()
    except (OSError, KeyError) as error:
        raise EpochbankError(
            f"{path} cannot be read: {error}. `augment verify` lists all damaged shards and says how to have "
            "them made again."
        ) from error
    starts = np.arange(len(rows)) * entry.chunk
    rows["shard"] = number
    rows["first"] = entry.start + starts
    rows["images"] = np.minimum(entry.chunk, entry.images - starts)
    rows["labels"] = labels + 4 * starts
    return rows
