"""What an iterator of the user's may give: items with a picture and a label, in the ways that data sets have them."""

import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .decode import LARGEST, BadPicture, read_picture, to_uint8
from .names import GROUP, LABEL, PART, check_text, find_column, part_number

PICTURE_KEYS = ("image", "img", "picture", "pixels")
LABEL_KEYS = (*LABEL, "text")
EXPECTED = "(picture, label), (picture, label, group), or a mapping with image and label"


class Item(NamedTuple):
    """A picture and what is said of it."""

    picture: Any
    label: int | str
    group: int | str | None
    part: int
    """Index into `PARTS`; -1 where the item does not say."""


def item_of(thing: Any, *, parts: bool) -> Item:
    """Take apart what an iterator gave, with its part where `parts` are obeyed. `ValueError` where it is no item."""
    if isinstance(thing, Mapping):
        fields = [None if key is None else thing[key] for key in _keys(tuple(thing))]
    elif isinstance(thing, tuple | list) and len(thing) in (2, 3):
        fields = [*thing, None, None][:4]
    else:
        length = f" of {len(thing)}" if isinstance(thing, tuple | list) else ""
        raise ValueError(f"is a {type(thing).__name__}{length}; expected {EXPECTED}")
    picture, label, group, part = fields
    said = -1 if part is None or not parts else part_number(str(_name("part", part)))
    return Item(picture, _name("label", label), None if group is None else _name("group", group), said)


@lru_cache(maxsize=64)
def _keys(found: tuple[Any, ...]) -> list[Any]:
    """The keys of picture, label, group and part; None for a group or part that is not there."""
    texts = [str(key) for key in found]
    places = [find_column(texts, names) for names in (PICTURE_KEYS, LABEL_KEYS, GROUP, PART)]
    if places[0] is None or places[1] is None:
        raise ValueError(
            f"has the keys {', '.join(map(repr, texts))}; expected {' or '.join(PICTURE_KEYS)}, and "
            f"{' or '.join(LABEL_KEYS)}"
        )
    return [None if place is None else found[place] for place in places]


def _name(what: str, value: Any) -> int | str:
    """An integer or text, also of NumPy or another library. `ValueError` for anything else."""
    value = value if isinstance(value, int | str | bytes) else _plain(value)
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"has the {what} {value!r}; expected text in UTF-8") from error
    if isinstance(value, str):
        if not value and what != "part":
            raise ValueError(f"has an empty {what}; expected an integer or text")
        check_text(value)
        return str(value)
    if isinstance(value, int):
        return int(value)
    shape = f" of the shape {value.shape}" if isinstance(value, np.ndarray) else ""
    raise ValueError(f"has a {what} that is a {type(value).__name__}{shape}; expected an integer or text")


def _plain(value: Any) -> Any:
    """A Python value of what NumPy takes for a scalar; the array of what it does not."""
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array


def pixels_of(picture: Any) -> np.ndarray:
    """A picture as uint8 (H, W) or (H, W, 3). Raises `BadPicture`.

    It may be a Pillow image, an encoded file's bytes or `{"bytes": ..., "path": ...}`, or what NumPy takes for an
    array: uint8, or float in [0, 1], (H, W), (H, W, 1) or (H, W, 3).
    """
    if isinstance(picture, Mapping):
        encoded, path = picture.get("bytes"), picture.get("path")
        picture = Path(path) if encoded is None and path is not None else encoded
    if not isinstance(picture, Image.Image | bytes | Path):
        try:
            picture = _plain(picture)
        except Exception as error:  # Objects of any library may raise anything.
            raise BadPicture(f"is a {type(picture).__name__} that gives no array: {error}") from error
    if isinstance(picture, bytes):
        picture = io.BytesIO(picture)
    if isinstance(picture, Image.Image | Path | io.BytesIO):
        decoded = read_picture(picture)
        if isinstance(decoded, BadPicture):
            raise decoded
        return np.asarray(decoded)
    if not isinstance(picture, np.ndarray):
        raise BadPicture(f"is a {type(picture).__name__}; expected a picture")
    if picture.dtype != np.uint8 and picture.dtype.kind != "f":
        raise BadPicture(f"is {picture.dtype}; expected uint8, or float in [0, 1]")
    if picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (1,), (3,)) or 0 in picture.shape:
        raise BadPicture(f"has the shape {picture.shape}; expected (H, W), (H, W, 1) or (H, W, 3)")
    if picture.shape[0] * picture.shape[1] > LARGEST:
        raise BadPicture(f"is {picture.shape[1]} x {picture.shape[0]}; expected at most {LARGEST:,} pixels")
    return to_uint8(picture[:, :, 0] if picture.shape[2:] == (1,) else picture)


def without_info(found: Any) -> tuple[Any, Any]:
    """What was given, and what `tfds.load(..., with_info=True)` gives beside it."""
    pair = isinstance(found, tuple) and len(found) == 2 and hasattr(found[1], "features")
    return found if pair else (found, None)


def class_names_of(thing: Any) -> list[str] | None:
    """The names of its label's classes, as Hugging Face's data sets have them, TensorFlow's, or any with such an
    attribute."""
    for holder in (thing, getattr(thing, "info", None), getattr(thing, "dataset_info", None)):
        features: Any = getattr(holder, "features", None)
        for key in LABEL_KEYS if hasattr(features, "keys") else ():
            names = getattr(features[key], "names", None) if key in features else None
            if names is not None:
                return [str(name) for name in names]
    names = getattr(thing, "class_names", None)
    return None if names is None else [str(name) for name in names]
