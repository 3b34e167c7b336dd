"""Ranges in pixels that scale with the image: `pixels_at` is the shorter side of the images that they are meant for."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...shared.types import Shape
from .base import Range, is_number

LARGEST_SIDE = 4096
"""Largest side of an image, in pixels."""


@dataclass(frozen=True)
class SideRule:
    """Annotation of the field `pixels_at`, which holds the shorter side of an image in pixels, or None."""

    younger: ClassVar[bool] = True

    def check(self, name: str, value: Any) -> int | None:
        """Return `value`; raise `ValueError` if it is neither None nor a side."""
        if value is None or (is_number(value) and 1 <= value <= LARGEST_SIDE and value == int(value)):
            return None if value is None else int(value)
        raise ValueError(f"{name} = {value!r}; expected a whole number of pixels from 1 to {LARGEST_SIDE}")


def in_pixels(values: np.ndarray, limits: Range, factor: float) -> np.ndarray:
    """Return `values` (float64), which are in pixels, times `factor`, within the bounds `limits` of the operation."""
    return values if factor == 1 else (values * factor).clip(*limits)


def size_factor(shape: Shape, pixels_at: int | None) -> float:
    """Return the shorter side of `shape` (H, W, C) divided by `pixels_at`; 1 if `pixels_at` is None."""
    return 1.0 if pixels_at is None else min(shape[:2]) / pixels_at
