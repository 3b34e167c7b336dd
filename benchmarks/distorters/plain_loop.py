"""The loop that epochbank replaces: the recipe `kanji`, one picture at a time; see `benchmarks/plain_loop.py`.

One of rotate, shear, scale and sine, then one of blur, sharpen and smooth. float16 pictures in [0, 1], made
beforehand, in and out.
"""

from collections.abc import Callable, Iterator

import numpy as np

PICTURES = "glyphs"
REQUIRES = {"PIL": "pillow"}


def distorter(pictures: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    from plain_loop import distort_plainly

    plain = (pictures[..., 0] / 255).astype(np.float16)
    return lambda: ((distort_plainly(picture),) for picture in plain)
