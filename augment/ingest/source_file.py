"""The source file: an imported source in HDF5.

Datasets:

- `image` uint8 (N, H, W, C), uncompressed and contiguous: any row is one read, and workers write in parallel;
- `label` int32 (N,) and `class_name`; if there are groups, `group` int32 (N,) and `group_name`;
- `part` int8 (N,), the split of each image, if the source defines splits;
- `digest` uint64 (N, 2) and `likeness` uint64 (N, 2), the perceptual hash, of each image's pixels;
- `copy` and `alike` int64 (k, 2), pairs of rows that are exact duplicates and near-duplicates;
- `origin`, where each image came from; `note`, the messages of the import; `skipped`, what `--on-bad skip` left out
  and why.

The attribute `digest` is the identity of the content. Damage is found by `digest` of each image that is read, and, when
the file is opened, by its seal (`ingest.source_seal`), a checksum of the rest. Files from before the seal existed have
the attribute `columns`, a digest of all else but origins and hashes, which is compared when the file is opened, and the
attribute `origins`, a digest of the origins, which `augment verify` compares. Files from before `columns` existed are
compared with the identity before a set is begun.
"""

import json
import math
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ..errors import EpochbankError
from ..shared.atomic import naming
from ..shared.hdf5_output import hdf5_input
from ..shared.types import NO_PAIRS, SPLITS, Shape
from ..shared.unreadable import unreadable
from ..store.digest import image_digests
from .source_card import source_card, source_text
from .source_digest import damage_digest, text_digest
from .source_seal import check_seal, has_seal, sealed_facts

FORMAT = 2
"""Format of new files. Format 1, without `part`, `digest`, `likeness`, `copy` and `alike`, can still be read."""
KIND = "epochbank source"

_DATASETS = {"split": "part", "duplicates": "copy", "near_duplicates": "alike"}
"""Columns whose datasets have another name in the file."""
_LARGEST_BLOCK = 4 << 20
DIGEST_BYTES = 16
"""Bytes of the digest of an image."""
_ORIGINS = 4096
"""Origins that are read at once."""
_FAULTS = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError, MemoryError)
"""Exceptions that h5py raises for damaged files."""


class DamagedSource(EpochbankError):
    """A source file that is not as it was written, or no longer exists."""


def damaged(path: Path, what: str) -> DamagedSource:
    """Return the error for the damaged source file `path`; `what` says what is wrong, beginning with a verb."""
    return DamagedSource(
        f"the source file {path} {what}. Import the source again: `augment run` with the original SOURCE does so if "
        "this file is in sets/sources/; or restore it from a copy."
    )


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
    digest_offset: int | None = None
    """Byte offset of the digest of the first image; None in a file of format 1."""
    columns: str | None = None
    """Digest of everything but pixels, origins and hashes, hexadecimal; None in a file from before it was stored."""
    origins: str | None = None
    """Digest of the origins, hexadecimal; None in a file from before it was stored."""

    def __repr__(self) -> str:
        return source_text(self)

    def _repr_html_(self) -> str:
        return source_card(self).to_html()

    @property
    def image_bytes(self) -> int:
        """Bytes of an image."""
        return math.prod(self.shape)

    def column(self, name: str) -> np.ndarray:
        """Return the column `label`, `group`, `split`, `duplicates` or `near_duplicates`.

        Raises `DamagedSource` if it cannot be read.
        """
        dataset = _DATASETS.get(name, name)
        with _opened(self.path) as file:
            if dataset in ("copy", "alike") and dataset not in file:
                return NO_PAIRS  # Files of format 1 have none.
            return _dataset(file, dataset)[()]

    def skipped_names(self) -> list[tuple[str, str]]:
        """Return origin and reason of each unusable image that was left out."""
        with _opened(self.path) as file:
            return [(origin, reason) for origin, reason in _dataset(file, "skipped").asstr()[()]]

    def origin(self, row: int) -> str:
        """Return where the image of `row` came from."""
        return read_origins(self.path, row, row + 1)[0]

    def read(self, rows: np.ndarray, *, compiled: bool = False) -> np.ndarray:
        """Return the images at `rows` (int64 (n,), any order), uint8 (n, H, W, C), read without the HDF5 library.

        Each is compared with its digest. `compiled` reads them in a compiled loop, which needs Numba. Raises
        `DamagedSource` if the file is missing, truncated or damaged.
        """
        images = np.empty((len(rows), *self.shape), np.uint8)
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise damaged(self.path, f"cannot be opened: {error.strerror}") from error
        try:
            self._fill(descriptor, images, self.offset + rows * math.prod(self.shape), rows, compiled)
            if self.digest_offset is not None:
                wrong = (image_digests(images) != self._digests(descriptor, rows)).any(axis=1)
                if wrong.any():
                    raise damaged(self.path, f"is damaged: the image of row {rows[wrong.argmax()]} was changed")
        finally:
            with suppress(OSError):  # It is closed, and nothing was written to it.
                os.close(descriptor)
        return images

    def _digests(self, descriptor: int, rows: np.ndarray) -> np.ndarray:
        """Return the stored digests of `rows`, uint64 (n, 2), through a memory map, which costs least per row."""
        assert self.digest_offset is not None
        first = self.digest_offset - self.digest_offset % mmap.ALLOCATIONGRANULARITY
        stop = self.digest_offset + self.num_images * DIGEST_BYTES
        with naming(self.path):
            if os.fstat(descriptor).st_size < stop:  # Reading such a map would end the process.
                raise damaged(self.path, "is truncated")
            mapped = mmap.mmap(descriptor, stop - first, access=mmap.ACCESS_READ, offset=first)
        with mapped:
            return np.frombuffer(mapped, "<u8", offset=self.digest_offset - first).reshape(-1, 2)[rows]

    def _fill(self, descriptor: int, items: np.ndarray, offsets: np.ndarray, rows: np.ndarray, compiled: bool) -> None:
        """Read each of `items` (n, ...) of `rows` from its byte offset. Raises `DamagedSource` if one is not there."""
        done = 0
        if compiled:
            from .compiled_read import read_items

            done = read_items(descriptor, items, offsets)
        for item, offset, row in zip(items[done:], offsets[done:].tolist(), rows[done:].tolist(), strict=True):
            try:
                size = os.preadv(descriptor, [item.data], offset)
            except OSError as error:
                raise damaged(self.path, f"cannot be read at row {row}: {error.strerror}") from error
            if size != item.nbytes:
                raise damaged(self.path, f"is truncated at row {row}")


