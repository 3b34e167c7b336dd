"""A shard: one HDF5 file with the images of consecutive positions. Any HDF5 program with the filter can read it.

Datasets: `image` uint8 (n, H, W, C) in chunks of whole images, `label` int32 (n,), `row` int64 (n,) in the source file,
`checksum` uint32 (chunks,), the CRC-32 of each stored chunk and its labels, and `rejected`, the rejected attempts, if
there are any. Chunks are compressed outside the HDF5 library and its lock, and written as they are.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import hdf5plugin
import numpy as np
from h5py import h5f, h5fd, h5p
from h5py._objects import phil
from isal import isal_zlib

from ..shared.hdf5_output import hdf5_output
from ..shared.profile import Profile
from .codec import encode
from .digest import add, digest_of, file_checksum, to_hex
from .manifest import Entry, shard_file

IDENTITY = "identity"
"""Attribute of a shard with `identity_of` it, as a string of fixed length: HDF5 has checksums of those only."""

REJECTED = np.dtype([("position", "<i8"), ("attempt", "u1"), ("operation", "S64"), ("lost", "<f4")])
"""A rejected attempt at an image: its position, the number of the attempt, the operation that removed the most ink (the
last one if the image became blank), and the share of ink lost (0 if it became blank)."""


class Run(NamedTuple):
    """The images at a run of consecutive positions."""

    images: np.ndarray
    """uint8 (m, H, W, C)."""
    labels: np.ndarray
    """int32 (m,)."""
    rows: np.ndarray
    """int64 (m,): rows in the source file."""
    rejected: np.ndarray = np.empty(0, REJECTED)
    """`REJECTED` (k,): the rejected attempts at these images."""


_FILTERS: dict[str, dict] = {
    "zstd": dict(hdf5plugin.Zstd(clevel=1)),
    "lz4": dict(hdf5plugin.LZ4()),
    "gzip": {"compression": "gzip", "compression_opts": 1},
    "none": {},
}


@dataclass(frozen=True)
class ShardTask:
    """A shard to write: positions start to start + num_images - 1 of a split or stored epoch."""

    split: str
    epoch: int
    start: int
    num_images: int
    chunk: int
    codec: str

    @property
    def stop(self) -> int:
        """Position after the last image."""
        return self.start + self.num_images

    @property
    def file(self) -> str:
        """Path relative to the set's directory."""
        return shard_file(self.split, self.epoch, self.start)


def in_chunks(run: Run, start: int, chunk: int) -> Iterator[Run]:
    """Divide `run`, whose first position is `start`, into runs of at most `chunk` images."""
    chunk_of = (run.rejected["position"] - start) // chunk
    for number, at in enumerate(range(0, len(run.images), chunk)):
        images, labels, rows = (column[at : at + chunk] for column in run[:3])
        yield Run(images, labels, rows, run.rejected[chunk_of == number])


