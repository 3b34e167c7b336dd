"""The images of an inspection's page: samples of each class, images with problems, and pairs of near-duplicates."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ...ingest.block import batches_of_one_shape
from ...shared.html.thumbnails import webp_data_uri
from ...shared.shortened import shortened
from ...shared.workers import core_count
from ...sources.decode import BadImage
from ...sources.value_range import in_bytes
from ..class_gallery.thumbnails import Thumbnails, scope_of
from .findings import Findings

_BATCH = 256
"""Images that are requested at a time."""
_PROBES, _TEXT = 24, 60
"""Images that the size of thumbnails is estimated from, and bytes of the text of one, about."""
_SIDE, _SHOWN, _QUALITY = 128, 96, 75
_PIXELS = 1 << 14
"""Pixels of an image that are counted by value; of a larger one, every few rows and columns."""
_ORIGIN, _NAME = 80, 40
"""Characters of an origin and of a class name below an image."""


@dataclass
class ValueCounts:
    """How often each pixel value occurs in a sample of images."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    """int64 (3, 256): red, green and blue; gray images count in all three."""
    num_images: int = 0
    has_color: bool = False

    def add(self, image: np.ndarray) -> None:
        """Count the pixels of an image, uint8 (H, W, C)."""
        step = max(1, int((image.shape[0] * image.shape[1] / _PIXELS) ** 0.5))
        few = image[::step, ::step]
        self.num_images += 1
        self.has_color |= few.shape[2] == 3
        for channel in range(3):
            self.counts[channel] += np.bincount(few[..., min(channel, few.shape[2] - 1)].ravel(), minlength=256)


@dataclass(frozen=True)
class Shown:
    """An image of the page with what is known about it."""

    src: str
    width: int
    height: int
    class_name: str
    """Shortened; empty if the origin contains it."""
    origin: str
    """Shortened."""


def shown_at(findings: Findings, rows: np.ndarray) -> dict[int, Shown]:
    """Return the images at `rows` (int64 (n,)) of an inspection by row; unusable ones are omitted."""
    found = {}
    for row, image in _read(findings, np.unique(rows)):
        longer = max(image.shape[:2])
        factor = max(_SHOWN, min(_SIDE, longer)) / longer
        height, width = (max(1, round(side * factor)) for side in image.shape[:2])
        name, origin = findings.scan.class_names[findings.labels[row]], _origin(findings, row)
        name = "" if name in origin else shortened(name, lambda text: len(text) <= _NAME)
        found[row] = Shown(webp_data_uri(image, side=_SIDE, quality=_QUALITY), width, height, name, origin)
    return found


def class_samples(findings: Findings, budget: int, listed: int) -> tuple[Thumbnails, ValueCounts]:
    """Return thumbnails of the first `listed` classes within `budget` bytes, and the values of their pixels."""
    usable = np.ones(len(findings.indices), bool)
    usable[list(findings.bad)] = False
    rows = np.flatnonzero(usable)
    labels = findings.labels[rows]
    rows, labels = rows[labels < listed], labels[labels < listed]
    classes = np.unique(labels)
    probes = [image for _, image in _read(findings, rows[np.arange(min(_PROBES, len(rows))) * len(rows) // _PROBES])]
    scope, values = scope_of(classes if probes else classes[:0], 1, probes, _TEXT, budget), ValueCounts()
    with ThreadPoolExecutor(core_count()) as pool:
        found = Thumbnails(scope, budget, pool)
        for row, image in _read(findings, _spread(findings, rows, labels, scope.classes, scope.level.images)):
            values.add(image)
            found.add([int(findings.labels[row])], 0, [image], [_origin(findings, row)])
    return found, values


def _spread(findings: Findings, rows: np.ndarray, labels: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Return up to `count` of `rows` of each of `classes`, spread over its groups if there are any, ascending."""
    groups = findings.scan.groups
    order = np.lexsort((np.zeros(len(rows)) if groups is None else groups[findings.indices[rows]], labels))
    begins, ends = (np.searchsorted(labels[order], classes, side=side) for side in ("left", "right"))
    chosen = [
        order[begin + np.unique(np.arange(count) * (end - begin) // count)]
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]
    return np.sort(rows[np.concatenate([np.empty(0, np.int64), *chosen])])


def _read(findings: Findings, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the usable images at `rows` (int64 (n,), ascending), uint8 (H, W, C), each with its row."""
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        left = iter(some.tolist())
        for batch in batches_of_one_shape(
            in_bytes(findings.scan.reader.read(findings.indices[some]), findings.value_ranges)
        ):
            if isinstance(batch, BadImage):
                next(left)
                continue
            for image in batch:
                yield next(left), image[..., None] if image.ndim == 2 else image


def _origin(findings: Findings, row: int) -> str:
    """Return where an image comes from; of a long path the end, which says most."""
    origin = findings.scan.reader.origin(int(findings.indices[row]))
    return origin if len(origin) <= _ORIGIN else f"...{origin[-_ORIGIN:]}"
