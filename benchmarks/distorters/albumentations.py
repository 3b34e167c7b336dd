"""Albumentations on glyphs: nearest-neighbour rotation, then Gaussian blur, one picture at a time, as it is used.

OpenCV with one thread; pictures (H, W), which it takes in less time than (H, W, 1). The blur's window is what
Albumentations takes by itself, 3 to 9 pixels wide. Nothing else is done: no shear, scale, sine or sharpening; see
`albumentations_mix.py`. OpenCV 5 is the faster below it.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from distorters.ranges import DEGREES, SIGMA

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # which asks the package index

PICTURES = "glyphs"
REQUIRES = {"albumentations": "albumentations", "cv2": "opencv-python-headless"}


def distorter(pictures: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    return one_by_one([rotation(), blur()], pictures[..., 0])


def rotation() -> Any:
    import albumentations as A
    import cv2

    return A.Rotate(limit=DEGREES, interpolation=cv2.INTER_NEAREST, border_mode=cv2.BORDER_CONSTANT, fill=0, p=1)


def blur() -> Any:
    import albumentations as A

    return A.GaussianBlur(sigma_limit=SIGMA, p=1)


def one_by_one(transforms: list[Any], pictures: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    """Put uint8 `pictures`, (n, H, W) or (n, H, W, C), through all `transforms`."""
    import albumentations as A
    import cv2

    cv2.setNumThreads(1)
    augment = A.Compose(transforms, seed=1)
    return lambda: ((augment(image=picture)["image"],) for picture in pictures)
