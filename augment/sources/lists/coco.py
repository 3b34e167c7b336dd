"""Image classification in the JSON of COCO: `images`, `annotations` of an image and a category, and `categories`.

The format is described at cocodataset.org/#format-data. Boxes and other keys are ignored.
"""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ...errors import EpochbankError
from ...shared.progress import counted
from ..names import first_names
from .json_stream import read_items

_KEYS = ("images", "annotations", "categories")
_SHOWN = 5
"""Repeated ids listed in a message; further ones are counted."""


class CocoTable:
    """The images of a file in COCO's format, each with the name of its category. Takes 12 bytes per annotation."""

    def __init__(self, path: Path):
        """Read the annotations and categories.

        Raises `EpochbankError` for keys that are missing, and for an image with annotations of several categories.
        """
        self.path, self.header, self.notes = path, ["file_name", "category"], list[str]()
        names: dict[int, str] = {}
        images, categories, found = array("q"), array("i"), dict.fromkeys(_KEYS, 0)
        number: dict[int, int] = {}
        for key, item in read_items(path):
            if key in found:
                found[key] += 1
                if key == "annotations":
                    images.append(self._id(key, item, "image_id"))
                    category = self._id(key, item, "category_id")
                    categories.append(number.setdefault(category, len(number)))
                elif key == "categories":
                    names[self._id(key, item, "id")] = str(self._field(key, item, "name"))
        missing = [key for key in _KEYS if not found[key]]
        if missing:
            raise EpochbankError(
                f"{path} has no {' and no '.join(missing)}; expected an array of objects with a path and a label, or "
                "COCO's images, annotations and categories. Write one of these."
            )
        if not names.keys() >= number.keys():
            raise EpochbankError(
                f"{path}: an annotation has a category_id that is not in `categories`; expected one of "
                f"{first_names(list(names.values()))}. Add the category."
            )
        self._names = [names[category] for category in number]
        self._index(np.frombuffer(images, np.int64), np.frombuffer(categories, np.intc))

    def _index(self, images: np.ndarray, categories: np.ndarray) -> None:
        """Sort the annotations by image, and merge those of one category."""
        order = np.lexsort((categories, images))
        images, categories = images[order], categories[order]
        same = images[1:] == images[:-1]
        differing = int((same & (categories[1:] != categories[:-1])).sum())
        if differing:
            at = int(np.flatnonzero(same & (categories[1:] != categories[:-1]))[0])
            pair = first_names([self._names[category] for category in categories[at : at + 2]])
            raise EpochbankError(
                f"{self.path} has annotations of several categories for {counted(differing, 'image')}, such as {pair}; "
                "expected one category for each image. Crop the objects, or keep one annotation of each image."
            )
        first = np.concatenate([[True], ~same])
        self._images, self._categories, self._repeated = images[first], categories[first], int(same.sum())

    def rows(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield `image N` with the path and the category's name of each image that has an annotation.

        Raises `EpochbankError` at the end if several of these images have the same id.
        """
        without = number = 0
        counts, repeated_ids = np.zeros(len(self._images), np.uint32), dict[int, Any]()
        for key, item in read_items(self.path):
            if key != "images":
                continue
            place = int(np.searchsorted(self._images, self._id(key, item, "id")))
            if place == len(self._images) or self._images[place] != self._id(key, item, "id"):
                without += 1
            else:
                counts[place] += 1
                if counts[place] > 1 and len(repeated_ids) < _SHOWN:
                    repeated_ids[place] = item["id"]
                yield f"image {number}", (self._field(key, item, "file_name"), self._names[self._categories[place]])
            number += 1
        self._check_ids(counts, repeated_ids)
        name = self.path.name
        repeated = counted(self._repeated, "annotation")
        self.notes = [
            *([f"ignoring {repeated} of {name} with the image and category of another one"] if self._repeated else []),
            *([f"leaving out {counted(without, 'image')} of {name} without an annotation"] if without else []),
        ]

    def _check_ids(self, counts: np.ndarray, repeated: dict[int, Any]) -> None:
        """Raise `EpochbankError` if an id is that of several images.

        `counts` has the number of images of each id; `repeated` has the first such ids, by position in `counts`.
        """
        if repeated:
            listed = ", ".join(f"{value!r} ({counts[place]:,} images)" for place, value in repeated.items())
            more = int((counts > 1).sum()) - len(repeated)
            raise EpochbankError(
                f"{self.path} has several images with the id {listed}{f' and {more:,} more ids' if more else ''}, so "
                "their annotations are unclear; expected a unique id for each image. Number the images, and "
                "correct image_id in the annotations."
            )

    def _field(self, key: str, item: Any, field: str) -> Any:
        if not isinstance(item, dict) or not isinstance(item.get(field), str | int):
            raise EpochbankError(
                f"{self.path}: an item of {key} has no {field}; expected an integer or text. Add it to each item."
            )
        return item[field]

    def _id(self, key: str, item: Any, field: str) -> int:
        """Return an integer of 64 bits as it is, and a digest of 63 bits for text and larger integers."""
        value = self._field(key, item, field)
        if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
            return value
        return xxhash.xxh3_64_intdigest(str(value).encode(errors="surrogatepass")) >> 1
