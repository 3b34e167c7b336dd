"""What is distorted: glyphs, and crops of real photographs."""

from collections.abc import Callable

import numpy as np

_GLYPHS, _PHOTOS = 4096, 256
_SIDE = 224


def _glyphs(count: int | None) -> np.ndarray:
    """uint8 (n, 64, 64, 1): bright strokes on black."""
    from glyphs import glyphs

    return glyphs(count or _GLYPHS)[0][..., None]


def _photos(count: int | None) -> np.ndarray:
    """uint8 (n, 224, 224, 3): places drawn from the two photographs that scikit-learn ships."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photographs = load_sample_images().images
    pictures = np.empty((count or _PHOTOS, _SIDE, _SIDE, 3), np.uint8)
    for number, picture in enumerate(pictures):
        photograph = photographs[number % len(photographs)]
        top, left = (int(rng.integers(0, side - _SIDE + 1)) for side in photograph.shape[:2])
        picture[:] = photograph[top : top + _SIDE, left : left + _SIDE]
    return pictures


MATERIAL: dict[str, Callable[[int | None], np.ndarray]] = {"glyphs": _glyphs, "photos": _photos}
"""By the name in a peer's PICTURES: so many pictures, or as many as make a pass of some tenths of a second."""
