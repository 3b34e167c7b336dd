"""Operations that keep ink in place: blur, sharpen, smooth, exactly as Pillow computes them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageFilter

from augment.operations.base import Operation, Parameters, Range, Shape, between, check_range


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
    """A fixed filter: nothing to draw."""

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
