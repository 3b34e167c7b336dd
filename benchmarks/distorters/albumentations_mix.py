"""Albumentations on glyphs, as near to the recipe `kanji` as it comes: one of four geometric operations, one of three
filters, one picture at a time.

Rotation, shear, scale with translation, and, as there is no sine, a grid distortion, all nearest neighbour but the
scale, which is bilinear; then Gaussian blur, sharpening or a box blur for smoothing.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from distorters.albumentations import PICTURES, REQUIRES, blur, one_by_one, rotation

__all__ = ["PICTURES", "REQUIRES", "distorter"]

_SHEAR_DEGREES = math.degrees(math.atan(0.2))


def distorter(pictures: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    import albumentations as A
    import cv2

    nearest = cv2.INTER_NEAREST
    either = (-_SHEAR_DEGREES, _SHEAR_DEGREES)
    geometric = [
        rotation(),
        A.Affine(shear={"x": either, "y": either}, interpolation=nearest, p=1),
        A.Affine(scale={"x": (0.39, 0.97), "y": (0.39, 0.97)}, translate_percent=(-0.15, 0.15), p=1),
        A.GridDistortion(interpolation=nearest, p=1),
    ]
    filters = [blur(), A.Sharpen(p=1), A.Blur(blur_limit=3, p=1)]
    return one_by_one([A.OneOf(geometric, p=1), A.OneOf(filters, p=1)], pictures[..., 0])
