"""Checks of arrays by their headers, before they are read: a small file may say that an array is huge."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import EpochbankError
from ...shared.progress import size
from .layout import Layout
from .names import Part
from .store import Header, objects_refused

MAX_CLASSES = 1_000_000
"""Largest number of names of classes, and of columns of one-hot labels."""

_MAX_CHUNK = 256 << 20
"""Largest compressed chunk of HDF5 in bytes."""


def check_types(where: str, part: Part, headers: Mapping[str, Header]) -> None:
    """Raise `EpochbankError` for images that are not numbers, groups that are not integers or text, and objects."""
    for name in filter(None, (part.images, part.labels, part.groups)):
        if headers[name].dtype.hasobject and headers[name].dtype.kind == "O":
            raise objects_refused(where, name)
    dtype = headers[part.images].dtype
    if dtype.kind not in "biuf":
        raise EpochbankError(f"{where}: {part.images} is {dtype}; expected integers, floats or bool. Convert it.")
    if part.groups is not None and headers[part.groups].dtype.kind not in "iuUST":
        raise EpochbankError(f"{where}: {part.groups} is {headers[part.groups].dtype}; expected integers or strings.")


def num_labels(shape: tuple[int, ...]) -> int:
    """Return the number of labels in an array of labels of this shape."""
    return max(shape) if len(shape) == 2 and 1 in shape else shape[0] if shape else 0


def is_one_hot(shape: tuple[int, ...]) -> bool:
    """Return whether an array of labels of this shape has one-hot rows."""
    return len(shape) == 2 and min(shape) > 1 and shape[1] <= MAX_CLASSES


def check_lengths(where: str, part: Part, headers: Mapping[str, Header], layout: Layout) -> None:
    """Raise `EpochbankError` unless labels and groups have one entry for each image."""
    count = headers[part.images].shape[layout.axis]
    for name in filter(None, (part.labels, part.groups)):
        shape = headers[name].shape
        fits = shape == (count,)
        if name == part.labels and not fits:
            fits = shape in ((count, 1), (1, count)) or (is_one_hot(shape) and shape[0] == count)
        if not fits:
            raise EpochbankError(
                f"{where}: {part.images} has {count} images and {name} has shape {shape}; "
                f"expected ({count},), one for each image."
            )


def compressed_chunk(path: Path, dataset: Any) -> int:
    """Return the bytes of a chunk of an HDF5 dataset after decompression; 0 if any part of a chunk can be read alone.

    Raises `EpochbankError` if the chunk is too large: HDF5 decompresses all of it to read one image.
    """
    if dataset.chunks is None or dataset.id.get_create_plist().get_nfilters() == 0:
        return 0
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk > _MAX_CHUNK:
        raise EpochbankError(
            f"{path}: {dataset.name} has compressed chunks of {size(chunk)}, each of which must be in memory at once; "
            f"expected at most {size(_MAX_CHUNK)}. Write it again with smaller chunks, such as one image each."
        )
    return chunk
