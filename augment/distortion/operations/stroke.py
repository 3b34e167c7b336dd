"""Thicker and thinner strokes by gray dilation and erosion."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image, ImageFilter

from ...shared.types import Shape
from .base import Bounds, Operation, Parameters, Range, between
from .pixel_ranges import SideRule, in_pixels, size_factor

_STRENGTHS = (-8.0, 8.0)
"""Least and largest strength, in steps of one pixel."""


@dataclass(frozen=True, kw_only=True)
class Stroke(Operation):
    """Bright strokes become thicker (`ImageFilter.MaxFilter(3)`) or, below 0, thinner (`MinFilter(3)`).

    `strength` is the number of filter steps. A step moves every edge by one pixel, so a stroke becomes two pixels wider
    or narrower. The fraction of a step is an `Image.blend` of the image and its next step. Thinning and thickening are
    two of the changes of D. Castro et al., "Morpho-MNIST", JMLR 20 (2019); the default range, strokes one pixel wider
    or narrower, is ours. With `pixels_at`, the strength grows with the shorter side of the image.
    """

    name: ClassVar[str] = "stroke"
    strength: Annotated[Range, Bounds(*_STRENGTHS)] = (-0.5, 0.5)
    pixels_at: Annotated[int | None, SideRule()] = None

    def uniforms(self, shape: Shape) -> int:
        """Return 1, for the strength."""
        return 1

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `strength` (n,) float64, in steps: multiples of 1/256, with which Pillow's float32 is exact."""
        strength = between(uniform[:, 0], self.strength)
        strength = in_pixels(strength, _STRENGTHS, size_factor(shape, self.pixels_at))
        return {"strength": np.rint(strength * 256) / 256}

    def apply(self, image: Image.Image, *, strength: float) -> Image.Image:
        """Thicken by `strength` steps, or thin if it is below 0."""
        step = ImageFilter.MaxFilter(3) if strength > 0 else ImageFilter.MinFilter(3)
        whole, part = divmod(abs(strength), 1)
        for _ in range(int(whole)):
            image = image.filter(step)
        return Image.blend(image, image.filter(step), part)
