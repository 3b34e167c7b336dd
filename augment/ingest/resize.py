"""Resizing on import: with Pillow, or with the compiled kernel if it reproduces Pillow's pixels."""

from collections.abc import Callable
from functools import cache

import numpy as np

from ..console import notify
from .preprocess import Preprocessing, resize_each

Resize = Callable[[np.ndarray, Preprocessing], np.ndarray]
"""`resize(images, preprocessing)`: uint8 (n, h, w, C), contiguous, to uint8 (n, H, W, C)."""

_WORTH_COMPILING = 2048
"""Number of images that Pillow resizes in the time that the compiled engine takes to start."""
_CHECKED_SIZES = ((127, 128), (28, 28), (63, 64), (40, 70), (9, 5))


def resize_engine_for(num_images: int) -> str:
    """Return the engine that resizes `num_images` images in less time, start included: `compiled` or `pillow`."""
    return "compiled" if num_images >= _WORTH_COMPILING else "pillow"


@cache
def resizer(engine: str, preprocessing: Preprocessing) -> Resize:
    """Return the resize function of `engine`; Pillow's if the compiled one fails or its pixels differ."""
    if engine == "pillow":
        return resize_each
    rng = np.random.Generator(np.random.Philox(0))
    try:
        from .compiled_resize import resize_compiled

        for height, width in _CHECKED_SIZES:
            images = rng.integers(0, 256, (2, height, width, preprocessing.channels), np.uint8)
            if not np.array_equal(resize_compiled(images, preprocessing), resize_each(images, preprocessing)):
                return resize_each
    except Exception as error:  # A compiler may raise anything; Pillow gives the same pixels, more slowly.
        notify(f"the compiled engine is unavailable ({type(error).__name__}: {error}): the import falls back to Pillow")
        return resize_each
    return resize_compiled
