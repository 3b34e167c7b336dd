"""The images that are distorted: glyphs, and crops of real photographs."""

import numpy as np

_GLYPHS, _PHOTOS = 4096, 256
_SIDE = 224


def sample_images(kind: str, count: int | None) -> np.ndarray:
    """Return `count` images of a kind, `glyphs` or `photos`; None for as many as take a few tenths of a second."""
    return _glyphs(count or _GLYPHS) if kind == "glyphs" else _photos(count or _PHOTOS)


def _glyphs(count: int) -> np.ndarray:
    """Return uint8 (n, 64, 64, 1): bright strokes on black."""
    from glyphs import glyphs

    return glyphs(count)[0][..., None]


def _photos(count: int) -> np.ndarray:
    """Return uint8 (n, 224, 224, 3): random crops of the two photographs that scikit-learn ships."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photographs = load_sample_images().images
    images = np.empty((count, _SIDE, _SIDE, 3), np.uint8)
    for number, image in enumerate(images):
        photograph = photographs[number % len(photographs)]
        top, left = (int(rng.integers(0, side - _SIDE + 1)) for side in photograph.shape[:2])
        image[:] = photograph[top : top + _SIDE, left : left + _SIDE]
    return images
