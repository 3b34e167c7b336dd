"""The source file: an imported source in HDF5.

Datasets:

- `image` uint8 (N, H, W, C), uncompressed and contiguous: any row is one read, and workers write in parallel;
- `label` int32 (N,) and `class_name`; if there are groups, `group` int32 (N,) and `group_name`;
- `part` int8 (N,), the split of each image, if the source defines splits;
- `digest` uint64 (N, 2) and `likeness` uint64 (N, 2), the perceptual hash, of each image's pixels;
- `copy` and `alike` int64 (k, 2), pairs of rows that are exact duplicates and near-duplicates;
- `origin`, where each image came from; `note`, the messages of the import; `skipped`, what `--on-bad skip` left out
  and why.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ..errors import EpochbankError
from ..shared.preallocate import reserve
from ..shared.types import NO_PAIRS, SPLITS, Shape

FORMAT = 2
"""Format of new files. Format 1, without `part`, `digest`, `likeness`, `copy` and `alike`, can still be read."""
KIND = "epochbank source"

_DATASETS = {"split": "part", "duplicates": "copy", "near_duplicates": "alike"}
"""Columns whose datasets have another name in the file."""
_LARGEST_BLOCK = 4 << 20
_PAGE = 4096
_STRINGS = h5py.string_dtype()


@dataclass(frozen=True)
class SourceFile:
    """The metadata of a source file, and the place of its images."""

    path: Path
    name: str
    digest: str
    """SHA-256 of pixels, labels, groups, splits and names, hexadecimal. Paths and import options are not part of it."""
    shape: Shape
    num_images: int
    offset: int
    """Byte offset of the first image."""
    class_names: list[str]
    group_names: list[str] | None
    decided: str
    """What the import decided on color, size and inversion, in one sentence."""
    skipped: int
    """Number of unusable images that were left out."""
    notes: list[str] = field(default_factory=list)
    """Messages of the import, one sentence each."""
    splits: tuple[str, ...] = ()
    """Names of the splits that the source defines."""
    duplicates: int | None = 0
    """Number of images that duplicate an earlier one; None in a file of format 1, which does not list them."""
    near_duplicates_complete: bool = True
    """False if there were too many candidates to compare all of them."""
    preprocessing: dict[str, Any] | None = None
    """The fields of `Preprocessing`; None in a file from before they were stored."""

    def column(self, name: str) -> np.ndarray:
        """Return the column `label`, `group`, `split`, `duplicates` or `near_duplicates`."""
        dataset = _DATASETS.get(name, name)
        with h5py.File(self.path, "r", locking="best-effort") as file:
            if dataset in ("copy", "alike") and dataset not in file:
                return NO_PAIRS  # Files of format 1 have none.
            return file[dataset][()]

    def skipped_names(self) -> list[tuple[str, str]]:
        """Return origin and reason of each unusable image that was left out."""
        with h5py.File(self.path, "r", locking="best-effort") as file:
            return [(origin, reason) for origin, reason in file["skipped"].asstr()[()]]

    def origin(self, row: int) -> str:
        """Return where the image of `row` came from."""
        with h5py.File(self.path, "r", locking="best-effort") as file:
            return file["origin"].asstr()[row]

    def read(self, rows: np.ndarray, *, compiled: bool = False) -> np.ndarray:
        """Return the images at `rows` (int64 (n,), any order), uint8 (n, H, W, C), read without the HDF5 library.

        `compiled` reads them in a compiled loop, which needs Numba. Raises `EpochbankError` if the file is missing or
        truncated.
        """
        images = np.empty((len(rows), *self.shape), np.uint8)
        offsets = self.offset + rows * math.prod(self.shape)
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError as error:
            raise EpochbankError(f"the source file {self.path} does not exist. Import the source again.") from error
        try:
            done = 0
            if compiled:
                from .compiled_read import read_images

                done = read_images(descriptor, images, offsets)
            for image, offset, row in zip(images[done:], offsets[done:].tolist(), rows[done:].tolist(), strict=True):
                if os.preadv(descriptor, [image.data], offset) != image.nbytes:
                    raise EpochbankError(
                        f"the source file {self.path} is truncated at row {row}. Import the source again."
                    )
        finally:
            os.close(descriptor)
        return images


def _names_of(splits: np.ndarray) -> tuple[str, ...]:
    """Return the names of the splits that occur in `splits` (int8 (N,), -1 for none)."""
    return tuple(SPLITS[number] for number in np.unique(splits).tolist() if number >= 0)


def block_rows(shape: Shape) -> int:
    """Return the rows of one block of the digest and of one import task: at most 1,024 rows and 4 MiB."""
    return max(1, min(1024, _LARGEST_BLOCK // math.prod(shape)))


class Offsets(NamedTuple):
    """Byte offsets in a file at which its columns begin."""

    image: int
    digest: int
    dhash: int
    preallocated: bool
    """Whether disk space for the images is allocated, so that they may be written through a memory map."""


def create(path: Path, num_images: int, shape: Shape) -> Offsets:
    """Create the file with space for images, digests and hashes, and return the offsets of these.

    The images begin on a page boundary, so that small images cross as few pages as possible.
    """
    with h5py.File(path, "x", alignment_threshold=_PAGE, alignment_interval=_PAGE) as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.CONTIGUOUS)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)

        def allocate(name: bytes, shape: tuple[int, ...], kind: h5py.h5t.TypeID) -> int:
            return h5py.h5d.create(file.id, name, kind, h5py.h5s.create_simple(shape), plist).get_offset()

        image = allocate(b"image", (num_images, *shape), h5py.h5t.NATIVE_UINT8)
        digest, dhash = (allocate(name, (num_images, 2), h5py.h5t.STD_U64LE) for name in (b"digest", b"likeness"))
    return Offsets(image, digest, dhash, reserve(path, image, num_images * math.prod(shape)))


def mapped(path: Path, name: str) -> np.ndarray:
    """Return the contiguous dataset `name` as a read-only memory map."""
    with h5py.File(path, "r", locking="best-effort") as file:
        dataset = file[name]
        return np.memmap(path, dataset.dtype, "r", dataset.id.get_offset(), dataset.shape)


@contextmanager
def images(path: Path) -> Iterator[Callable[[int], np.ndarray]]:
    """Open the file, and return a function that reads the image of a row, uint8 (H, W, C).

    Unlike a memory map, it does not keep the pages that it read in the memory of the process.
    """
    with h5py.File(path, "r", locking="best-effort") as file:
        shape, offset = file["image"].shape[1:], file["image"].id.get_offset()
    size = math.prod(shape)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield lambda row: np.frombuffer(os.pread(descriptor, size, offset + row * size), np.uint8).reshape(shape)
    finally:
        os.close(descriptor)


def finish(
    path: Path,
    *,
    name: str,
    labels: np.ndarray,
    class_names: list[str],
    groups: np.ndarray | None,
    group_names: list[str] | None,
    splits: np.ndarray | None,
    block_digests: Iterable[bytes],
    origins: Iterable[list[str]],
    skipped: list[tuple[str, str]],
    notes: list[str],
    decided: str,
    preprocessing: dict[str, Any],
) -> None:
    """Write everything except images, digests and hashes, which are in the file already, and the digest of it all.

    `origins` yields the origins in order of row, several at a time.
    """
    with h5py.File(path, "r+") as file:
        shape = file["image"].shape[1:]
        file["label"] = labels
        file.create_dataset("class_name", data=class_names, dtype=_STRINGS)
        if groups is not None:
            file["group"] = groups
            file.create_dataset("group_name", data=group_names, dtype=_STRINGS)
        if splits is not None:
            file["part"] = splits
        origin = file.create_dataset("origin", (len(labels),), _STRINGS, chunks=(min(len(labels), 4096),))
        done = 0
        for some in origins:
            origin[done : done + len(some)] = some
            done += len(some)
        file.create_dataset("note", data=np.array(notes, object), dtype=_STRINGS)
        file.create_dataset("skipped", data=np.array(skipped, object).reshape(-1, 2), dtype=_STRINGS)
        head = {"shape": [int(side) for side in shape], "classes": class_names, "groups": group_names}
        digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(labels, "<i4").data)
        if groups is not None:
            digest.update(np.ascontiguousarray(groups, "<i4").data)
        if splits is not None:
            digest.update(np.ascontiguousarray(splits, "i1").data)
        for block in block_digests:
            digest.update(block)
        file.attrs.update(kind=KIND, format=FORMAT, name=name, digest=digest.hexdigest(), decided=decided)
        file.attrs["preprocessing"] = json.dumps(preprocessing)


def add_pairs(path: Path, duplicates: np.ndarray, near_duplicates: np.ndarray, complete: bool) -> None:
    """Write the pairs of rows (int64 (k, 2)) that are duplicates and near-duplicates.

    `complete` says whether all candidates for near-duplicates were compared.
    """
    with h5py.File(path, "r+") as file:
        file["copy"], file["alike"] = duplicates, near_duplicates
        file["alike"].attrs["complete"] = complete


def is_source_file(path: Path) -> bool:
    """Return whether `path` is an HDF5 file written by `augment import`."""
    if path.suffix.lower() not in (".h5", ".hdf5") or not path.is_file():
        return False
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return file.attrs.get("kind") == KIND
    except OSError:
        return False  # Not HDF5; reading it as arrays reports what is wrong.


def open_source_file(path: Path) -> SourceFile:
    """Read the metadata of a source file. Raises `EpochbankError` if it is damaged or of a newer format."""
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            if not 1 <= file.attrs["format"] <= FORMAT:
                raise EpochbankError(
                    f"{path} is a source file of format {file.attrs['format']}; this epochbank reads 1 to {FORMAT}. "
                    "Upgrade epochbank, or import the source again."
                )
            num_images, *shape = file["image"].shape
            return SourceFile(
                path=path.resolve(),
                name=file.attrs["name"],
                digest=file.attrs["digest"],
                shape=(shape[0], shape[1], shape[2]),
                num_images=num_images,
                offset=file["image"].id.get_offset(),
                class_names=file["class_name"].asstr()[()].tolist(),
                group_names=file["group_name"].asstr()[()].tolist() if "group_name" in file else None,
                decided=file.attrs["decided"],
                skipped=len(file["skipped"]),
                notes=file["note"].asstr()[()].tolist() if "note" in file else [],
                splits=_names_of(file["part"][()]) if "part" in file else (),
                duplicates=len(file["copy"]) if "copy" in file else None,
                near_duplicates_complete=bool(file["alike"].attrs["complete"]) if "alike" in file else True,
                preprocessing=json.loads(file.attrs["preprocessing"]) if "preprocessing" in file.attrs else None,
            )
    except (OSError, KeyError) as error:
        raise EpochbankError(f"the source file {path} is damaged ({error}). Import the source again.") from error
