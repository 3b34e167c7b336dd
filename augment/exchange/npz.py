"""NumPy: one uncompressed `.npz` with the arrays of all splits, written chunk by chunk.

Each split has `train_images`, `train_labels`, `train_rows`, `train_epochs`, `train_positions` and, if the export has
groups, `train_groups`. `class_names` (K,) names the labels. Read with `np.load` or as a source of epochbank.
"""

import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .blocks import Block

FILE = "arrays.npz"
OVERHEAD = 40
"""Bytes of an image beside its pixels."""

_COLUMNS: dict[str, np.dtype] = {
    "labels": np.dtype("<i4"),
    "rows": np.dtype("<i8"),
    "epochs": np.dtype("<i4"),
    "positions": np.dtype("<i8"),
}


def write(
    file: BinaryIO,
    splits: Mapping[str, tuple[int, Iterator[Block]]],
    shape: tuple[int, int, int],
    class_names: list[str],
    group_bytes: int | None,
    scratch: Path,
    advance: Callable[[int], object],
) -> None:
    """Write arrays to a new file. Memory: one block; the columns beside the images are kept in `scratch`.

    Parameters
    ----------
    file
        New seekable file.
    splits
        Number of images, and blocks, of each split.
    shape
        (H, W, C) of an image.
    class_names
        Names of the classes.
    group_bytes
        Most bytes of the name of a group, in UTF-8; None if the export has no groups.
    scratch
        Directory for temporary files.
    advance
        Called with the number of images that were written.
    """
    types: dict[str, np.dtype] = dict(_COLUMNS)
    if group_bytes is not None:
        types["groups"] = np.dtype(f"S{max(group_bytes, 1)}")
    with zipfile.ZipFile(file, "w") as archive:
        for split, (count, blocks) in splits.items():
            with ExitStack() as stack:
                spools = {name: stack.enter_context(open(scratch / f"{split}_{name}", "xb+")) for name in types}
                with _member(archive, f"{split}_images", (count, *shape), np.dtype(np.uint8)) as images:
                    for block in blocks:
                        images.write(np.ascontiguousarray(block.images).data)
                        for name, values in _columns(block).items():
                            if name in types:
                                spools[name].write(values.astype(types[name]).tobytes())
                        advance(len(block.images))
                for name, spool in spools.items():
                    spool.seek(0)
                    with _member(archive, f"{split}_{name}", (count,), types[name]) as member:
                        shutil.copyfileobj(spool, member, 1 << 20)
        names = np.array(class_names, np.str_)
        with _member(archive, "class_names", names.shape, names.dtype) as member:
            member.write(names.tobytes())


def _columns(block: Block) -> dict[str, np.ndarray]:
    count = len(block.images)
    groups = [name.encode() for name in block.groups or ()]
    return {
        "labels": block.labels,
        "rows": block.rows,
        "epochs": np.full(count, block.epoch),
        "positions": np.arange(block.position, block.position + count),
        "groups": np.array(groups, np.bytes_),
    }


def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype) -> "BinaryIO":
    """Open the array `name` of a new archive for writing, after its header."""
    # Members have the earliest time that zip allows, so that the same arrays give the same bytes.
    member = archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    return member  # type: ignore[return-value]
