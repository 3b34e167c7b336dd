"""Tasks of an inspection: they read images and return facts about each of them, or compare pairs of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ...errors import EpochbankError
from ...ingest.block import batches_of_one_shape
from ...ingest.dhash import dhash
from ...ingest.near_duplicates import correlating
from ...ingest.preprocess import Preprocessing, border, examine, to_color_mode_many
from ...ingest.resize import resizer
from ...sources import Reader
from ...sources.decode import BadImage
from ...sources.value_range import in_bytes
from ...store.digest import image_digests

FACTS = np.dtype(
    [("height", "<u4"), ("width", "<u4"), ("digest", "<u8", (2,)), ("dhash", "<u8", (2,)), ("flags", "u1")]
)  # fmt: skip
"""Facts about an image: size in pixels; digest of its pixels as an import would store them; perceptual hash; flags.

An unusable image has its flag only."""
BAD, CONSTANT, BLANK, LIGHT, COLOR = 1, 2, 4, 8, 16
"""Flags: unusable; all pixels are equal; nearly no contrast; light background and color, as `examine` defines them."""

LEAST_CONTRAST = 32
"""An image is blank if its darkest and brightest pixel differ by less than this, of 255, in every channel."""

_LARGE, _COLOR_TOLERANCE = 512, 8
"""The limits of `examine`: it reduces images with a longer side, and takes smaller differences of channels for gray."""


@dataclass(frozen=True)
class ImageLoader:
    """Reads images of a source and preprocesses them, in a worker process."""

    reader: Reader
    comparison: Preprocessing
    """Preprocessing of images that are compared, of limited size."""
    imported: Preprocessing
    """Preprocessing of an import."""
    engine: str

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray | BadImage]:
        """Yield the images at `indices` (int64, ascending) as they are, in batches of one shape."""
        return batches_of_one_shape(in_bytes(self.reader.read(indices), self.imported.value_ranges))

    def preprocess(self, images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
        """Preprocess images of one shape, uint8 (n, h, w) or (n, h, w, 3), to uint8 (n, H, W, C)."""
        images = np.ascontiguousarray(to_color_mode_many(images, preprocessing))
        return resizer(self.engine, preprocessing)(images, preprocessing)


def facts_of_block(block: tuple[ImageLoader, np.ndarray]) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Return facts (`FACTS`, (n,)) about the images at indices (int64 (n,), ascending), and the unusable ones.

    For each unusable image, its number in the block and the reason are returned.
    """
    loader, indices = block
    facts, bad, done = np.zeros(len(indices), FACTS), [], 0
    for batch in loader.read(indices):
        if isinstance(batch, BadImage):
            facts["flags"][done] = BAD
            bad.append((done, str(batch)))
            done += 1
        else:
            facts[done : done + len(batch)] = facts_of(batch, loader)
            done += len(batch)
    if done != len(indices):
        raise ValueError(f"the reader gave {done} images; expected {len(indices)}")
    return facts, bad


def compare_block(block: tuple[ImageLoader, np.ndarray]) -> np.ndarray:
    """Return those of pairs of indices (int64 (k, 2)) whose images correlate with 0.99 or more.

    All images could be read before; raises `EpochbankError` if one cannot be read any more.
    """
    loader, pairs = block
    indices = np.unique(pairs)
    images: list[np.ndarray] = []
    for batch in loader.read(indices):
        if isinstance(batch, BadImage):
            raise EpochbankError("the source changed during the inspection. Run the command again.")
        images.extend(loader.preprocess(batch, loader.comparison))
    return indices[correlating(np.searchsorted(indices, pairs), images.__getitem__)]


def facts_of(images: np.ndarray, loader: ImageLoader) -> np.ndarray:
    """Return facts (`FACTS`, (n,)) about images of one shape, uint8 (n, h, w) or (n, h, w, 3)."""
    images = np.ascontiguousarray(images)
    facts = np.zeros(len(images), FACTS)
    facts["height"], facts["width"] = images.shape[1:3]
    imported = loader.preprocess(images, loader.imported)
    facts["digest"] = image_digests(imported)
    same = loader.imported == loader.comparison
    facts["dhash"] = dhash(imported if same else loader.preprocess(images, loader.comparison))
    contrast = np.ptp(images.reshape(len(images), images.shape[1] * images.shape[2], -1), axis=1).max(axis=1)
    color, light = _color_and_light(images)
    for flag, has in ((CONSTANT, contrast == 0), (BLANK, (contrast > 0) & (contrast < LEAST_CONTRAST)),
                      (LIGHT, light), (COLOR, color)):  # fmt: skip
        facts["flags"] |= np.where(has, np.uint8(flag), np.uint8(0))
    return facts


def _color_and_light(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each image whether `examine` finds color and a light background, bool (n,) both."""
    if max(images.shape[1:3]) > _LARGE:
        examined = [examine([Image.fromarray(image)]) for image in images]
        return np.array([one.color == 1 for one in examined]), np.array([one.light == 1 for one in examined])
    if images.ndim == 3:
        return np.zeros(len(images), bool), _light(images)
    color = (images.max(axis=3) - images.min(axis=3)).reshape(len(images), -1).max(axis=1) > _COLOR_TOLERANCE
    gray = to_color_mode_many(images, Preprocessing(images.shape[1], images.shape[2], 1, invert=False))[..., 0]
    return color, _light(gray)


def _light(gray: np.ndarray) -> np.ndarray:
    return np.median(border(gray), axis=1) >= 128
