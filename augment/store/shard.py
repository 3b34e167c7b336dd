"""A shard: one HDF5 file with a run of positions. Any HDF5 program with the filter shows what is in it.

`image` uint8 (n, H, W, C) in chunks of whole pictures, `label` int32 (n,), `row` int64 (n,) in the
source file, `checksum` uint32 (chunks,): CRC-32 of each stored chunk and its labels; `rejected`, where label safety
rejected any, the attempts that were not taken. Chunks are compressed here, outside the HDF5 library and its lock, and
stored as they are.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import hdf5plugin
import numpy as np
import xxhash
from isal import isal_zlib

from ..errors import EpochbankError
from ..shared.profile import Profile
from .codec import encode
from .digest import add, digest_of, file_checksum, to_hex
from .manifest import Entry

REJECTED = np.dtype([("position", "<i8"), ("attempt", "u1"), ("operation", "S64"), ("lost", "<f4")])
"""An attempt at a position that label safety rejected: the number of the draw; the operation to blame, which is
whichever took the most ink, or the last where the picture came out blank; the share of ink lost, 0 where blank."""


class Run(NamedTuple):
    """What stands at a run of positions."""

    pictures: np.ndarray
    """uint8 (m, H, W, C)."""
    labels: np.ndarray
    """int32 (m,)."""
    rows: np.ndarray
    """int64 (m,): rows in the source file."""
    rejected: np.ndarray = np.empty(0, REJECTED)
    """`REJECTED` (k,): the attempts that were not taken, of distorted pictures."""


_FILTERS: dict[str, dict] = {
    "zstd": dict(hdf5plugin.Zstd(clevel=1)),
    "lz4": dict(hdf5plugin.LZ4()),
    "gzip": {"compression": "gzip", "compression_opts": 1},
    "none": {},
}


@dataclass(frozen=True)
class ShardTask:
    """What one shard is to hold: positions start, ..., start + images - 1 of a part or stored epoch."""

    part: str
    epoch: int
    start: int
    images: int
    chunk: int
    codec: str

    @property
    def stop(self) -> int:
        """The position after the last."""
        return self.start + self.images

    @property
    def file(self) -> str:
        """Path within the set's directory."""
        folder = f"epoch-{self.epoch:04d}" if self.part == "epoch" else self.part
        return f"{folder}/{self.start:010d}.h5"


def in_chunks(run: Run, start: int, chunk: int) -> Iterator[Run]:
    """`run`, whose first position is `start`, in runs of at most `chunk` pictures."""
    where = (run.rejected["position"] - start) // chunk
    for number, at in enumerate(range(0, len(run.pictures), chunk)):
        pictures, labels, rows = (column[at : at + chunk] for column in run[:3])
        yield Run(pictures, labels, rows, run.rejected[where == number])


def write_shard(
    path: Path,
    task: ShardTask,
    shape: tuple[int, int, int],
    fingerprint: str,
    runs: Iterable[Run],
    profile: Profile | None = None,
    *,
    attempts: int = 0,
) -> Entry:
    """Write the pictures of `runs`, one chunk each, to the new file `path`; returns the entry to publish it with.

    Memory: one chunk, and 12 bytes a picture. `path` is closed but not yet synced or published. Into `profile` go
    the seconds of each step. `attempts` is the number of draws after which label safety leaves a picture undistorted.
    """
    try:
        return _write(path, task, shape, fingerprint, runs, profile or Profile(), attempts)
    except RuntimeError as error:  # What HDF5 makes of a disk that is full when a file is closed.
        raise OSError(str(error)) from error


