"""Operations that frame a picture anew: flip and crop."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from .base import (
    Operation,
    Parameters,
    Range,
    Shape,
    between,
    check_flag,
    check_range,
    homographies,
    integer_between,
)
from .projective import log_between


@dataclass(frozen=True, kw_only=True)
class Flip(Operation):
    """`Image.transpose`: mirrored, left to right where `horizontal`, top to bottom where `vertical`.

    Always: how often is the stage's `probability`.
    """

    name: ClassVar[str] = "flip"
    horizontal: bool = True
    vertical: bool = False

    def __post_init__(self) -> None:
        check_flag(self, "horizontal")
        check_flag(self, "vertical")
        if not self.horizontal and not self.vertical:
            raise ValueError("horizontal = False, vertical = False; expected at least one of them true")

    def uniforms(self, shape: Shape) -> int:
        """None."""
        return 0

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`horizontal`, `vertical` (n,) bool."""
        return {name: np.full(len(uniform), getattr(self, name)) for name in ("horizontal", "vertical")}

    def apply(self, image: Image.Image, *, horizontal: bool, vertical: bool) -> Image.Image:
        """Mirror left to right where `horizontal`, top to bottom where `vertical`."""
        if horizontal:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if vertical else image


@dataclass(frozen=True, kw_only=True)
class Crop(Operation):
    """`Image.crop(box).resize(size)`, with Pillow's default filter: a part of the picture, made as large as the whole.

    As in the training of Inception (C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6) and
    torchvision's RandomResizedCrop: a box of the fraction `area` of the picture's area, `aspect` times as wide for its
    height as the picture (drawn on a logarithmic scale), lies anywhere inside. A side that is longer than the picture's
    is cut to it; torchvision draws again. Its (0.08, 1) of the area suits photographs; characters need their strokes.
    """

    name: ClassVar[str] = "crop"
    takes_ink: ClassVar[bool] = True
    area: Range = (0.6, 1.0)
    aspect: Range = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        check_range(self, "area", 0.01, 1)
        check_range(self, "aspect", 0.1, 10)

    def uniforms(self, shape: Shape) -> int:
        """Four: area, aspect, left, top."""
        return 4

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`left`, `top`, `width`, `height` (n,) int64, pixels: the box."""
        area, aspect = between(uniform[:, 0], self.area), log_between(uniform[:, 1], self.aspect)
        width, height = _pixels(np.sqrt(area * aspect), shape[1]), _pixels(np.sqrt(area / aspect), shape[0])
        left = integer_between(uniform[:, 2], 0, shape[1] - width)
        top = integer_between(uniform[:, 3], 0, shape[0] - height)
        return {"left": left, "top": top, "width": width, "height": height}

    def apply(self, image: Image.Image, *, left: int, top: int, width: int, height: int) -> Image.Image:
        """Cut out `width` x `height` pixels from (`left`, `top`), and resize them to the picture's size."""
        return image.crop((left, top, left + width, top + height)).resize(image.size)

    def outward(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """From the box to the whole."""
        matrices = np.zeros((len(parameters["left"]), 3, 3))
        matrices[:, 0, 0], matrices[:, 0, 2] = parameters["width"] / shape[1], parameters["left"]
        matrices[:, 1, 1], matrices[:, 1, 2] = parameters["height"] / shape[0], parameters["top"]
        matrices[:, 2, 2] = 1
        return homographies(matrices)


def _pixels(fraction: np.ndarray, side: int) -> np.ndarray:
    """`fraction` of `side` in whole pixels, at least 1 and at most all of them, int64."""
    return np.clip(np.floor(fraction * side + 0.5), 1, side).astype(np.int64)
