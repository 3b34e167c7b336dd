"""The pass that is not timed: every picture comes once, in order, and distorted."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

_NEARLY_ALL = 0.99
"""Of the pictures that must be changed: a blank one stays as it is."""


def check(distort: Callable[[], Iterable[Sequence[Any]]], pictures: np.ndarray) -> None:
    """Distort all `pictures`, uint8 (n, H, W, C), and refuse what cannot be their distortions."""
    done, changed = 0, 0
    for batch in distort():
        for picture in map(np.asarray, batch):
            if picture.size != pictures[done].size:
                raise SystemExit(f"got a picture of shape {picture.shape}; expected {pictures.shape[1:]}")
            changed += bool(picture.any()) and not np.array_equal(picture.ravel(), pictures[done].ravel())
            done += 1
    if done != len(pictures) or changed < _NEARLY_ALL * done:
        raise SystemExit(f"got {done} pictures, {changed} of them distorted; expected all {len(pictures)}")
