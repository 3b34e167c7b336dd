"""Albumentations on glyphs, as close to the recipe `kanji` as possible, one image at a time.

One of four geometric operations: rotation, shear, scale with translation, and a grid distortion, because there is no
sine; nearest neighbor, except for the bilinear scale. Then one of three filters: Gaussian blur, sharpening, and a box
blur as smoothing.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from distorters.albumentations import KIND, REQUIRES, blur, one_by_one, rotation

__all__ = ["KIND", "REQUIRES", "distorter"]

_SHEAR_DEGREES = math.degrees(math.atan(0.2))


def distorter(images: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    import albumentations as A
    import cv2

    nearest = cv2.INTER_NEAREST
    shear = (-_SHEAR_DEGREES, _SHEAR_DEGREES)
    geometric = [
        rotation(),
        A.Affine(shear={"x": shear, "y": shear}, interpolation=nearest, p=1),
        A.Affine(scale={"x": (0.39, 0.97), "y": (0.39, 0.97)}, translate_percent=(-0.15, 0.15), p=1),
        A.GridDistortion(interpolation=nearest, p=1),
    ]
    filters = [blur(), A.Sharpen(p=1), A.Blur(blur_limit=3, p=1)]
    return one_by_one([A.OneOf(geometric, p=1), A.OneOf(filters, p=1)], images[..., 0])
