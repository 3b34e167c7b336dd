"""Sources of arrays, in any file format: images and labels, and optionally groups, splits and names of classes.

`names` finds the arrays, `layout` the order of the axes, `labels` the classes. An array `groups` has
the group of each image (integers or strings), `splits` or `parts` the names of its split. If there are `class_names`
(K,), labels are indices into them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import EpochbankError
from ...shared.types import SPLITS
from ..base import Decoded, Scan, SourceOptions
from ..names import split_number
from ..value_range import as_pixels
from .checks import MAX_CLASSES, check_lengths, check_types, is_one_hot, num_labels
from .labels import classify, distinct, one_hot_index
from .layout import Layout, find_layout
from .names import Part, find_parts, unlabeled
from .store import ArrayStore, Header, StoredArray, objects_refused

_SPLITS = ("splits", "parts")
"""Names of the array of splits; the first one present is used."""
_CLASS_NAMES = "class_names"


@dataclass(frozen=True)
class ArraysReader:
    """Reads the images of one array, or of several, one after another."""

    arrays: tuple[StoredArray, ...]
    layouts: tuple[Layout, ...]
    names: tuple[str, ...]

    def read(self, indices: np.ndarray) -> Iterator[Decoded]:
        """Yield the images in runs, with their own values."""
        start = 0
        for array, layout in zip(self.arrays, self.layouts, strict=True):
            stop = start + array.shape[layout.axis]
            inside = indices[(indices >= start) & (indices < stop)] - start
            for block in array.runs(inside, layout.axis):
                yield as_pixels(np.ascontiguousarray(layout.arrange(block)))
            start = stop

    def origin(self, index: int) -> str:
        """Return the name of the array, and the position of the image in it."""
        for array, layout, name in zip(self.arrays, self.layouts, self.names, strict=True):
            if index < array.shape[layout.axis]:
                return f"{name}[{index}]"
            index -= array.shape[layout.axis]
        raise IndexError(index)


@dataclass(frozen=True)
class _Columns:
    """What is read of one part besides the images."""

    labels: np.ndarray
    groups: np.ndarray | None
    notes: list[str]


def scan_arrays(store: ArrayStore, options: SourceOptions, workspace: Path) -> Scan:
    """Find the images and the labels in `store`, check that they fit together, and return the scan.

    Raises
    ------
    EpochbankError
        If an array is missing, has objects, or does not fit the others.
    """
    where, headers = store.where, store.headers()
    try:
        parts = find_parts(
            {name: header.shape for name, header in headers.items()}, options.images_key, options.labels_key
        )
    except ValueError as error:
        usage = options.images_key is not None or options.labels_key is not None
        end = "" if str(error).endswith("?") else "."
        raise EpochbankError(f"{where}: {error}{end}", usage=usage) from error
    columns, layouts = [], []
    for part in parts:
        check_types(where, part, headers)
        count = num_labels(headers[part.labels].shape)
        layouts.append(find_layout(where, part.images, headers[part.images].shape, count, options.layout))
        check_lengths(where, part, headers, layouts[-1])
        columns.append(_read_columns(store, part, workspace))
    labels = _joined(where, "labels", [found.labels for found in columns])
    names = _class_names(store, headers)
    index, class_names, label_notes = classify(where, labels, names, options.class_names)
    groups = [found.groups for found in columns if found.groups is not None]
    group_index, group_names = (
        distinct(where, "groups", _joined(where, "groups", groups)) if len(groups) == len(parts) else (None, None)
    )
    arrays = tuple(store.open(part.images, workspace) for part in parts)
    sizes, channels = ({(one.height, one.width) for one in layouts}, {one.channels for one in layouts})
    notes = [
        *_names_note(parts, [len(found.labels) for found in columns], options),
        *[note for found in columns for note in found.notes],
        *_image_notes(parts, headers, layouts, options),
        *label_notes,
    ]
    left_out = unlabeled({name: header.shape for name, header in headers.items()}, parts)
    return Scan(
        reader=ArraysReader(arrays, tuple(layouts), tuple(part.images for part in parts)),
        labels=index,
        class_names=class_names,
        groups=group_index,
        group_names=group_names,
        size=sizes.pop() if len(sizes) == 1 else None,
        channels=channels.pop() if len(channels) == 1 else None,
        splits=_splits(store, headers, parts, columns) if options.split == "source" else None,
        notes=[
            *(["; ".join(dict.fromkeys(notes))] if notes else []),
            *(f"{name} has no labels and is left out" for name in left_out),
        ],
    )


def _column(store: ArrayStore, name: str) -> np.ndarray:
    try:
        return store.column(name)
    except MemoryError as error:
        raise EpochbankError(
            f"{store.where}: {name} has shape {store.headers()[name].shape}, which does not fit in the memory. "
            "Check the array, or import fewer images at a time."
        ) from error


def _class_names(store: ArrayStore, headers: Mapping[str, Header]) -> np.ndarray | None:
    """Return the array of names of the classes; None if there is none."""
    if _CLASS_NAMES not in headers:
        return None
    shape = headers[_CLASS_NAMES].shape
    if len(shape) != 1 or shape[0] > MAX_CLASSES:
        raise EpochbankError(
            f"{store.where}: class_names has shape {shape}; expected (K,), one name per class, with K up to "
            f"{MAX_CLASSES:,}."
        )
    return _column(store, _CLASS_NAMES)


def _read_columns(store: ArrayStore, part: Part, workspace: Path) -> _Columns:
    """Read labels and groups of a part; labels in one column, or in one row, become (N,)."""
    header = store.headers()[part.labels]
    notes = []
    if is_one_hot(header.shape):
        stored = store.open(part.labels, workspace)
        labels = one_hot_index(store.where, part.labels, header.shape, stored.runs(np.arange(header.shape[0])))
        notes.append("labels are one-hot")
    else:
        labels = _column(store, part.labels)
        if labels.ndim == 2 and 1 in labels.shape:
            notes.append("labels have the shape (N, 1)" if labels.shape[1] == 1 else "labels have the shape (1, N)")
            labels = labels.reshape(-1)
    groups = None if part.groups is None else _column(store, part.groups)
    return _Columns(labels, groups, notes)


def _joined(where: str, what: str, columns: list[np.ndarray]) -> np.ndarray:
    """Concatenate columns of text, or columns of numbers."""
    if len({column.dtype.kind in "UST" for column in columns}) > 1:
        raise EpochbankError(f"{where}: {what} are text in one split and numbers in another; expected one type.")
    return np.concatenate(columns) if len(columns) > 1 else columns[0]


def _splits(
    store: ArrayStore, headers: Mapping[str, Header], parts: list[Part], columns: list[_Columns]
) -> np.ndarray | None:
    """Return the split of each image, int8 (N,): by the names of the arrays, or by an array; None without splits."""
    counts = [len(found.labels) for found in columns]
    if any(part.split is not None for part in parts) and len(parts) > 1:
        return np.repeat(np.array([part.split for part in parts], np.int8), counts)
    name = next((name for name in _SPLITS if name in headers), None)
    if name is None:
        return None
    if headers[name].dtype.kind == "O":
        raise objects_refused(store.where, name)
    if headers[name].shape != (counts[0],):
        raise EpochbankError(
            f"{store.where}: {parts[0].images} has {counts[0]} images and {name} has shape {headers[name].shape}; "
            f"expected ({counts[0]},), one for each image."
        )
    values = _column(store, name)
    if values.dtype.kind not in "UST":
        raise EpochbankError(f"{store.where}: {name} is {values.dtype}; expected strings.")
    index, names = distinct(store.where, name, values)
    try:
        numbers = np.array([split_number(one) for one in names], np.int8)
    except ValueError as error:
        raise EpochbankError(f"{store.where}: {name} {error}.") from error
    return numbers[index] if (numbers >= 0).any() else None


def _names_note(parts: list[Part], counts: list[int], options: SourceOptions) -> list[str]:
    """Say which arrays are used, unless they have the names `images` and `labels`."""
    if len(parts) == 1:
        usual = (parts[0].images, parts[0].labels) == ("images", "labels")
        return [] if usual else [f"images are {parts[0].images}, labels are {parts[0].labels}"]
    images, labels = (", ".join(names) for names in zip(*((part.images, part.labels) for part in parts), strict=True))
    listed = ", ".join(f"{SPLITS[part.split or 0]} {count:,}" for part, count in zip(parts, counts, strict=True))
    used = "the names give the splits" if options.split == "source" else "--split fractions ignores the splits"
    return [f"images are {images}, labels are {labels}", f"{used} ({listed} images)"]


def _image_notes(
    parts: list[Part], headers: Mapping[str, Header], layouts: list[Layout], options: SourceOptions
) -> list[str]:
    """Say how the axes and the values of the images were understood, unless that is the usual way."""
    meaning = {
        "nchw": "the channels come before the rows",
        "hwcn": "the last axis counts the images",
        "flat": "each image is a row of pixels",
    }
    notes, said = [], set[str]()
    for part, layout in zip(parts, layouts, strict=True):
        shape, dtype = headers[part.images].shape, headers[part.images].dtype
        if layout.name in meaning and layout.name not in said and options.layout == "auto":
            said.add(layout.name)
            what = f"{layout.height} x {layout.width}" + (" RGB" if layout.channels == 3 else "")
            notes.append(f"images of shape {shape} are read as {what}: {meaning[layout.name]}")
        elif layout.name == "nhwc" and 1 in (layout.height, layout.width) and options.layout == "auto":
            notes.append(f"images of shape {shape} are read as {layout.height} x {layout.width}")
        if dtype.kind == "b":
            notes.append("images are bool: False is black, True is white")
    return notes
