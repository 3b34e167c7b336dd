"""Samples of every class of a set: original images, and distorted ones, from as few chunks of shards as possible."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ...distortion.recipe import Recipe
from ...errors import EpochbankError
from ...shared.types import Shape
from ...shared.workers import core_count
from ...store.description import Description
from ...store.manifest import Entry
from ...store.order import order_at, rows_of_split
from ..class_gallery.thumbnails import Thumbnails, scope_of
from .parameters import distortions_at
from .shards import Shards

ORIGINAL, DISTORTED = 0, 1
"""Kinds of images, as the script knows them."""
_PROBES, _PROBE_BYTES = 32, 16 << 20
_TEXT = 60
"""Bytes of the text of an image, about."""


def read_samples(
    shards: Shards, description: Description, recipe: Recipe | None, budget: int, listed: int
) -> Thumbnails:
    """Return thumbnails of the first images of each class in the order of the shards.

    Parameters
    ----------
    shards
        The shards; the order in them is random, so the first chunks have images of most classes.
    description
        The description of the set.
    recipe
        Its recipe, for the parameters; None if they are unknown.
    budget
        Bytes of all thumbnails.
    listed
        Number of classes that the page lists, the first ones.
    """
    present = np.zeros(len(description.class_names), bool)
    for split in ("train", "validation", "test"):
        present[np.unique(rows_of_split(shards.directory, split).label)] = True
    classes = np.flatnonzero(present[:listed])
    probes = _probes(shards, description.shape)
    kinds = 1 + bool(shards.of("epoch"))
    scope = scope_of(classes if probes else classes[:0], kinds, probes, _TEXT, budget)
    with ThreadPoolExecutor(core_count()) as pool:
        found = Thumbnails(scope, budget, pool)
        for kind, splits in ((ORIGINAL, ("train", "validation", "test")), (DISTORTED, ("epoch",))):
            lacking = np.zeros(len(present), np.int64)
            lacking[scope.classes] = scope.level.images
            for split in splits:
                _read_split(shards, description, recipe, found, kind, split, lacking)
    return found


def _probes(shards: Shards, shape: Shape) -> list[np.ndarray]:
    """Return the first images of the first shard that can be read."""
    most = max(1, min(_PROBES, _PROBE_BYTES // math.prod(shape)))
    for split in ("train", "epoch", "validation", "test"):
        for entry in shards.of(split):
            positions = np.arange(entry.start, entry.start + min(entry.num_images, most))
            images = [image for _, some, _ in shards.read(entry, positions) for image in some]
            if images:
                return images
    return []


def _read_split(
    shards: Shards, description: Description, recipe: Recipe | None, found: Thumbnails, kind: int, split: str,
    lacking: np.ndarray,
) -> None:  # fmt: skip
    """Add images of a split or of stored epochs, and subtract them from `lacking`, their number for each class."""
    for entry in shards.of(split):
        if not lacking.any():
            return
        labels = _labels(shards, description, entry)
        chosen = _first_of_each(labels, lacking)
        texts = _texts(shards, description, recipe, entry, entry.start + chosen)
        for some, images, rows in shards.read(entry, entry.start + chosen):
            ours = labels[some - entry.start]
            lacking -= np.bincount(ours, minlength=len(lacking))
            words = [
                _text(entry, position, row, texts.get(position))
                for position, row in zip(some.tolist(), rows.tolist(), strict=True)
            ]
            found.add(ours.tolist(), kind, list(images), words)


def _labels(shards: Shards, description: Description, entry: Entry) -> np.ndarray:
    """Return the class of each image of a shard, from `split.h5`, which is checked."""
    positions = np.arange(entry.start, entry.stop)
    rows = rows_of_split(shards.directory, entry.split)
    return np.asarray(rows.label[order_at(shards.directory, description, entry.split, entry.epoch, positions)])


def _first_of_each(labels: np.ndarray, lacking: np.ndarray) -> np.ndarray:
    """Return the first `lacking` (int64 (classes,)) indices of each class in `labels` (int (n,)), ascending."""
    order = np.argsort(labels, kind="stable")
    begins = np.searchsorted(labels[order], np.arange(len(lacking)))
    rank = np.arange(len(labels)) - begins[labels[order]]
    return np.sort(order[rank < lacking[labels[order]]])


def _texts(
    shards: Shards, description: Description, recipe: Recipe | None, entry: Entry, positions: np.ndarray
) -> dict[int, str]:
    """Return what was done to the images at `positions` of a stored epoch; nothing for originals."""
    if entry.split != "epoch" or recipe is None or not len(positions):
        return {}
    try:
        drawn = distortions_at(shards.directory, description, recipe, entry, positions)
    except EpochbankError as error:
        shards.drop(entry, error)
        return {}
    return dict(zip(positions.tolist(), drawn, strict=True))


def _text(entry: Entry, position: int, row: int, drawn: str | None) -> str:
    if entry.split != "epoch":
        return f"{entry.split}, row {row}"
    return "\n".join(filter(None, [drawn, f"epoch {entry.epoch}, position {position}, row {row}"]))
