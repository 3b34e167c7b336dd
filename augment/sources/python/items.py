"""Items of a Python iterable: an image and its label, in the forms that dataset libraries use."""

import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..decode import MAX_PIXELS, BadImage, read_image
from ..names import GROUP, LABEL, SPLIT, check_text, find_column, split_number
from ..value_range import as_pixels
from .data_sets import listed_classes

IMAGE_KEYS = ("image", "img", "picture", "pixels")
LABEL_KEYS = (*LABEL, "text")
EXPECTED = "(image, label), (image, label, group), or a mapping with image and label"


class Item(NamedTuple):
    """An image with its label, group and split."""

    image: Any
    label: int | str
    group: int | str | None
    split: int
    """Index into `SPLITS`; -1 if the item names none."""


def parse_item(item: Any, *, use_split: bool) -> Item:
    """Parse an item of the iterable, with its split if `use_split`. Raises `ValueError` for an invalid item."""
    if isinstance(item, Mapping):
        fields = [None if key is None else item[key] for key in _keys(tuple(item))]
    elif isinstance(item, tuple | list) and len(item) in (2, 3):
        fields = [*item, None, None][:4]
    else:
        found = type(item).__name__
        found = f"a {found} of {len(item)}" if isinstance(item, tuple | list) else f"of type {found}"
        raise ValueError(f"is {found}; expected {EXPECTED}")
    image, label, group, split = fields
    return Item(
        image,
        _int_or_text("label", label),
        None if group is None else _int_or_text("group", group),
        -1 if split is None or not use_split else split_number(str(_int_or_text("split", split))),
    )


@lru_cache(maxsize=64)
def _keys(found: tuple[Any, ...]) -> list[Any]:
    """Return the keys of image, label, group and split; None if the mapping has no group or split."""
    texts = [str(key) for key in found]
    places = [find_column(texts, names) for names in (IMAGE_KEYS, LABEL_KEYS, GROUP, SPLIT)]
    if places[0] is None or places[1] is None:
        raise ValueError(
            f"has the keys {', '.join(map(repr, texts))}; expected {' or '.join(IMAGE_KEYS)}, and "
            f"{' or '.join(LABEL_KEYS)}"
        )
    return [None if place is None else found[place] for place in places]


def _int_or_text(what: str, value: Any) -> int | str:
    """Convert a scalar of Python, NumPy or another library. Raises `ValueError` for other types."""
    value = value if isinstance(value, int | str | bytes) else _to_python(value)
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"has the {what} {value!r}; expected text in UTF-8") from error
    if isinstance(value, str):
        if not value and what != "split":
            raise ValueError(f"has an empty {what}; expected an integer or text")
        check_text(value)
        return str(value)
    if isinstance(value, int):
        return int(value)
    shape = f" of shape {value.shape}" if isinstance(value, np.ndarray) else ""
    raise ValueError(f"has a {what} of type {type(value).__name__}{shape}; expected an integer or text")


def _to_python(value: Any) -> Any:
    """Convert a scalar to a Python value, and anything else to an array."""
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array


def to_pixels(image: Any) -> np.ndarray:
    """Return an image as integers or floats, (H, W) or (H, W, 3). Raises `BadImage`.

    Accepts Pillow images, the bytes of an image file, `{"bytes": ..., "path": ...}`, and everything that NumPy
    converts to an array: bool, integers or floats of shape (H, W), (H, W, 1) or (H, W, 3).
    """
    if isinstance(image, Mapping):
        encoded, path = image.get("bytes"), image.get("path")
        image = Path(path) if encoded is None and path is not None else encoded
    if not isinstance(image, Image.Image | bytes | Path):
        try:
            image = _to_python(image)
        except Exception as error:  # Objects of other libraries may raise any exception.
            raise BadImage(f"is of type {type(image).__name__} and cannot be converted to an array: {error}") from error
    if isinstance(image, bytes):
        image = io.BytesIO(image)
    if isinstance(image, Image.Image | Path | io.BytesIO):
        decoded = read_image(image)
        if isinstance(decoded, BadImage):
            raise decoded
        return np.asarray(decoded)
    if not isinstance(image, np.ndarray):
        raise BadImage(f"is of type {type(image).__name__}; expected an image")
    if image.dtype.kind not in "biuf":
        raise BadImage(f"is {image.dtype}; expected integers, floats or bool")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)) or 0 in image.shape:
        raise BadImage(f"has the shape {image.shape}; expected (H, W), (H, W, 1) or (H, W, 3)")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise BadImage(f"is {image.shape[1]} x {image.shape[0]}; expected at most {MAX_PIXELS:,} pixels")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise BadImage("has NaN or infinite values; expected numbers")
    return as_pixels(image[:, :, 0] if image.shape[2:] == (1,) else image)


def separate_info(data: Any) -> tuple[Any, Any]:
    """Split the result of `tfds.load(..., with_info=True)` into data and info; info is None for other data."""
    with_info = isinstance(data, tuple) and len(data) == 2 and hasattr(data[1], "features")
    return data if with_info else (data, None)


def find_class_names(data: Any) -> list[str] | None:
    """Return the class names in a dataset's features (Hugging Face, TensorFlow), `class_names`, or `classes`.

    A subset has the class names of its `dataset`. Returns None if there are none.
    """
    for holder in (data, getattr(data, "info", None), getattr(data, "dataset_info", None)):
        features: Any = getattr(holder, "features", None)
        for key in LABEL_KEYS if hasattr(features, "keys") else ():
            names = getattr(features[key], "names", None) if key in features else None
            if names is not None:
                return [str(name) for name in names]
    names = getattr(data, "class_names", None)
    return listed_classes(data) if names is None else [str(name) for name in names]
