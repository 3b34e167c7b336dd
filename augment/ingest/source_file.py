"""A source file: a source imported once. HDF5, its pictures uncompressed in one piece.

`image` uint8 (N, H, W, C), contiguous, so that any row is one read, and workers write side by side;
`label` int32 (N,); where there are groups, `group` int32 (N,) and `group_name`; `class_name`; where the source
names parts, `part` int8 (N,); `origin`: where each picture came from; `note`: what people were told of the import;
`skipped`: what `--on-bad skip` left out, and why; `digest` uint64 (N, 2) and `likeness` uint64 (N, 2) of each
picture's pixels; `copy` and `alike`: pairs of rows whose pictures are the same, and nearly so.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from ..distortion.operations.base import Shape
from ..errors import EpochbankError
from ..shared.preallocate import reserve
from ..store.description import PARTS

FORMAT = 2
"""Of new files. Format 1 had no `part`, `digest`, `likeness`, `copy` and `alike`; it is read as well."""
KIND = "epochbank source"

_LARGEST_BLOCK = 4 << 20
_PAGE = 4096
_STRINGS = h5py.string_dtype()
NO_PAIRS = np.empty((0, 2), np.int64)

ReadMany = Callable[[int, np.ndarray, np.ndarray], int]
"""`read_many(descriptor, pictures, offsets)` fills pictures from offsets of a file and returns how many it could."""


@dataclass(frozen=True)
class SourceFile:
    """What a source file says of itself, and where its pictures lie."""

    path: Path
    name: str
    digest: str
    """SHA-256 of pixels, labels, groups and names, hexadecimal; paths and decisions on the way have no part."""
    shape: Shape
    images: int
    offset: int
    """Byte at which the pictures begin."""
    class_names: list[str]
    group_names: list[str] | None
    decided: str
    """What the import decided (colour, inversion), for people."""
    skipped: int
    """Bad pictures left out."""
    notes: list[str] = field(default_factory=list)
    """What people were told of the import, one sentence each."""
    parts: tuple[str, ...] = ()
    """The parts that the source names itself."""
    copies: int | None = 0
    """Pictures that are copies of an earlier one; None where the file is from before they were looked for."""
    alike_complete: bool = True
    """Whether all pairs were looked at that may be nearly alike; else there may be more."""

    def column(self, name: str) -> np.ndarray:
        """`label`, `group`, `part`, `copy` or `alike`, whole."""
        with h5py.File(self.path, "r", locking="best-effort") as file:
            if name in ("copy", "alike") and name not in file:
                return NO_PAIRS  # Format 1 did not look for any.
            return file[name][()]

    def skipped_names(self) -> list[tuple[str, str]]:
        """What was left out as bad, and why."""
        with h5py.File(self.path, "r", locking="best-effort") as file:
            return [(origin, reason) for origin, reason in file["skipped"].asstr()[()]]

    def origin(self, row: int) -> str:
        """Where a picture came from."""
        with h5py.File(self.path, "r", locking="best-effort") as file:
            return file["origin"].asstr()[row]

    def read(self, rows: np.ndarray, read_many: ReadMany | None = None) -> np.ndarray:
        """Pictures at `rows` (int64 (n,), any order), uint8 (n, H, W, C), around the HDF5 library.

        Raises `EpochbankError` where the file is gone or cut short. `read_many` reads as many as it can first.
        """
        pictures = np.empty((len(rows), *self.shape), np.uint8)
        offsets = self.offset + rows * math.prod(self.shape)
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise EpochbankError(f"the source file {self.path} is gone. Import the source again.") from error
        try:
            done = read_many(descriptor, pictures, offsets) if read_many else 0
            for picture, offset, row in zip(
                pictures[done:], offsets[done:].tolist(), rows[done:].tolist(), strict=True
            ):
                if os.preadv(descriptor, [picture.data], offset) != picture.nbytes:
                    raise EpochbankError(f"{self.path} is cut short at row {row}. Import the source again.")
        finally:
            os.close(descriptor)
        return pictures


def _named(parts: np.ndarray) -> tuple[str, ...]:
    """The names of those that occur in `parts` (int8 (N,), -1 for none)."""
    return tuple(PARTS[number] for number in np.unique(parts).tolist() if number >= 0)


def block_rows(shape: Shape) -> int:
    """Rows of one block of the digest, and of one task of the import: up to 1,024, up to 4 MiB."""
    return max(1, min(1024, _LARGEST_BLOCK // math.prod(shape)))


class Places(NamedTuple):
    """The bytes of a file at which its columns begin."""

    image: int
    digest: int
    likeness: int
    reserved: bool
    """Whether room for the pictures is set aside, so that they may be written by way of a memory map."""


def create(path: Path, images: int, shape: Shape) -> Places:
    """Make the file with room for its pictures and for what is known of each; returns where they begin.

    That is the beginning of a page, so that no picture of a page or less lies on more of them than it must.
    """
    with h5py.File(path, "x", alignment_threshold=_PAGE, alignment_interval=_PAGE) as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.CONTIGUOUS)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)

        def room(name: bytes, shape: tuple[int, ...], kind: h5py.h5t.TypeID) -> int:
            return h5py.h5d.create(file.id, name, kind, h5py.h5s.create_simple(shape), plist).get_offset()

        image = room(b"image", (images, *shape), h5py.h5t.NATIVE_UINT8)
        digest, likeness = (room(name, (images, 2), h5py.h5t.STD_U64LE) for name in (b"digest", b"likeness"))
    return Places(image, digest, likeness, reserve(path, image, images * math.prod(shape)))


def mapped(path: Path, name: str) -> np.ndarray:
    """A column that lies in the file in one piece, memory-mapped, read-only."""
    with h5py.File(path, "r", locking="best-effort") as file:
        dataset = file[name]
        return np.memmap(path, dataset.dtype, "r", dataset.id.get_offset(), dataset.shape)


def finish(
    path: Path,
    *,
    name: str,
    labels: np.ndarray,
    class_names: list[str],
    groups: np.ndarray | None,
    group_names: list[str] | None,
    parts: np.ndarray | None,
    block_digests: Iterable[bytes],
    origins: Iterable[list[str]],
    skipped: list[tuple[str, str]],
    notes: list[str],
    decided: str,
) -> None:
    """Write everything but the pictures and what is known of each, which lie in the file already, with the digest over
    all; `origins` come in runs, in order of row."""
    with h5py.File(path, "r+") as file:
        shape = file["image"].shape[1:]
        file["label"] = labels
        file.create_dataset("class_name", data=class_names, dtype=_STRINGS)
        if groups is not None:
            file["group"] = groups
            file.create_dataset("group_name", data=group_names, dtype=_STRINGS)
        if parts is not None:
            file["part"] = parts
        origin = file.create_dataset("origin", (len(labels),), _STRINGS, chunks=(min(len(labels), 4096),))
        at = 0
        for run in origins:
            origin[at : at + len(run)] = run
            at += len(run)
        file.create_dataset("note", data=np.array(notes, object), dtype=_STRINGS)
        file.create_dataset("skipped", data=np.array(skipped, object).reshape(-1, 2), dtype=_STRINGS)
        head = {"shape": [int(side) for side in shape], "classes": class_names, "groups": group_names}
        digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(labels, "<i4").data)
        if groups is not None:
            digest.update(np.ascontiguousarray(groups, "<i4").data)
        if parts is not None:
            digest.update(np.ascontiguousarray(parts, "i1").data)
        for block in block_digests:
            digest.update(block)
        file.attrs.update(kind=KIND, format=FORMAT, name=name, digest=digest.hexdigest(), decided=decided)


def add_pairs(path: Path, copies: np.ndarray, alike: np.ndarray, complete: bool) -> None:
    """Write the pairs of rows (int64 (k, 2)) whose pictures are the same, and nearly so; and whether of these all that
    came into question were looked at."""
    with h5py.File(path, "r+") as file:
        file["copy"], file["alike"] = copies, alike
        file["alike"].attrs["complete"] = complete


def is_source_file(path: Path) -> bool:
    """True for an HDF5 file that `augment import` made."""
    if path.suffix.lower() not in (".h5", ".hdf5") or not path.is_file():
        return False
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return file.attrs.get("kind") == KIND
    except OSError:
        return False  # Not HDF5: what it is instead is told where it is read as arrays.


def open_source_file(path: Path) -> SourceFile:
    """Read what a source file says of itself; `EpochbankError` for a newer format or a damaged file."""
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            if not 1 <= file.attrs["format"] <= FORMAT:
                raise EpochbankError(
                    f"{path} is a source file of format {file.attrs['format']}; this epochbank reads 1 to {FORMAT}. "
                    "Upgrade epochbank, or import the source again."
                )
            images, *shape = file["image"].shape
            return SourceFile(
                path=path.resolve(),
                name=file.attrs["name"],
                digest=file.attrs["digest"],
                shape=(shape[0], shape[1], shape[2]),
                images=images,
                offset=file["image"].id.get_offset(),
                class_names=file["class_name"].asstr()[()].tolist(),
                group_names=file["group_name"].asstr()[()].tolist() if "group_name" in file else None,
                decided=file.attrs["decided"],
                skipped=len(file["skipped"]),
                notes=file["note"].asstr()[()].tolist() if "note" in file else [],
                parts=_named(file["part"][()]) if "part" in file else (),
                copies=len(file["copy"]) if "copy" in file else None,
                alike_complete=bool(file["alike"].attrs["complete"]) if "alike" in file else True,
            )
    except (OSError, KeyError) as error:
        raise EpochbankError(f"the source file {path} is damaged ({error}). Import the source again.") from error
