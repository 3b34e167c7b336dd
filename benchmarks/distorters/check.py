"""The untimed pass, which checks that every image is returned once, in order, and distorted."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

_NEARLY_ALL = 0.99
"""Minimum share of changed images; blank images stay unchanged."""


def check(distort: Callable[[], Iterable[Sequence[Any]]], images: np.ndarray) -> None:
    """Distort all `images`, uint8 (n, H, W, C), and exit with a message if the results cannot be their distortions."""
    done, changed = 0, 0
    for batch in distort():
        for image in map(np.asarray, batch):
            if image.size != images[done].size:
                raise SystemExit(f"got an image of shape {image.shape}; expected {images.shape[1:]}")
            changed += bool(image.any()) and not np.array_equal(image.ravel(), images[done].ravel())
            done += 1
    if done != len(images) or changed < _NEARLY_ALL * done:
        raise SystemExit(f"got {done} images, {changed} of them distorted; expected all {len(images)}")
