"""The tasks of an inspection: pictures are read, and what can be told of each, and of pairs of them, is given back."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ...distortion.engine import fitting
from ...errors import EpochbankError
from ...ingest.block import runs_of_one_shape
from ...ingest.dhash import likeness
from ...ingest.near_duplicates import correlating
from ...sources import Reader
from ...sources.decode import BadPicture, Treatment, coloured_run, look_at
from ...store.digest import picture_digests

FACTS = np.dtype(
    [("height", "<u4"), ("width", "<u4"), ("digest", "<u8", (2,)), ("likeness", "<u8", (2,)), ("flags", "u1")]
)  # fmt: skip
"""What is known of a picture: its size; the digest of its pixels as an import would store them, and its likeness; a sum
of flags. All 0 but the flag of one that cannot be used."""
BAD, CONSTANT, BLANK, LIGHT, COLOUR = 1, 2, 4, 8, 16
"""Cannot be used; all its pixels are the same; they nearly are; light ground; has colour (as `look_at` judges)."""

LEAST_CONTRAST = 32
"""A picture is blank whose darkest and brightest pixels differ by less, of 255, in each channel."""

_LARGE, _COLOUR_TOLERANCE = 512, 8
"""Side from which on `look_at` judges a smaller copy, as is left to it; channels that differ by no more are grey."""


@dataclass(frozen=True)
class Seen:
    """How pictures are read, and what they are brought to before they are compared."""

    reader: Reader
    treatment: Treatment
    imported: Treatment
    """What an import would bring them to, which may be larger."""
    engine: str

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray | BadPicture]:
        """Pictures at `indices` (int64, ascending) as they are, in runs of one shape."""
        return runs_of_one_shape(self.reader.read(indices))

    def fit(self, run: np.ndarray, treatment: Treatment | None = None) -> np.ndarray:
        """Pictures of one shape, uint8 (n, h, w) or (n, h, w, 3), brought to a treatment's, uint8 (n, H, W, C); None
        for the one by which they are compared."""
        treatment = treatment or self.treatment
        pictures = np.ascontiguousarray(coloured_run(run, treatment))
        return fitting(self.engine, treatment)(pictures, treatment)


def look_at_block(block: tuple[Seen, np.ndarray]) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """The facts (`FACTS`, (n,)) of pictures at indices (int64 (n,), ascending); place and reason of the bad ones."""
    seen, indices = block
    facts, bad, at = np.zeros(len(indices), FACTS), [], 0
    for run in seen.read(indices):
        if isinstance(run, BadPicture):
            facts["flags"][at] = BAD
            bad.append((at, str(run)))
            at += 1
        else:
            facts[at : at + len(run)] = facts_of(run, seen)
            at += len(run)
    if at != len(indices):
        raise ValueError(f"the reader gave {at} pictures; expected {len(indices)}")
    return facts, bad


def compare(block: tuple[Seen, np.ndarray]) -> np.ndarray:
    """Those of pairs of indices (int64 (k, 2)) whose pictures correlate with 0.99 or more.

    Raises `EpochbankError` where one is bad: none was before.
    """
    seen, pairs = block
    indices = np.unique(pairs)
    pictures: list[np.ndarray] = []
    for run in seen.read(indices):
        if isinstance(run, BadPicture):
            raise EpochbankError("the source changed while it was looked at. Give the same command again.")
        pictures.extend(seen.fit(run))
    return indices[correlating(np.searchsorted(indices, pairs), pictures.__getitem__)]


def facts_of(run: np.ndarray, seen: Seen) -> np.ndarray:
    """The facts (`FACTS`, (n,)) of pictures of one shape, uint8 (n, h, w) or (n, h, w, 3)."""
    run = np.ascontiguousarray(run)
    facts = np.zeros(len(run), FACTS)
    facts["height"], facts["width"] = run.shape[1:3]
    imported = seen.fit(run, seen.imported)
    facts["digest"] = picture_digests(imported)
    facts["likeness"] = likeness(imported if seen.imported == seen.treatment else seen.fit(run))
    contrast = np.ptp(run.reshape(len(run), run.shape[1] * run.shape[2], -1), axis=1).max(axis=1)
    colour, light = _colour_and_light(run)
    for flag, has in ((CONSTANT, contrast == 0), (BLANK, (contrast > 0) & (contrast < LEAST_CONTRAST)),
                      (LIGHT, light), (COLOUR, colour)):  # fmt: skip
        facts["flags"] |= np.where(has, np.uint8(flag), np.uint8(0))
    return facts


def _colour_and_light(run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `look_at` says of each picture, bool (n,) both, many at once."""
    if max(run.shape[1:3]) > _LARGE:
        looks = [look_at([Image.fromarray(picture)]) for picture in run]
        return np.array([look.colour == 1 for look in looks]), np.array([look.light == 1 for look in looks])
    if run.ndim == 3:
        return np.zeros(len(run), bool), _light(run)
    colour = (run.max(axis=3) - run.min(axis=3)).reshape(len(run), -1).max(axis=1) > _COLOUR_TOLERANCE
    return colour, _light(coloured_run(run, Treatment(run.shape[1], run.shape[2], 1, invert=False))[..., 0])


def _light(grey: np.ndarray) -> np.ndarray:
    """Whether the median of the outermost pixels of each picture (uint8 (n, h, w)) is in the upper half."""
    border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], axis=1)
    return np.median(border, axis=1) >= 128
