"""Albumentations on glyphs: nearest-neighbor rotation, then Gaussian blur, one image at a time, as it is usually used.

OpenCV uses one thread. Images are (H, W), which is faster than (H, W, 1). The window of the blur is Albumentations'
default, 3 to 9 pixels wide. There is no shear, scale, sine or sharpening; see `albumentations_mix.py`. Albumentations
is faster with OpenCV 5.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from distorters.ranges import DEGREES, SIGMA

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # It would query the package index.

KIND = "glyphs"
REQUIRES = {"albumentations": "albumentations", "cv2": "opencv-python-headless"}


def distorter(images: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    return one_by_one([rotation(), blur()], images[..., 0])


def rotation() -> Any:
    import albumentations as A
    import cv2

    return A.Rotate(limit=DEGREES, interpolation=cv2.INTER_NEAREST, border_mode=cv2.BORDER_CONSTANT, fill=0, p=1)


def blur() -> Any:
    import albumentations as A

    return A.GaussianBlur(sigma_limit=SIGMA, p=1)


def one_by_one(transforms: list[Any], images: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    """Apply all `transforms` to each of uint8 `images`, (n, H, W) or (n, H, W, C)."""
    import albumentations as A
    import cv2

    cv2.setNumThreads(1)
    augment = A.Compose(transforms, seed=1)
    return lambda: ((augment(image=image)["image"],) for image in images)
