"""`evaluation.h5` of a run: what its best model predicted for each held-out image, and the images that reports show.

It is plain HDF5, compressed by gzip, so that a report or a comparison needs neither Keras nor the set. The splits that
were evaluated (`test`, `validation`) are groups with the attribute `digest` (of the images, labels and rows of the
split in order: `store.digest`) and the columns

  label, predicted                  int32 (n,): true and predicted class of the image at each position
  probability, label_probability    float32 (n,): probabilities of the predicted and of the true class

The group of the split that reports show also has images, which are reduced to 96 pixels or less:

  position     int64 (m,): ascending
  image        uint8 (m, H, W, C)
  origin       text (m,): where they come from
  worst        int64 (k,): positions of the most confident mistakes, which are among `position`
  top_class, top_probability    int32 (k, c), float32 (k, c): the likeliest classes of these, the likeliest first
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.unreadable import unreadable

EVALUATION = "evaluation.h5"
FORMAT = 1
_COLUMNS = {"label": "i4", "predicted": "i4", "probability": "f4", "label_probability": "f4"}
_ROWS = 1 << 16
"""Rows of a chunk, and of what is read at a time."""
_MAX_BYTES = 64 << 20
"""Largest array that is read whole, and largest chunk. The file may be somebody else's."""
_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE)


class Predictions(NamedTuple):
    """Predictions for images at consecutive positions."""

    label: np.ndarray
    """int32 (n,): true class."""
    predicted: np.ndarray
    """int32 (n,): predicted class."""
    probability: np.ndarray
    """float32 (n,): probability of the predicted class."""
    label_probability: np.ndarray
    """float32 (n,): probability of the true class."""


@dataclass(frozen=True)
class Shown:
    """Images of a split that a report shows."""

    position: np.ndarray
    """int64 (m,), ascending."""
    image: np.ndarray
    """uint8 (m, H, W, C)."""
    origin: list[str]
    worst: np.ndarray
    """int64 (k,): positions of the most confident mistakes."""
    top_class: np.ndarray
    """int32 (k, c): their likeliest classes, the likeliest first."""
    top_probability: np.ndarray
    """float32 (k, c)."""


def recorder(group: h5py.Group, num_images: int, check: Callable[[], None]) -> Callable[[Predictions], None]:
    """Create the columns of a split in `group`; return a function that writes predictions and calls `check`."""
    options: dict[str, Any] = {"chunks": (min(_ROWS, num_images),), "compression": "gzip", "shuffle": True}
    columns = [group.create_dataset(name, (num_images,), dtype, **options) for name, dtype in _COLUMNS.items()]
    done = 0

    def record(some: Predictions) -> None:
        nonlocal done
        for dataset, values in zip(columns, some, strict=True):
            dataset[done : done + len(values)] = values
        done += len(some.label)
        check()

    return record


def write_shown(group: h5py.Group, shown: Shown) -> None:
    """Write the images of a split."""
    for name in ("position", "worst", "top_class", "top_probability"):
        group[name] = getattr(shown, name)
    chunk = (1, *shown.image.shape[1:])
    group.create_dataset("image", data=shown.image, chunks=chunk if shown.image.size else None,
                         compression="gzip" if shown.image.size else None)  # fmt: skip
    origins = [origin.encode(errors="backslashreplace") for origin in shown.origin]
    group.create_dataset("origin", data=origins, dtype=h5py.string_dtype())


def rows_of(group: h5py.Group, num_images: int) -> Iterator[Predictions]:
    """Yield the predictions of a split in order of position, some thousands at a time.

    Raises `ValueError` if the columns do not have `num_images` rows.
    """
    columns = [_dataset(group, name, (num_images,)) for name in _COLUMNS]
    for start in range(0, num_images, _ROWS):
        yield Predictions(*(column[start : start + _ROWS] for column in columns))


