"""The chunk table: where each chunk of a part or stored epoch lies, and how to read one.

Which chunks there are is in the manifest. Where they lie is asked of the HDF5 library once for each
shard, when its first chunk is wanted; chunks are then read and decoded around the library, outside its lock
and Python's, straight into the caller's memory. A filter that is not one of ours is left to the library.
"""

import math
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from h5py import h5d, h5f, h5p, h5s

from ...augment.errors import EpochbankError
from ...augment.store.codec import CODECS, decode
from ...augment.store.manifest import Entry
from ...augment.store.shard import chunk_is_sound, read_run
from .disk import Disk

_scratch: list[np.ndarray] = []
"""Memory that was lent before: as many pieces, a chunk each, as were ever in use at once."""
_LARGE = 1 << 14
"""Bytes of a picture from which copying them one by one costs no more than copying them together."""
_CELLS = np.arange(16)


@dataclass(frozen=True)
class _Locations:
    """Where the chunks of one shard lie. 20 bytes a chunk."""

    offsets: np.ndarray
    """int64: of the stored chunk in the file, bytes."""
    sizes: np.ndarray
    """int64: stored bytes."""
    checksums: np.ndarray
    """uint32 or uint64 (`store.shard.chunk_is_sound`)."""
    labels: int
    """Offset of the labels in the file, bytes."""