def _names_of(splits: np.ndarray) -> tuple[str, ...]:
    """Return the names of the splits that occur in `splits` (int8 (N,), -1 for none)."""
    return tuple(SPLITS[number] for number in np.unique(splits).tolist() if number >= 0)


def block_rows(shape: Shape) -> int:
    """Return the rows of one block of the digest and of one import task: at most 1,024 rows and 4 MiB."""
    return max(1, min(1024, _LARGEST_BLOCK // math.prod(shape)))


def mapped(path: Path, name: str) -> np.ndarray:
    """Return the contiguous dataset `name` as a read-only memory map. Raises `OSError` if it cannot be read."""
    with hdf5_input(path) as file:
        dataset = file[name]
        return np.memmap(path, dataset.dtype, "r", dataset.id.get_offset(), dataset.shape)


@contextmanager
def images(path: Path) -> Iterator[Callable[[int], np.ndarray]]:
    """Open the file, and return a function that reads the image of a row, uint8 (H, W, C).

    Unlike a memory map, it does not keep the pages that it read in the memory of the process. Raises `OSError` if the
    file cannot be read.
    """
    with hdf5_input(path) as file:
        shape, offset = file["image"].shape[1:], file["image"].id.get_offset()
    size = math.prod(shape)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield lambda row: np.frombuffer(os.pread(descriptor, size, offset + row * size), np.uint8).reshape(shape)
    finally:
        os.close(descriptor)


def is_source_file(path: Path) -> bool:
    """Return whether `path` is an HDF5 file written by `augment import`."""
    if path.suffix.lower() not in (".h5", ".hdf5") or not path.is_file():
        return False
    try:
        if has_seal(path):
            return True
        with h5py.File(path, "r", locking="best-effort") as file:
            return file.attrs.get("kind") == KIND
    except OSError:
        return False  # Not HDF5; reading it as arrays reports what is wrong.


def open_source_file(path: Path) -> SourceFile:
    """Read the metadata of a source file, and compare them and the columns with their digest.

    Raises `DamagedSource` if the file is damaged, and `EpochbankError` if it is of a newer format.
    """
    with _opened(path) as file:
        image, digest = _dataset(file, "image"), _dataset(file, "digest") if "digest" in file else None
        num_images, *shape = image.shape
        source = SourceFile(
            path=path.resolve(),
            name=file.attrs["name"],
            digest=file.attrs["digest"],
            shape=(shape[0], shape[1], shape[2]),
            num_images=num_images,
            offset=image.id.get_offset(),
            class_names=_dataset(file, "class_name").asstr()[()].tolist(),
            group_names=_dataset(file, "group_name").asstr()[()].tolist() if "group_name" in file else None,
            decided=file.attrs["decided"],
            skipped=len(_dataset(file, "skipped")),
            notes=_dataset(file, "note").asstr()[()].tolist() if "note" in file else [],
            splits=_names_of(_dataset(file, "part")[()]) if "part" in file else (),
            duplicates=len(_dataset(file, "copy")) if "copy" in file else None,
            near_duplicates_complete=bool(file["alike"].attrs["complete"]) if "alike" in file else True,
            preprocessing=json.loads(file.attrs["preprocessing"]) if "preprocessing" in file.attrs else None,
            digest_offset=None if digest is None else digest.id.get_offset(),
            columns=file.attrs.get("columns"),
            origins=file.attrs.get("origins"),
        )
        _check(source, path.stat().st_size)
    return source


class StoredFacts(NamedTuple):
    """What a damaged source file says about its contents; None for what cannot be read."""

    digest: str | None = None
    columns: str | None = None
    shape: tuple[int, ...] | None = None
    """(N, H, W, C)."""


def stored_facts(path: Path) -> StoredFacts:
    """Return what can be read of a source file that may be damaged."""
    facts = sealed_facts(path)
    if facts is not None:
        return _known(facts.get("digest"), facts.get("columns"), facts.get("shape"))
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return _known(file.attrs["digest"], file.attrs.get("columns"), list(file["image"].shape))
    except _FAULTS:
        return StoredFacts()  # Nothing is known, so nothing can differ.


def _known(digest: Any, columns: Any, shape: Any) -> StoredFacts:
    """Return those of the facts that have the type that they are written with."""
    sides = isinstance(shape, list) and len(shape) == 4 and all(type(side) is int for side in shape)
    return StoredFacts(
        digest if isinstance(digest, str) else None,
        columns if isinstance(columns, str) else None,
        tuple(shape) if sides else None,
    )


def columns_digest(source: SourceFile) -> str:
    """Return the digest of the metadata and columns of a source file; `SourceFile.columns` is what it should be."""
    facts = {
        "name": source.name,
        "digest": source.digest,
        "shape": [source.num_images, *source.shape],
        "classes": source.class_names,
        "groups": source.group_names,
        "decided": source.decided,
        "notes": source.notes,
        "complete": source.near_duplicates_complete,
        "preprocessing": source.preprocessing,
        "skipped": source.skipped_names(),
    }
    names = ("label", *_optional_columns(source), "duplicates", "near_duplicates")
    return damage_digest(facts, map(source.column, names))


def origins_digest(source: SourceFile) -> str:
    """Return the digest of the origins in a source file; `SourceFile.origins` is what it should be."""
    with _opened(source.path) as file:
        origin = _dataset(file, "origin").asstr()
        return text_digest(origin[start : start + _ORIGINS].tolist() for start in range(0, source.num_images, _ORIGINS))


def read_origins(path: Path, start: int, stop: int) -> list[str]:
    """Return where the images of rows `start` to `stop` - 1 of a source file came from."""
    with _opened(path) as file:
        return _dataset(file, "origin").asstr()[start:stop].tolist()


def _optional_columns(source: SourceFile) -> list[str]:
    return [*(["group"] if source.group_names is not None else []), *(["split"] if source.splits else [])]


def _check(source: SourceFile, size: int) -> None:
    """Raise `ValueError` if the metadata of a file of `size` bytes do not fit together, or its columns are damaged."""
    if source.offset + source.num_images * math.prod(source.shape) > size or min(source.shape) < 1:
        raise ValueError("it is truncated")
    labels = source.column("label")
    if labels.shape != (source.num_images,) or labels.min() < 0 or labels.max() >= len(source.class_names):
        raise ValueError("its labels are not those of its classes")
    # The seal, which was compared when the file was opened, covers the columns.
    sealed = has_seal(source.path)
    if not sealed and source.columns is not None and source.columns != columns_digest(source):
        raise ValueError("its labels, names or settings were changed")


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset whose values are in this file and can be in it. Raises `ValueError` for others."""
    link, dataset = file.get(name, getlink=True), file[name]
    if not isinstance(link, h5py.HardLink) or not isinstance(dataset, h5py.Dataset) or dataset.is_virtual:
        raise ValueError(f"{name} is not a dataset of this file")
    if dataset.external is not None:
        raise ValueError(f"{name} is stored in another file")
    if dataset.nbytes > file.id.get_filesize() and name != "origin":
        raise ValueError(f"{name} has {dataset.nbytes:,} bytes, more than the file")
    return dataset


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a source file to read it.

    Raises `DamagedSource` if it is missing, or if reading it fails in the block, and `EpochbankError` if it is of a
    newer format.
    """
    if not path.is_file():  # Opening a pipe would wait for its writer.
        raise damaged(path, "is not a file" if path.exists() else "does not exist")
    try:
        sealed = check_seal(path)
        with h5py.File(path, "r", locking="best-effort") as file:
            found = file.attrs["format"]
            if not 1 <= found <= FORMAT:
                raise EpochbankError(
                    f"{path} is a source file of format {found}; this epochbank reads 1 to {FORMAT}. "
                    "Upgrade epochbank, or import the source again."
                )
            if file.attrs.get("sealed", False) and not sealed:
                raise ValueError("the seal at its end is missing")
            yield file
    except _FAULTS as error:
        other = unreadable(path, error, what="the source file ")
        if other is not None:
            raise other from error
        raise damaged(path, f"is damaged ({error})") from error
