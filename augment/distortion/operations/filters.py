"""Operations that filter an image: blur, sharpen, smooth, exactly as Pillow computes them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image, ImageFilter

from ...shared.types import Shape
from .base import Bounds, Operation, Parameters, Range, between
from .pixel_ranges import SideRule, in_pixels, size_factor

_RADII = (0.0, 100.0)
"""Least and largest radius of a blur, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Blur(Operation):
    """`ImageFilter.GaussianBlur(radius)`. With `pixels_at`, the radius grows with the shorter side of the image."""

    name: ClassVar[str] = "blur"
    radius: Annotated[Range, Bounds(*_RADII)] = (0.5, 1.2)
    pixels_at: Annotated[int | None, SideRule()] = None

    def uniforms(self, shape: Shape) -> int:
        """Return 1, for the radius."""
        return 1

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `radius` (n,) float64, in pixels."""
        radius = between(uniform[:, 0], self.radius)
        return {"radius": in_pixels(radius, _RADII, size_factor(shape, self.pixels_at))}

    def apply(self, image: Image.Image, *, radius: float) -> Image.Image:
        """Blur with standard deviation `radius`."""
        return image.filter(ImageFilter.GaussianBlur(radius))


@dataclass(frozen=True, kw_only=True)
class _Kernel(Operation):
    """A fixed 3 x 3 filter with equal weights around the center; it has no parameters."""

    kernel: ClassVar[type[ImageFilter.BuiltinFilter]]

    def uniforms(self, shape: Shape) -> int:
        """Return 0."""
        return 0

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return no parameters."""
        return {}

    def apply(self, image: Image.Image) -> Image.Image:
        """Filter with the 3 x 3 kernel; the border is copied."""
        return image.filter(self.kernel)

    def apply_many(self, images: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Apply the filter in integers, a few images at a time, so that they stay in the processor's cache.

        Pillow adds up floats and rounds half up; none of these sums comes near enough to a half for that to matter
        (`filterargs` of `ImageFilter` has the weights).
        """
        _, scale, _, weights = self.kernel.filterargs
        result = images.copy()
        for start in range(0, len(images), _BLOCK):
            result[start : start + _BLOCK, 1:-1, 1:-1] = _filtered(
                images[start : start + _BLOCK].astype(np.int16), int(weights[4]), int(weights[0]), int(scale)
            )
        return result


_BLOCK = 8


def _filtered(images: np.ndarray, center: int, around: int, scale: int) -> np.ndarray:
    """Inner pixels of `images` (int16 (n, H, W, C)): (center * pixel + around * neighbors) / scale, rounded."""
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    boxes = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    boxes *= 2 * around
    boxes += images[:, 1:-1, 1:-1] * (2 * (center - around))
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
