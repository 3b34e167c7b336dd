"""The chunk table: where each chunk of a split or stored epoch is in its file, and how to read it.

The manifest lists the shards. The HDF5 library is asked once per shard where the chunks are, when the first of them is
needed, and the shard is compared with its manifest entry then (`store.shard_index`). Chunks are read and decoded
without the HDF5 library, outside its lock and the GIL, directly into the caller's memory.
"""

import math
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import accumulate
from pathlib import Path

import numpy as np

from ...augment.errors import EpochbankError
from ...augment.store.codec import decode
from ...augment.store.manifest import Entry
from ...augment.store.objects.access import RemoteShards
from ...augment.store.shard_index import REPAIR, ShardIndex, read_index
from ...augment.store.shard_read import chunk_is_sound
from .disk import Disk

Distort = Callable[..., np.ndarray]
"""`distort(images, memory=(first, second))`, with arrays uint8 (m, H, W, C)."""

_scratch: list[np.ndarray] = []
"""Scratch buffers of one chunk each: as many as were ever in use at the same time."""
_LARGE = 1 << 14
"""Bytes of an image above which copying images one by one is as fast as copying them together."""
_CELLS = np.arange(16)


class ChunkTable:
    """All chunks of a split or stored epoch, in order of position. Thread-safe."""

    def __init__(
        self,
        directory: Path,
        entries: Sequence[Entry],
        shape: tuple[int, int, int],
        remote: RemoteShards | None = None,
    ):
        """`entries` are the shards in the set's `directory`, `shape` is the (H, W, C) of an image.

        `remote` fetches shards of a set in an object store.
        """
        self.shape, self._remote = shape, remote
        self.shards = tuple(sorted(entries, key=lambda entry: entry.start))
        self._directory = directory
        self._paths = [str(directory / entry.file) for entry in self.shards]
        self._first = [0, *accumulate(-(-entry.num_images // entry.chunk) for entry in self.shards)]
        """Number of the first chunk of each shard, and the number of all chunks."""
        starts = [np.arange(0, entry.num_images, entry.chunk) for entry in self.shards]
        self.chunk_sizes = np.concatenate(
            [np.minimum(entry.chunk, entry.num_images - at) for entry, at in zip(self.shards, starts, strict=True)]
            or [np.empty(0, np.int64)]
        )
        """int64 (chunks,): number of images in each chunk."""
        self._index_lock = threading.Lock()
        self._indexes: dict[int, ShardIndex] = {}

    @property
    def chunks_per_shard(self) -> np.ndarray:
        """int64 (shards,): number of chunks in each shard."""
        return np.diff(self._first)

    @property
    def chunk_bytes(self) -> int:
        """Decoded bytes of the largest chunk."""
        return int(self.chunk_sizes.max(initial=0)) * int(np.prod(self.shape))

    def read(
        self,
        number: int,
        images: np.ndarray,
        labels: np.ndarray,
        disk: Disk | None = None,
        slots: np.ndarray | None = None,
        distort: Distort | None = None,
    ) -> None:
        """Read and decode chunk `number`, which has m images.

        Parameters
        ----------
        number
            Number of the chunk, in order of position.
        images, labels
            Contiguous output arrays, uint8 (m, H, W, C) and int32 (m,).
        disk
            Open files to read from; None opens the file for this call.
        slots
            int64 (m,): if given, image k of the chunk is written to `images[slots[k]]`, and its label to
            `labels[slots[k]]`; the output arrays may then be larger.
        distort
            Called with the decoded images and two arrays of memory like them, while they are in the cache of this core;
            returns the images to write. Only with `slots`.

        Raises
        ------
        EpochbankError
            If the chunk cannot be read or is damaged.
        """
        disk = disk or Disk()
        shard = bisect_right(self._first, number) - 1
        if self._remote is not None:
            if shard not in self._indexes:
                with disk.waiting():
                    self._remote.fetch_needed(self.shards[shard])
            try:
                self._read_chunk(number, shard, images, labels, disk, slots, distort)
                return
            except EpochbankError:  # The file was removed or is damaged: fetch it again, unless another thread has.
                with disk.waiting():
                    with self._index_lock:
                        self._remote.drop(self.shards[shard])
                        disk.forget(self._paths[shard])
                        self._indexes.pop(shard, None)
                    self._remote.fetch_needed(self.shards[shard])  # It may wait for room, which others must make.
        self._read_chunk(number, shard, images, labels, disk, slots, distort)

    def _read_chunk(
        self,
        number: int,
        shard: int,
        images: np.ndarray,
        labels: np.ndarray,
        disk: Disk,
        slots: np.ndarray | None,
        distort: Distort | None,
    ) -> None:
        entry, path, within = self.shards[shard], self._paths[shard], number - self._first[shard]
        start, count = entry.start + within * entry.chunk, int(self.chunk_sizes[number])
        if shard not in self._indexes:
            with disk.waiting(), self._index_lock:
                if shard not in self._indexes:
                    self._indexes[shard] = self._index(entry)
        index = self._indexes[shard]
        chunk_labels = labels if slots is None else np.empty(count, np.int32)
        # Decode into scratch memory, which is in this core's cache, if images are scattered or the chunk is padded.
        direct = slots is None and count == entry.chunk
        with _scratch_buffer(0 if direct else entry.chunk * math.prod(self.shape)) as memory:
            decoded = images if direct else memory.reshape(entry.chunk, *self.shape)
            at = index.labels + 4 * within * entry.chunk
            offset, size = int(index.offsets[within]), int(index.sizes[within])
            try:
                disk.read(path, chunk_labels.data.cast("B"), at)
                _read(disk, path, offset, size, entry.codec, chunk_labels, index.checksums[within], decoded)
            except (OSError, ValueError, RuntimeError) as error:
                fix = "Check the disk." if isinstance(error, OSError) else REPAIR
                raise EpochbankError(
                    f"{path}, chunk {within}, positions {start} to {start + count - 1} (bytes {offset} to "
                    f"{offset + size - 1}) cannot be read: {error}. {fix}"
                ) from error
            if slots is not None and distort is not None:
                with _scratch_buffer(2 * count * math.prod(self.shape)) as more:
                    _scatter(distort(decoded[:count], memory=tuple(more.reshape(2, count, *self.shape))), images, slots)
                labels[slots] = chunk_labels
            elif slots is not None:
                _scatter(decoded[:count], images, slots)
                labels[slots] = chunk_labels
            elif not direct:
                images[:] = decoded[:count]

    def _index(self, entry: Entry) -> ShardIndex:
        index = read_index(self._directory, entry, is_there=self._remote is not None)
        if index.shape != self.shape:
            path = self._directory / entry.file
            raise EpochbankError(
                f"{path} has images of shape {index.shape}; expected {self.shape}, as set.json says. {REPAIR}"
            )
        return index


def _read(
    disk: Disk,
    path: str,
    offset: int,
    size: int,
    codec: str,
    labels: np.ndarray,
    checksum: np.integer,
    decoded: np.ndarray,
) -> None:
    """Read a stored chunk, verify it together with its labels, and decode it into `decoded`."""
    uncompressed = codec == "none" and size == decoded.nbytes
    with nullcontext(decoded.reshape(-1)) if uncompressed else _scratch_buffer(size) as stored:
        disk.read(path, stored.data, offset)
        if not chunk_is_sound(stored.data, labels, checksum):
            raise ValueError("the checksum of chunk and labels is wrong")
        if not uncompressed:
            decode(codec, stored.data, decoded)


def _scatter(images: np.ndarray, target: np.ndarray, slots: np.ndarray) -> None:
    """Do `target[slots] = images`, fast and without the GIL."""
    size = math.prod(images.shape[1:])
    if size >= _LARGE:
        for slot, image in zip(slots.tolist(), images, strict=True):
            target[slot] = image
        return
    # As cells of untyped bytes, several per image: NumPy releases the GIL for about 500 elements or more.
    cells = next(count for count in (16, 8, 4, 2, 1) if not size % count)
    cell = f"V{size // cells}"
    where = (slots[:, None] * cells + _CELLS[:cells]).reshape(-1)
    target.reshape(-1).view(cell)[where] = images.reshape(-1).view(cell)


@contextmanager
def _scratch_buffer(size: int) -> Iterator[np.ndarray]:
    """Yield `size` bytes (uint8) that were used last, which may still be in the cache of this core."""
    try:
        memory = _scratch.pop()
    except IndexError:
        memory = np.empty(0, np.uint8)
    if len(memory) < size:
        memory = np.empty(size + (size >> 2), np.uint8)
    try:
        yield memory[:size]
    finally:
        _scratch.append(memory)
