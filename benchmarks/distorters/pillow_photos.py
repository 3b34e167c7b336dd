"""Pillow on photos: one bilinear affine transform, Gaussian blur, and contrast, brightness and gamma in one lookup
table; one image at a time, uint8 arrays in and out.

The transform combines rotation, shear, scale and translation in one matrix, which maps coordinates of the result to
coordinates of the image. The outside is black.
"""

import math
import random
from collections.abc import Callable, Iterator

import numpy as np

from distorters.ranges import BRIGHTNESS, CONTRAST, DEGREES, GAMMA, SCALE, SHEAR_DEGREES, SHIFT, SIGMA

KIND = "photos"
REQUIRES = {"PIL": "pillow"}
_LEVELS = np.arange(256) / 255


def distorter(images: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    return lambda: ((_distort(image),) for image in images)


def _distort(image: np.ndarray) -> np.ndarray:
    """Distort one image, uint8 (H, W, 3)."""
    from PIL import Image, ImageFilter

    pil_image = Image.fromarray(image)
    pil_image = pil_image.transform(
        pil_image.size, Image.Transform.AFFINE, _matrix(*pil_image.size), Image.Resampling.BILINEAR
    )
    pil_image = pil_image.filter(ImageFilter.GaussianBlur(random.uniform(*SIGMA)))
    return np.asarray(pil_image.point(_table()))


def _matrix(width: int, height: int) -> tuple[float, ...]:
    """Return Pillow's six coefficients: about the center, from (x, y) of the result to (x, y) of the image."""
    angle = math.radians(random.uniform(-DEGREES, DEGREES))
    shear = math.tan(math.radians(random.uniform(-SHEAR_DEGREES, SHEAR_DEGREES)))
    scale = random.uniform(*SCALE)
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    a, b, d, e = cos - shear * sin, -sin - shear * cos, sin, cos
    x = width / 2 + width * random.uniform(-SHIFT, SHIFT)
    y = height / 2 + height * random.uniform(-SHIFT, SHIFT)
    return a, b, width / 2 - a * x - b * y, d, e, height / 2 - d * x - e * y


def _table() -> list[int]:
    """Return 256 levels for each of three channels."""
    contrast, brightness = 1 + random.uniform(-CONTRAST, CONTRAST), random.uniform(-BRIGHTNESS, BRIGHTNESS)
    levels = np.clip((_LEVELS - 0.5) * contrast + 0.5 + brightness, 0, 1) ** random.uniform(*GAMMA)
    return np.rint(255 * levels).astype(np.uint8).tolist() * 3
