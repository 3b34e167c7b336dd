"""Pillow on photos: one bilinear affine transform, Gaussian blur, and contrast, brightness and gamma in one table; one
picture at a time, uint8 arrays in and out.

The transform is rotation, shear, scale and translation in one matrix, from places in the result to places in the
picture; black moves in.
"""

import math
import random
from collections.abc import Callable, Iterator

import numpy as np

from distorters.ranges import BRIGHTNESS, CONTRAST, DEGREES, GAMMA, SCALE, SHEAR_DEGREES, SHIFT, SIGMA

PICTURES = "photos"
REQUIRES = {"PIL": "pillow"}
_LEVELS = np.arange(256) / 255


def distorter(pictures: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    return lambda: ((_distort(picture),) for picture in pictures)


def _distort(picture: np.ndarray) -> np.ndarray:
    """Distort one picture, uint8 (H, W, 3)."""
    from PIL import Image, ImageFilter

    image = Image.fromarray(picture)
    image = image.transform(image.size, Image.Transform.AFFINE, _matrix(*image.size), Image.Resampling.BILINEAR)
    image = image.filter(ImageFilter.GaussianBlur(random.uniform(*SIGMA)))
    return np.asarray(image.point(_table()))


def _matrix(width: int, height: int) -> tuple[float, ...]:
    """Pillow's six numbers: about the centre, from (x, y) of the result to (x, y) of the picture."""
    turn = math.radians(random.uniform(-DEGREES, DEGREES))
    shear = math.tan(math.radians(random.uniform(-SHEAR_DEGREES, SHEAR_DEGREES)))
    scale = random.uniform(*SCALE)
    cos, sin = math.cos(turn) / scale, math.sin(turn) / scale
    a, b, d, e = cos - shear * sin, -sin - shear * cos, sin, cos
    x = width / 2 + width * random.uniform(-SHIFT, SHIFT)
    y = height / 2 + height * random.uniform(-SHIFT, SHIFT)
    return a, b, width / 2 - a * x - b * y, d, e, height / 2 - d * x - e * y


def _table() -> list[int]:
    """256 levels for each of three channels."""
    contrast, brightness = 1 + random.uniform(-CONTRAST, CONTRAST), random.uniform(-BRIGHTNESS, BRIGHTNESS)
    levels = np.clip((_LEVELS - 0.5) * contrast + 0.5 + brightness, 0, 1) ** random.uniform(*GAMMA)
    return np.rint(255 * levels).astype(np.uint8).tolist() * 3
