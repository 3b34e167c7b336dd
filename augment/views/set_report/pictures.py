"""The recipe in pictures: a few originals, each with its distortions in several stored epochs."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ...distortion.recipe import Recipe
from ...errors import EpochbankError
from ...shared.html.thumbnails import webp_data_uri
from ...shared.spacing import evenly_spaced
from ...store.description import Description
from ...store.manifest import Entry
from ...store.order import order_at, position_of, rows_of_split
from ..sample import spread
from .parameters import distortions_at
from .shards import Shards

ORIGINALS, DISTORTIONS = 5, 8
_SIDE, _SHOWN, _QUALITY = 128, 96, 75
"""Pixels of the longer side of an image in the page, and at which a small one is shown; quality of WebP."""
_SAMPLE = 1 << 16
"""Positions of a class-balanced epoch that originals are chosen from."""


@dataclass(frozen=True)
class Picture:
    """An image of the page."""

    src: str
    width: int
    height: int
    alt: str
    detail: str = ""


@dataclass
class PictureRow:
    """An original with its distortions."""

    class_name: str
    original: Picture | None = None
    distorted: list[Picture] = field(default_factory=list)


def read_pictures(shards: Shards, description: Description, recipe: Recipe | None) -> list[PictureRow]:
    """Return originals of different classes with their distortions; parameters are unknown if `recipe` is None."""
    epochs = sorted({entry.epoch for entry in shards.of("epoch")})
    epochs = [epochs[number] for number in evenly_spaced(len(epochs), DISTORTIONS).tolist()]
    rows = rows_of_split(shards.directory, "train")
    candidates = _candidates(shards, description, epochs)
    chosen = candidates[spread(np.asarray(rows.label[candidates]), ORIGINALS)].tolist()
    made = {image: PictureRow(description.class_names[rows.label[image]]) for image in chosen}
    for split, epoch in [("train", 0), *(("epoch", epoch) for epoch in epochs)]:
        for entry, image, position, pixels in _read(shards, description, split, epoch, chosen):
            name = made[image].class_name
            if split == "train":
                made[image].original = picture(pixels, f"original of class {name}", f"row {rows.row[image]}")
            else:
                drawn = _drawn(shards, description, recipe, entry, position)
                detail = "\n".join(filter(None, [drawn, f"epoch {epoch}, position {position}"]))
                made[image].distorted.append(picture(pixels, f"class {name}, distorted in epoch {epoch}", detail))
    return [row for row in made.values() if row.original or row.distorted]


def picture(pixels: np.ndarray, alt: str, detail: str = "") -> Picture:
    """Return an image, uint8 (H, W, C), for a page; small images are shown larger."""
    height, width = pixels.shape[:2]
    longer = max(height, width)
    factor = max(_SHOWN, min(_SIDE, longer)) / longer
    shown = max(1, round(width * factor)), max(1, round(height * factor))
    return Picture(webp_data_uri(pixels, side=_SIDE, quality=_QUALITY), *shown, alt, detail)


def _candidates(shards: Shards, description: Description, epochs: list[int]) -> np.ndarray:
    """Return the training images that are in most of the shards that are read, int64 (k,), ascending."""
    count = len(rows_of_split(shards.directory, "train").label)
    if shards.all_there and description.per_class is None:
        return np.arange(count)
    present = np.zeros(count, np.int8)
    for split, epoch in [("train", 0), *(("epoch", epoch) for epoch in epochs)]:
        for entry in shards.of(split, epoch):
            positions = entry.start + evenly_spaced(entry.num_images, _SAMPLE)
            images = order_at(shards.directory, description, split, epoch, positions)
            present[np.unique(images)] += 1
    return np.flatnonzero(present == present.max(initial=0))


def _read(
    shards: Shards, description: Description, split: str, epoch: int, images: list[int]
) -> Iterator[tuple[Entry, int, int, np.ndarray]]:
    """Yield shard, image, position and pixels of those of `images` that the shards of a split or epoch have."""
    wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    entries = shards.of(split, epoch)
    for image in images:
        position = position_of(shards.directory, description, split, epoch, image)
        for number, entry in enumerate(entries):
            if position is not None and entry.start <= position < entry.stop:
                wanted[number].append((position, image))
    for number, pairs in wanted.items():
        image_at = dict(sorted(pairs))
        for some, pixels, _ in shards.read(entries[number], np.array(list(image_at))):
            for position, one in zip(some.tolist(), pixels, strict=True):
                yield entries[number], image_at[position], position, one


def _drawn(shards: Shards, description: Description, recipe: Recipe | None, entry: Entry, position: int) -> str:
    if recipe is None:
        return ""
    try:
        return distortions_at(shards.directory, description, recipe, entry, np.array([position]))[0]
    except EpochbankError as error:
        shards.drop(entry, error)
        return ""