@dataclass(frozen=True)
class StoredEvaluation:
    """The evaluation of a run on a split, in its `evaluation.h5`. Every method reads the file.

    Each raises `EpochbankError` if it is damaged.
    """

    path: Path
    split: str
    digest: str
    """Digest of the images, labels and rows of the split, in order."""
    num_images: int
    classes: int

    def predictions(self) -> Iterator[Predictions]:
        """Yield the predictions in order of position, some thousands at a time."""
        with _opened(self.path) as file:
            for some in rows_of(file[self.split], self.num_images):
                for labels in (some.label, some.predicted):
                    _check_range(labels, self.classes)
                yield some

    def shown(self) -> Shown | None:
        """Return the images to show; None if the file has none of this split."""
        with _opened(self.path) as file:
            group = file[self.split]
            if "image" not in group:
                return None
            position = _read(group, "position", (None,))
            image = _read(group, "image", (len(position), None, None, None))
            worst = _read(group, "worst", (None,))
            top = _read(group, "top_class", (len(worst), None))
            probability = _read(group, "top_probability", top.shape)
            _check_range(top, self.classes)
            if image.dtype != np.uint8 or image.shape[3] not in (1, 3) or not np.isin(worst, position).all():
                raise ValueError("its images are not those of its mistakes")
            origin = [bytes(text).decode(errors="replace") for text in _read(group, "origin", (len(position),))]
            return Shown(position, image, origin, worst, top, probability)


def stored_evaluations(run: Path, classes: int) -> dict[str, StoredEvaluation]:
    """Return the evaluations in `evaluation.h5` of a run of a set with this number of classes, the test split first.

    There are none if the run does not have the file: it is unfinished, or of an earlier epochbank. Raises
    `EpochbankError` if the file is damaged or of a newer format.
    """
    path = run / EVALUATION
    if not path.exists():
        return {}
    with _opened(path) as file:
        return {
            split: StoredEvaluation(path, split, str(file[split].attrs["digest"]), len(file[split]["label"]), classes)
            for split in ("test", "validation")
            if split in file
        }


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            if file.attrs["format"] != FORMAT:
                raise EpochbankError(
                    f"{path} is of format {file.attrs['format']}; this epochbank reads format {FORMAT}. Upgrade "
                    "epochbank."
                )
            yield file
    # Damage makes h5py raise any of these.
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise (
            unreadable(path, error)
            or EpochbankError(f"{path} is damaged: {error}. Write it again with: train report {path.parent} --evaluate")
        ) from error


def _dataset(group: h5py.Group, name: str, shape: tuple[int | None, ...]) -> h5py.Dataset:
    """Return a dataset of this file with this shape, in which None is any length. Raises `ValueError` for others."""
    dataset = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external is not None:
        raise ValueError(f"{group.name}/{name} is not a dataset of this file")
    plist = dataset.id.get_create_plist()
    if any(plist.get_filter(number)[0] not in _FILTERS for number in range(plist.get_nfilters())):
        raise ValueError(f"{group.name}/{name} has a filter other than gzip")
    if np.prod(dataset.chunks or (0,), dtype=float) * dataset.dtype.itemsize > _MAX_BYTES:
        raise ValueError(f"{group.name}/{name} has chunks that are too large")
    if len(dataset.shape) != len(shape) or any(b not in (None, a) for a, b in zip(dataset.shape, shape, strict=True)):
        raise ValueError(f"{group.name}/{name} has the shape {dataset.shape}; expected {shape}")
    return dataset


def _read(group: h5py.Group, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    dataset = _dataset(group, name, shape)
    if dataset.nbytes > _MAX_BYTES:
        raise ValueError(f"{group.name}/{name} has {dataset.nbytes:,} bytes; expected {_MAX_BYTES:,} at most")
    return np.asarray(dataset[()])


def _check_range(labels: np.ndarray, classes: int) -> None:
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"it has a class that is not 0 to {classes - 1}")
