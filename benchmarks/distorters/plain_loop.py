"""The loop that epochbank replaces: the recipe `kanji`, one image at a time; see `benchmarks/plain_loop.py`.

One of rotate, shear, scale and sine, then one of blur, sharpen and smooth. Input and output are float16 images in
[0, 1]; the conversion to float16 is not timed.
"""

from collections.abc import Callable, Iterator

import numpy as np

KIND = "glyphs"
REQUIRES = {"PIL": "pillow"}


def distorter(images: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    from plain_loop import distort_plainly

    plain = (images[..., 0] / 255).astype(np.float16)
    return lambda: ((distort_plainly(image),) for image in plain)
