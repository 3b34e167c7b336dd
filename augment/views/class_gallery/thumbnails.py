"""Thumbnails of images by class; their number, size and quality follow from the bytes that they may have in a page."""

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...shared.html.thumbnails import PREFIX, webp_data_uri

_MOST_IMAGES = 7000
"""Largest number of thumbnails, which bounds the time that they take."""
_ENTRY = 24
"""Bytes of a thumbnail in the page besides its data and text."""
_TINY, _LOSSLESS = 256, 100
"""Pixels of an image that is stored without loss, and the quality that means it."""
_MARGIN = 0.9
"""Share of the bytes for which the number of images is estimated, from few of them."""


@dataclass(frozen=True)
class Level:
    """How many images of each kind a class has, and how they are encoded."""

    images: int
    side: int
    """Pixels of the longer side at most."""
    quality: int
    """Quality of WebP."""


_LEVELS = (
    Level(8, 96, 80), Level(6, 96, 75), Level(4, 96, 70), Level(4, 72, 65), Level(2, 72, 65), Level(2, 64, 55),
    Level(1, 64, 55), Level(1, 56, 45), Level(1, 48, 40), Level(1, 40, 40), Level(1, 32, 35), Level(1, 24, 30),
)  # fmt: skip
"""From the most to the fewest bytes."""


@dataclass(frozen=True)
class Scope:
    """Which classes get thumbnails, and how many."""

    level: Level
    classes: np.ndarray
    """Indices of the classes, int64 (k,), ascending; all of them if the bytes suffice."""


def scope_of(classes: np.ndarray, kinds: int, probes: Sequence[np.ndarray], text: int, budget: int) -> Scope:
    """Return what fits into a number of bytes.

    Parameters
    ----------
    classes
        Indices of all classes with images, int64 (k,).
    kinds
        Number of kinds of images, such as originals and distorted ones.
    probes
        A few of the images, uint8 (H, W, C); at least one if there are classes.
    text
        Bytes of the text of an image, about.
    budget
        Bytes of all thumbnails with their texts.
    """
    if not len(classes):
        return Scope(_LEVELS[0], classes)
    for level in _LEVELS:
        number = len(classes) * kinds * level.images
        if number > _MOST_IMAGES and level.images > 1:
            continue
        mean = sum(len(encoded(image, level)) for image in probes) / len(probes) + text + _ENTRY
        if number * mean <= budget * _MARGIN and number <= _MOST_IMAGES:
            return Scope(level, classes)
    level = _LEVELS[-1]
    most = min(_MOST_IMAGES // kinds, int(budget * _MARGIN / (kinds * mean)))
    return Scope(level, classes[np.arange(min(most, len(classes))) * len(classes) // max(1, most)])


def encoded(image: np.ndarray, level: Level) -> str:
    """Return an image, uint8 (H, W, C), as base64 of WebP; tiny images are smallest without loss."""
    quality = _LOSSLESS if image.shape[0] * image.shape[1] <= _TINY else level.quality
    return webp_data_uri(image, side=level.side, quality=quality).removeprefix(PREFIX)


@dataclass
class Thumbnails:
    """Thumbnails by class, as the script takes them, within a number of bytes."""

    scope: Scope
    budget: int
    pool: Executor
    """Threads that encode images; encoding releases the GIL."""
    by_class: dict[int, list[list[Any]]] = field(default_factory=dict)
    """For each class, `[kind, data, width, height, text]` of its images; the size is that of the thumbnail."""
    left_out: int = 0
    """Images that did not fit, because the estimate was wrong."""

    def add(self, labels: Sequence[int], kind: int, images: Sequence[np.ndarray], texts: Sequence[str]) -> None:
        """Add images, uint8 (H, W, C) each, of the classes `labels`."""
        level = self.scope.level
        data = list(self.pool.map(lambda image: encoded(image, level), images))
        for label, image, one, text in zip(labels, images, data, texts, strict=True):
            size = len(one) + len(json.dumps(text)) + _ENTRY
            if size > self.budget:
                self.left_out += 1
                continue
            self.budget -= size
            height, width = _size(image, level.side)
            self.by_class.setdefault(label, []).append([kind, one, width, height, text])


def _size(image: np.ndarray, side: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    factor = min(1.0, side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
