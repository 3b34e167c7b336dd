"""Albumentations on photos: one bilinear affine transform, Gaussian blur, contrast with brightness, gamma; one image
at a time, as it is usually used.

OpenCV uses one thread. The window of the blur is Albumentations' default, 3 to 9 pixels wide.
"""

from collections.abc import Callable, Iterator

import numpy as np

from distorters.albumentations import REQUIRES, blur, one_by_one
from distorters.ranges import BRIGHTNESS, CONTRAST, DEGREES, GAMMA, SCALE, SHEAR_DEGREES, SHIFT

__all__ = ["KIND", "REQUIRES", "distorter"]

KIND = "photos"


def distorter(images: np.ndarray) -> Callable[[], Iterator[tuple[np.ndarray]]]:
    import albumentations as A
    import cv2

    affine = A.Affine(
        scale=SCALE,
        translate_percent=(-SHIFT, SHIFT),
        rotate=(-DEGREES, DEGREES),
        shear={"x": (-SHEAR_DEGREES, SHEAR_DEGREES), "y": (0, 0)},
        interpolation=cv2.INTER_LINEAR,
        p=1,
    )
    tones = [
        A.RandomBrightnessContrast(brightness_limit=BRIGHTNESS, contrast_limit=CONTRAST, p=1),
        A.RandomGamma(gamma_limit=(100 * GAMMA[0], 100 * GAMMA[1]), p=1),
    ]
    return one_by_one([affine, blur(), *tones], images)
