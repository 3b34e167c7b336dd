"""Operations that keep ink in place: blur, sharpen, smooth, exactly as Pillow computes them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageFilter

from .base import Operation, Parameters, Range, Shape, between, check_range


@dataclass(frozen=True, kw_only=True)
class Blur(Operation):
    """`ImageFilter.GaussianBlur(radius)`."""

    name: ClassVar[str] = "blur"
    radius: Range = (0.5, 1.2)

    def __post_init__(self) -> None:
        check_range(self, "radius", 0, 100)

    def uniforms(self, shape: Shape) -> int:
        """One: the radius."""
        return 1

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`radius` (n,) float64, pixels."""
        return {"radius": between(uniform[:, 0], self.radius)}

    def apply(self, image: Image.Image, *, radius: float) -> Image.Image:
        """Blur with standard deviation `radius`."""
        return image.filter(ImageFilter.GaussianBlur(radius))


@dataclass(frozen=True, kw_only=True)
class _Kernel(Operation):
    """A fixed 3 x 3 filter with equal weights around the centre: nothing to draw."""

    kernel: ClassVar[type[ImageFilter.BuiltinFilter]]

    def uniforms(self, shape: Shape) -> int:
        """None."""
        return 0

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """No parameters."""
        return {}

    def apply(self, image: Image.Image) -> Image.Image:
        """Filter with the 3 x 3 kernel; the border is copied."""
        return image.filter(self.kernel)

    def apply_many(self, pictures: np.ndarray, parameters: Parameters) -> np.ndarray:
        """The same in whole numbers, a few pictures at a time, so that they stay in the processor's cache.

        Pillow adds up floats and rounds half up; no sum of ours comes near enough to a half for its
        floats to matter (`filterargs` of `ImageFilter` has the weights).
        """
        _, scale, _, weights = self.kernel.filterargs
        result = pictures.copy()
        for start in range(0, len(pictures), _AT_A_TIME):
            result[start : start + _AT_A_TIME, 1:-1, 1:-1] = _filtered(
                pictures[start : start + _AT_A_TIME].astype(np.int16), int(weights[4]), int(weights[0]), int(scale)
            )
        return result


_AT_A_TIME = 8


def _filtered(pictures: np.ndarray, centre: int, around: int, scale: int) -> np.ndarray:
    """Inner pixels of `pictures` (int16 (n, H, W, C)): (centre * pixel + around * neighbours) / scale, rounded."""
    rows = pictures[:, :-2] + pictures[:, 1:-1] + pictures[:, 2:]
    boxes = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    boxes *= 2 * around
    boxes += pictures[:, 1:-1, 1:-1] * (2 * (centre - around))
    boxes += scale
    boxes //= 2 * scale
    return boxes.clip(0, 255, out=boxes)


@dataclass(frozen=True, kw_only=True)
class Sharpen(_Kernel):
    """`ImageFilter.SHARPEN`."""

    name: ClassVar[str] = "sharpen"
    kernel: ClassVar[type[ImageFilter.BuiltinFilter]] = ImageFilter.SHARPEN


@dataclass(frozen=True, kw_only=True)
class Smooth(_Kernel):
    """`ImageFilter.SMOOTH`."""

    name: ClassVar[str] = "smooth"
    kernel: ClassVar[type[ImageFilter.BuiltinFilter]] = ImageFilter.SMOOTH