def _write(
    path: Path,
    task: ShardTask,
    shape: tuple[int, int, int],
    fingerprint: str,
    runs: Iterable[Run],
    profile: Profile,
    attempts: int,
) -> Entry:
    labels = np.empty(task.images, np.int32)
    rows = np.empty(task.images, np.int64)
    chunk = min(task.chunk, task.images)
    checksums = np.empty(-(-task.images // chunk), np.uint32)
    rejected: list[np.ndarray] = []
    digest, filled = 0, 0
    with h5py.File(path, "x") as file:
        image = file.create_dataset(
            "image", (task.images, *shape), np.uint8, chunks=(chunk, *shape), **_FILTERS[task.codec]
        )
        for number, run in enumerate(runs):
            pictures, count = run.pictures, len(run.pictures)
            with profile.of("digest", count):
                digest = add(digest, digest_of(task.start + filled, pictures, run.labels, run.rows))
            labels[filled : filled + count], rows[filled : filled + count] = run.labels, run.rows
            if count < chunk:  # HDF5 stores whole chunks.
                pictures = np.concatenate([pictures, np.zeros((chunk - count, *shape), np.uint8)])
            with profile.of(f"encode ({task.codec})", count):
                stored = encode(task.codec, pictures)
            with profile.of("write", count):
                image.id.write_direct_chunk((filled, 0, 0, 0), stored)
                checksums[number] = chunk_checksum(stored, labels[filled : filled + count])
            filled += count
            rejected.append(run.rejected)
        file["label"], file["row"], file["checksum"] = labels, rows, checksums
        file.attrs.update(_attributes(task, fingerprint, digest))
        image.attrs["contents"] = "pictures, (position, height, width, channel), ink bright on black"
        file["label"].attrs["contents"] = "class index of each picture; the names are in set.json"
        file["row"].attrs["contents"] = "row of each picture in the source file"
        file["checksum"].attrs["contents"] = "CRC-32 of each stored chunk of image, then its labels"
        table = np.concatenate(rejected)
        if len(table):
            file["rejected"] = table
            file["rejected"].attrs["contents"] = "attempts that label safety rejected, and the operation to blame"
    with profile.of("checksum of the file", task.images):
        checksum = file_checksum(path)
    return Entry(
        part=task.part,
        epoch=task.epoch,
        start=task.start,
        images=task.images,
        chunk=chunk,
        codec=task.codec,
        file=task.file,
        bytes=path.stat().st_size,
        checksum=checksum,
        digest=to_hex(digest),
        redrawn=len(np.unique(table["position"])),
        undistorted=int(np.sum(table["attempt"] + 1 == attempts)),
    )


def chunk_checksum(stored: bytes | bytearray | memoryview, labels: np.ndarray) -> int:
    """CRC-32 (that of zlib, RFC 1952) of a chunk as it is stored, then of the labels (int32 (m,)) of its pictures."""
    return isal_zlib.crc32(labels.data, isal_zlib.crc32(stored))


def chunk_is_sound(stored: bytes | bytearray | memoryview, labels: np.ndarray, checksum: np.integer) -> bool:
    """Whether a chunk and its labels are what was written; `checksum` as the shard's dataset has it.

    Shards of the first development versions have XXH3-64, uint64, instead of the faster CRC-32.
    """
    if checksum.dtype == np.uint32:
        return chunk_checksum(stored, labels) == checksum
    state = xxhash.xxh3_64(stored)
    state.update(labels.data)
    return state.intdigest() == checksum


def _attributes(task: ShardTask, fingerprint: str, digest: int) -> dict:
    what = f"stored epoch {task.epoch}, distorted" if task.part == "epoch" else f"{task.part} part, undistorted"
    return {
        "about": f"epochbank shard: positions {task.start} to {task.stop - 1} of the {what}",
        "fingerprint": fingerprint,
        "part": task.part,
        "epoch": task.epoch,
        "start": task.start,
        "codec": task.codec,
        "digest": to_hex(digest),
    }


def read_run(directory: Path, entry: Entry, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, labels and rows at positions `first` to `last` - 1, which `entry` must hold, through the HDF5 library.

    Raises `EpochbankError` where the file is missing or damaged.
    """
    low, high = first - entry.start, last - entry.start
    with _opened(directory, entry) as file:
        return file["image"][low:high], file["label"][low:high], file["row"][low:high]


def read_rejected(directory: Path, entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    """The attempts that label safety rejected in a shard (`REJECTED` (k,)), and their pictures' labels (int32 (k,)).

    Raises `EpochbankError` where the file is missing or damaged.
    """
    with _opened(directory, entry) as file:
        table = file["rejected"][()] if "rejected" in file else np.empty(0, REJECTED)
        return table, file["label"][()][table["position"] - entry.start]


@contextmanager
def _opened(directory: Path, entry: Entry) -> Iterator[h5py.File]:
    path = directory / entry.file
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except (OSError, KeyError) as error:
        raise EpochbankError(
            f"{path} cannot be read: {error}. `augment verify` lists all damaged shards and says how to have them "
            "made again."
        ) from error