class ChunkTable:
    """All chunks of a part or stored epoch, in order of position. Thread-safe."""

    def __init__(self, directory: Path, entries: Sequence[Entry], shape: tuple[int, int, int]):
        """`entries` are the shards in the set's `directory`, `shape` the (H, W, C) of a picture."""
        self.shape = shape
        self.shards = tuple(sorted(entries, key=lambda entry: entry.start))
        self._directory = directory
        self._paths = [str(directory / entry.file) for entry in self.shards]
        self._first = [0, *accumulate(-(-entry.images // entry.chunk) for entry in self.shards)]
        """shards + 1 of them: number of each shard's first chunk."""
        starts = [np.arange(0, entry.images, entry.chunk) for entry in self.shards]
        self.images = np.concatenate(
            [np.minimum(entry.chunk, entry.images - at) for entry, at in zip(self.shards, starts, strict=True)]
            or [np.empty(0, np.int64)]
        )
        """int64: pictures in each chunk."""
        self._locating = threading.Lock()
        self._located: dict[int, _Locations | None] = {}

    @property
    def chunk_bytes(self) -> int:
        """Decoded bytes of the largest chunk."""
        return int(self.images.max(initial=0)) * int(np.prod(self.shape))

    def read(
        self,
        number: int,
        images: np.ndarray,
        labels: np.ndarray,
        disk: Disk | None = None,
        slots: np.ndarray | None = None,
    ) -> None:
        """Read and decode chunk `number`, m pictures, into `images` (uint8 (m, H, W, C)) and `labels` (int32 (m,)).

        With `slots` (int64 (m,)), its k-th picture becomes `images[slots[k]]`, and likewise its label. All arrays are
        contiguous. Raises `EpochbankError` where the chunk is damaged.
        """
        disk = disk or Disk()
        which = bisect_right(self._first, number) - 1
        entry, path, within = self.shards[which], self._paths[which], number - self._first[which]
        start, count = entry.start + within * entry.chunk, int(self.images[number])
        if which not in self._located:
            with disk.waiting(), self._locating:
                if which not in self._located:
                    self._located[which] = _locate(path, entry)
        located = self._located[which]
        names = labels if slots is None else np.empty(count, np.int32)
        # By way of memory in this core's cache, where they are to be scattered, or are filled up with zeros.
        straight = slots is None and count == entry.chunk
        with _borrowed(0 if straight else entry.chunk * math.prod(self.shape)) as memory:
            decoded = images if straight else memory.reshape(entry.chunk, *self.shape)
            if located is None:
                with disk.waiting():
                    decoded[:count], names[:], _ = read_run(self._directory, entry, start, start + count)
            else:
                at = located.labels + 4 * within * entry.chunk
                offset, size = int(located.offsets[within]), int(located.sizes[within])
                try:
                    disk.read(path, names.data.cast("B"), at)
                    _read(disk, path, offset, size, entry.codec, names, located.checksums[within], decoded)
                except (OSError, ValueError, RuntimeError) as error:
                    damaged = "`augment verify` lists all damaged shards and says how to have them made again."
                    remedy = "See to the disk." if isinstance(error, OSError) else damaged
                    raise EpochbankError(
                        f"{path}, chunk {within}, positions {start} to {start + count - 1} (bytes {offset} to "
                        f"{offset + size - 1}) cannot be read: {error}. {remedy}"
                    ) from error
            if slots is not None:
                _scatter(decoded[:count], images, slots)
                labels[slots] = names
            elif not straight:
                images[:] = decoded[:count]


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
    """A stored chunk, verified together with its labels, into `decoded`."""
    plain = codec == "none" and size == decoded.nbytes
    with nullcontext(decoded.reshape(-1)) if plain else _borrowed(size) as stored:
        disk.read(path, stored.data, offset)
        if not chunk_is_sound(stored.data, labels, checksum):
            raise ValueError("chunk or labels have another checksum than when they were written")
        if not plain:
            decode(codec, stored.data, decoded)


def _scatter(pictures: np.ndarray, images: np.ndarray, slots: np.ndarray) -> None:
    """`images[slots] = pictures`, fast and without Python's lock."""
    size = math.prod(pictures.shape[1:])
    if size >= _LARGE:
        for slot, picture in zip(slots.tolist(), pictures, strict=True):
            images[slot] = picture
        return
    # In cells of untyped bytes, several to a picture: from some 500 on, NumPy lets go of the lock.
    cells = next(count for count in (16, 8, 4, 2, 1) if not size % count)
    cell = f"V{size // cells}"
    where = (slots[:, None] * cells + _CELLS[:cells]).reshape(-1)
    images.reshape(-1).view(cell)[where] = pictures.reshape(-1).view(cell)


@contextmanager
def _borrowed(size: int) -> Iterator[np.ndarray]:
    """`size` bytes, uint8, that others used before: the last one's, which a core's cache may still hold."""
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


def _locate(path: str, entry: Entry) -> _Locations | None:
    """Where the chunks of a shard lie; None where they went through a filter that is not its codec's."""
    try:
        # The library's low-level calls: an epoch's first batches wait for this, shard by shard.
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_file_locking(True, True)  # What h5py.File calls "best-effort".
        file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY, access)
        try:
            image, label, checksum = (h5d.open(file, name) for name in (b"image", b"label", b"checksum"))
            found: list[h5d.StoreInfo] = []
            image.chunk_iter(found.append)
            labels = label.get_offset()
            if not _as_written(image, found, entry) or labels is None:
                return None
            chunks = -(-entry.images // entry.chunk)
            checksums = np.empty(checksum.shape, checksum.dtype)
            if len(found) != chunks or len(checksums) != chunks:
                raise OSError(f"it has {len(found)} chunks; expected {chunks}")
            checksum.read(h5s.ALL, h5s.ALL, checksums)
        finally:
            file.close()
    except (OSError, KeyError, ValueError, RuntimeError) as error:  # HDF5 raises each of them for damage.
        raise EpochbankError(
            f"{path} cannot be read: {error}. `augment verify` lists all damaged shards and says how to have "
            "them made again."
        ) from error
    offsets, sizes = np.empty(chunks, np.int64), np.empty(chunks, np.int64)
    for chunk in found:
        at = chunk.chunk_offset[0] // entry.chunk
        offsets[at], sizes[at] = chunk.byte_offset, chunk.size
    return _Locations(offsets, sizes, checksums, labels)


def _as_written(image: h5d.DatasetID, found: list[h5d.StoreInfo], entry: Entry) -> bool:
    """Whether the pictures went through their codec's filter and no other, in chunks of the size expected."""
    properties = image.get_create_plist()
    filters = [properties.get_filter(at)[0] for at in range(properties.get_nfilters())]
    expected = [] if CODECS[entry.codec] is None else [CODECS[entry.codec]]
    return (
        filters == expected
        and properties.get_chunk()[0] == entry.chunk
        and not any(chunk.filter_mask for chunk in found)
    )