def write_shard(
    path: Path,
    task: ShardTask,
    shape: tuple[int, int, int],
    fingerprint: str,
    runs: Iterable[Run],
    profile: Profile | None = None,
) -> Entry:
    """Write a shard to the new file `path` and return its manifest entry. The file is neither synced nor published.

    Memory: one chunk, and 12 bytes per image.

    Parameters
    ----------
    path
        File to create.
    task
        What the shard contains.
    shape
        (H, W, C) of an image.
    fingerprint
        Fingerprint of the set.
    runs
        Images in order of position, one chunk each; the last may be smaller.
    profile
        Collects the seconds of each step.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    profile = profile or Profile()
    labels = np.empty(task.num_images, np.int32)
    rows = np.empty(task.num_images, np.int64)
    chunk = min(task.chunk, task.num_images)
    checksums = np.empty(-(-task.num_images // chunk), np.uint32)
    rejected: list[np.ndarray] = []
    digest, filled = 0, 0
    # The library does not report every failed write: that of the last labels would go unnoticed.
    with hdf5_output(path, "x", create=new_format) as (file, check):
        image = file.create_dataset(
            "image", (task.num_images, *shape), np.uint8, chunks=(chunk, *shape), **_FILTERS[task.codec]
        )
        for number, run in enumerate(runs):
            images, count = run.images, len(run.images)
            with profile.of("digest", count):
                digest = add(digest, digest_of(task.start + filled, images, run.labels, run.rows))
            labels[filled : filled + count], rows[filled : filled + count] = run.labels, run.rows
            if count < chunk:  # HDF5 stores full chunks only.
                images = np.concatenate([images, np.zeros((chunk - count, *shape), np.uint8)])
            with profile.of(f"encode ({task.codec})", count):
                stored = encode(task.codec, images)
            with profile.of("write", count):
                with phil:  # h5py does not lock this call, in which Python code runs, and so perhaps another thread.
                    image.id.write_direct_chunk((filled, 0, 0, 0), stored)
                checksums[number] = chunk_checksum(stored, labels[filled : filled + count])
            check()
            filled += count
            rejected.append(run.rejected)
        file["label"], file["row"], file["checksum"] = labels, rows, checksums
        file.attrs.update(_attributes(task, fingerprint, digest))
        image.attrs["contents"] = "images, (position, height, width, channel), ink bright on black"
        file["label"].attrs["contents"] = "class index of each image; the names are in set.json"
        file["row"].attrs["contents"] = "row of each image in the source file"
        file["checksum"].attrs["contents"] = "CRC-32 of each stored chunk of image, then its labels"
        table = np.concatenate(rejected)
        if len(table):
            file["rejected"] = table
            file["rejected"].attrs["checksum"] = np.uint32(isal_zlib.crc32(table.tobytes()))
            file["rejected"].attrs["contents"] = (
                "attempts that the label check rejected, and the operation that caused it"
            )
    with profile.of("checksum of the file", task.num_images):
        checksum = file_checksum(path)
    return Entry(
        split=task.split,
        epoch=task.epoch,
        start=task.start,
        num_images=task.num_images,
        chunk=chunk,
        codec=task.codec,
        file=task.file,
        bytes=path.stat().st_size,
        checksum=checksum,
        digest=to_hex(digest),
    )


def new_format(output: io.RawIOBase) -> h5py.File:
    """Create an HDF5 file in format 1.10, which has checksums of headers and of the chunk index; older ones have none.

    The format also stores times, which are turned off: the same shard always has the same bytes.
    """
    creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    creation.set_obj_track_times(False)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_fileobj_driver(h5fd.fileobj_driver, output)
    return h5py.File(h5f.create(repr(output).encode(), h5f.ACC_TRUNC, creation, access))


def chunk_checksum(stored: bytes | bytearray | memoryview, labels: np.ndarray) -> int:
    """Return the CRC-32 (RFC 1952, as `zlib.crc32`) of a stored chunk followed by its labels (int32 (m,))."""
    return isal_zlib.crc32(labels.data, isal_zlib.crc32(stored))


def _attributes(task: ShardTask, fingerprint: str, digest: int) -> dict:
    what = f"stored epoch {task.epoch}, distorted" if task.split == "epoch" else f"{task.split} split, undistorted"
    return {
        "about": f"epochbank shard: positions {task.start} to {task.stop - 1} of the {what}",
        "fingerprint": fingerprint,
        "part": task.split,
        "epoch": task.epoch,
        "start": task.start,
        "codec": task.codec,
        "digest": to_hex(digest),
        IDENTITY: np.bytes_(identity_of(task, to_hex(digest))),
    }


def identity_of(shard: ShardTask | Entry, digest: str) -> str:
    """Return the text by which a reader recognizes a shard whose images have this digest."""
    return f"{shard.split} {shard.epoch} {shard.start} {shard.num_images} {digest}"
