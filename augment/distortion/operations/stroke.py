"""Thicker and thinner strokes by grey dilation and erosion."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageFilter

from .base import Operation, Parameters, Range, Shape, between, check_range


@dataclass(frozen=True, kw_only=True)
class Stroke(Operation):
    """Bright ink `strength` steps thicker (`ImageFilter.MaxFilter(3)`) or, below 0, thinner (`MinFilter(3)`).

    A step moves every edge by a pixel: it makes a stroke two pixels wider or narrower. What is left of a whole number
    of steps is `Image.blend` between the picture and its next step. Thinning and thickening are two of the changes
    of D. Castro et al., "Morpho-MNIST", JMLR 20 (2019); the range is ours: strokes a pixel wider or narrower.
    """

    name: ClassVar[str] = "stroke"
    strength: Range = (-0.5, 0.5)

    def __post_init__(self) -> None:
        check_range(self, "strength", -8, 8)

    def uniforms(self, shape: Shape) -> int:
        """One: the strength."""
        return 1

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`strength` (n,) float64, steps, a whole number of 256ths: Pillow's float32 is exact with those."""
        return {"strength": np.rint(between(uniform[:, 0], self.strength) * 256) / 256}

    def apply(self, image: Image.Image, *, strength: float) -> Image.Image:
        """Thicken by `strength` steps, or thin."""
        step = ImageFilter.MaxFilter(3) if strength > 0 else ImageFilter.MinFilter(3)
        whole, part = divmod(abs(strength), 1)
        for _ in range(int(whole)):
            image = image.filter(step)
        return Image.blend(image, image.filter(step), part)
