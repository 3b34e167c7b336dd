"""MixUp and CutMix: each image of a batch is combined with another one of the batch, and so are their labels.

H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018: x = w a + (1 - w) b, with w drawn from
Beta(alpha, alpha). S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
Features", ICCV 2019: a box of b that covers the share 1 - w of the image is pasted into a. Every image has its own w.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.philox import raw_words
from .batches import Segment
from .order import key_of, shuffled

ONE = 256
"""Weights are multiples of 1/256, so that blending is exact in integers."""

_QUANTILES = 4096


class SoftLabels(NamedTuple):
    """Labels of B images as weighted sums of m classes; the weights of an image, with its rest, sum to 1."""

    classes: np.ndarray
    """int32 (B, m); a class may occur several times. A negative number c is the class -1 - c of a teacher."""
    weights: np.ndarray
    """float32 (B, m)."""
    rest: np.ndarray | None = None
    """float32 (B,): the weight that is divided evenly among all classes, that of a teacher; None without one."""

    def first(self, count: int) -> "SoftLabels":
        """Return the labels of the first `count` images."""
        rest = None if self.rest is None else self.rest[:count]
        return SoftLabels(self.classes[:count], self.weights[:count], rest)


Labels = np.ndarray | SoftLabels
"""Labels of a batch: int32 (B,), or soft ones."""

Batch = tuple[np.ndarray, Labels]
"""Images uint8 (B, H, W, C), and their labels."""


def soft(labels: Labels) -> SoftLabels:
    """Return labels as soft ones."""
    if isinstance(labels, SoftLabels):
        return labels
    return SoftLabels(labels[:, None], np.ones((len(labels), 1), np.float32))


@dataclass(frozen=True)
class Mixing:
    """MixUp, CutMix, or one of them at random for each image if both have an alpha above 0."""

    mixup: float
    """Alpha of MixUp; 0 for none."""
    cutmix: float
    """Alpha of CutMix; 0 for none."""
    seed: int

    def __post_init__(self) -> None:
        for name in ("mixup", "cutmix"):
            alpha = getattr(self, name)
            if not 0 <= alpha <= 100:
                raise EpochbankError(f"{name}={alpha:g}; expected an alpha from 0 (off) to 100.", usage=True)

    def draw(self, segments: list[Segment], shape: tuple[int, ...]) -> "MixDraw":
        """Draw what is mixed in the batch of `segments`, whose images have `shape` (B, H, W, C)."""
        first, count = segments[0], shape[0]
        key = key_of("mix", self.seed, *first.key, first.start, count)
        partner = shuffled(count, key)
        words = raw_words(4 * count, key ^ 1).reshape(4, count)
        quantile = (words[0] >> np.uint64(52)).astype(np.int64)
        both = self.mixup and self.cutmix
        cut = words[1] >> np.uint64(63) == 1 if both else np.full(count, bool(self.cutmix))
        weights, boxes = np.full(count, ONE, np.int64), np.zeros((count, 4), np.int64)
        if self.mixup:
            weights[~cut] = self._mixup_weights[quantile[~cut]]
        if self.cutmix:
            boxes[cut] = _boxes(self._cutmix_shares[quantile[cut]], words[2:, cut], shape[1:3])
        kept = np.where(cut, 1 - boxes[:, 2] * boxes[:, 3] / (shape[1] * shape[2]), weights / ONE)
        return MixDraw(partner, weights, boxes, kept.astype(np.float32))

    @cached_property
    def _mixup_weights(self) -> np.ndarray:
        return np.rint(_beta_quantiles(self.mixup) * ONE).astype(np.int64)

    @cached_property
    def _cutmix_shares(self) -> np.ndarray:
        return _beta_quantiles(self.cutmix)


class MixDraw(NamedTuple):
    """What is mixed in a batch of B images."""

    partner: np.ndarray
    """int64 (B,): the image that each image is mixed with."""
    weights: np.ndarray
    """int64 (B,): MixUp weight of the image, in 1/256; 256 for images that CutMix changes."""
    boxes: np.ndarray
    """int64 (B, 4): left, top, width, height of the box that comes from the partner; all 0 for none."""
    kept: np.ndarray
    """float32 (B,): weight of the image's own label."""

    def images(self, images: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Mix `images` (uint8 (B, H, W, C)) into `out`, another array like it, and return it."""
        from .mix_kernel import mix

        mix(images, out, self.partner, self.weights, self.boxes)
        return out

    def labels(self, labels: Labels) -> SoftLabels:
        """Mix the labels of the batch."""
        labels = soft(labels)
        own = self.kept[:, None]
        classes = np.concatenate([labels.classes, labels.classes[self.partner]], 1)
        weights = np.concatenate([labels.weights * own, labels.weights[self.partner] * (1 - own)], 1)
        rest = labels.rest
        if rest is not None:
            rest = rest * self.kept + rest[self.partner] * (1 - self.kept)
        return SoftLabels(classes, weights, rest)


@lru_cache(maxsize=8)
def _beta_quantiles(alpha: float) -> np.ndarray:
    """Return 4,096 equally likely values of Beta(alpha, alpha), float64, as multiples of 2^-24."""
    from scipy.special import betaincinv

    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    # Rounded, so that the last bits of another version of SciPy change nothing.
    return np.rint(np.clip(betaincinv(alpha, alpha, middles), 0, 1) * 2**24) / 2**24


def _boxes(kept: np.ndarray, words: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return boxes, int64 (k, 4), which cover a share of 1 - `kept` (k,) before they are clipped to the image.

    `words` are uint64 (2, k), from which their centers are drawn, and `size` is (H, W).
    """
    boxes = np.empty((len(kept), 4), np.int64)
    side = np.sqrt(1 - kept)
    for at, (word, pixels) in enumerate(zip(words, size[::-1], strict=True)):
        center = ((word >> np.uint64(11)) * 2.0**-53 * pixels).astype(np.int64)
        half = (side * pixels).astype(np.int64) // 2
        low, high = np.maximum(center - half, 0), np.minimum(center + half, pixels)
        boxes[:, at], boxes[:, 2 + at] = low, high - low
    return boxes
