"""Writing of source files. The disk may be full at any moment: HDF5's own writes go through `hdf5_output`."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ..shared.hdf5_output import hdf5_output
from ..shared.preallocate import reserve
from ..shared.types import Shape
from .source_digest import content_digest
from .source_file import DIGEST_BYTES, FORMAT, KIND, columns_digest, open_source_file, origins_digest
from .source_seal import add_seal

_PAGE = 4096
_STRINGS = h5py.string_dtype()


class Offsets(NamedTuple):
    """Byte offsets in a file at which its columns begin."""

    image: int
    digest: int
    dhash: int
    preallocated: bool
    """Whether disk space for the images is allocated, so that they may be written through a memory map."""


def create(path: Path, num_images: int, shape: Shape) -> Offsets:
    """Create the file with space for images, digests and hashes, and return the offsets of these.

    The images begin on a page boundary, so that small images cross as few pages as possible. Raises `OSError` if the
    disk is full.
    """
    with hdf5_output(path, "x", alignment_threshold=_PAGE, alignment_interval=_PAGE) as (file, _):
        # The attribute is far from the seal at the end of the file, so that no small damage removes both.
        file.attrs["sealed"] = np.uint8(0)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.CONTIGUOUS)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)

        def allocate(name: bytes, shape: tuple[int, ...], kind: h5py.h5t.TypeID) -> int:
            return h5py.h5d.create(file.id, name, kind, h5py.h5s.create_simple(shape), plist).get_offset()

        image = allocate(b"image", (num_images, *shape), h5py.h5t.NATIVE_UINT8)
        digest, dhash = (allocate(name, (num_images, 2), h5py.h5t.STD_U64LE) for name in (b"digest", b"likeness"))
    return Offsets(image, digest, dhash, reserve(path, image, num_images * math.prod(shape)))


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

    `origins` yields the origins in order of row, several at a time. Raises `OSError` if the disk is full.
    """
    with hdf5_output(path, "r+") as (file, check):
        height, width, channels = map(int, file["image"].shape[1:])
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
            check()
        file.create_dataset("note", data=np.array(list(map(_encodable, notes)), object), dtype=_STRINGS)
        lines = [(_encodable(where), _encodable(reason)) for where, reason in skipped]
        file.create_dataset("skipped", data=np.array(lines, object).reshape(-1, 2), dtype=_STRINGS)
        digest = content_digest(
            (height, width, channels), class_names, group_names, (labels, groups, splits), block_digests
        )
        file.attrs.update(kind=KIND, format=FORMAT, name=name, digest=digest, decided=_encodable(decided))
        file.attrs["preprocessing"] = json.dumps(preprocessing)


def add_pairs(path: Path, duplicates: np.ndarray, near_duplicates: np.ndarray, complete: bool) -> None:
    """Write the pairs of rows (int64 (k, 2)) that are duplicates and near-duplicates, the digests, and the seal.

    `complete` says whether all candidates for near-duplicates were compared. Raises `OSError` if the disk is full.
    """
    with hdf5_output(path, "r+") as (file, _):
        file["copy"], file["alike"] = duplicates, near_duplicates
        file["alike"].attrs["complete"] = complete
    written = open_source_file(path)
    digests = {"columns": columns_digest(written), "origins": origins_digest(written)}
    with hdf5_output(path, "r+") as (file, _):
        file.attrs.update(digests)
        file.attrs.modify("sealed", np.uint8(1))
    sizes = ((written.offset, math.prod(written.shape)), (written.digest_offset or 0, DIGEST_BYTES))
    add_seal(
        path,
        [(offset, offset + written.num_images * each) for offset, each in sizes],
        {"digest": written.digest, "columns": digests["columns"], "shape": [written.num_images, *written.shape]},
    )


def _encodable(text: str) -> str:
    """Return `text` with the bytes of paths that are not in UTF-8 as `\\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode()
