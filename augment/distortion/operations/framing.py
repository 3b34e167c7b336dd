"""Operations that change the frame: flip and crop."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image

from ...shared.types import Shape
from .base import Bounds, Operation, Parameters, Range, between, homographies, integer_between, log_between


@dataclass(frozen=True, kw_only=True)
class Flip(Operation):
    """`Image.transpose`: flipped left to right if `horizontal`, top to bottom if `vertical`.

    Every image is flipped; the stage's `probability` says how many images pass the stage.
    """

    name: ClassVar[str] = "flip"
    horizontal: bool = True
    vertical: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.horizontal and not self.vertical:
            raise ValueError("horizontal = False, vertical = False; expected at least one of them true")

    def uniforms(self, shape: Shape) -> int:
        """Return 0."""
        return 0

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `horizontal`, `vertical` (n,) bool."""
        return {name: np.full(len(uniform), getattr(self, name)) for name in ("horizontal", "vertical")}

    def apply(self, image: Image.Image, *, horizontal: bool, vertical: bool) -> Image.Image:
        """Flip left to right if `horizontal`, top to bottom if `vertical`."""
        if horizontal:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if vertical else image


@dataclass(frozen=True, kw_only=True)
class Crop(Operation):
    """`Image.crop(box).resize(size)` with Pillow's default filter: a random box, enlarged to the size of the image.

    As in the training of Inception (C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6) and
    torchvision's RandomResizedCrop. The box covers the fraction `area` of the image, and its aspect ratio is `aspect`
    times that of the image (drawn on a logarithmic scale). A side that is longer than the image's is cut to it, where
    torchvision draws again. RandomResizedCrop's area of (0.08, 1) suits photographs; a character needs its strokes.
    """

    name: ClassVar[str] = "crop"
    takes_ink: ClassVar[bool] = True
    area: Annotated[Range, Bounds(0.01, 1)] = (0.6, 1.0)
    aspect: Annotated[Range, Bounds(0.1, 10)] = (3 / 4, 4 / 3)

    def uniforms(self, shape: Shape) -> int:
        """Return 4, for area, aspect, left and top."""
        return 4

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return the box: `left`, `top`, `width`, `height` (n,) int64, in pixels."""
        area, aspect = between(uniform[:, 0], self.area), log_between(uniform[:, 1], self.aspect)
        width, height = _pixels(np.sqrt(area * aspect), shape[1]), _pixels(np.sqrt(area / aspect), shape[0])
        left = integer_between(uniform[:, 2], 0, shape[1] - width)
        top = integer_between(uniform[:, 3], 0, shape[0] - height)
        return {"left": left, "top": top, "width": width, "height": height}

    def apply(self, image: Image.Image, *, left: int, top: int, width: int, height: int) -> Image.Image:
        """Cut out `width` x `height` pixels at (`left`, `top`), and resize them to the image's size."""
        return image.crop((left, top, left + width, top + height)).resize(image.size)

    def forward_maps(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """Return the maps from the box to the whole image."""
        matrices = np.zeros((len(parameters["left"]), 3, 3))
        matrices[:, 0, 0], matrices[:, 0, 2] = parameters["width"] / shape[1], parameters["left"]
        matrices[:, 1, 1], matrices[:, 1, 2] = parameters["height"] / shape[0], parameters["top"]
        matrices[:, 2, 2] = 1
        return homographies(matrices)


def _pixels(fraction: np.ndarray, side: int) -> np.ndarray:
    """Return `fraction` of `side` in whole pixels, from 1 to `side`; int64."""
    return np.clip(np.floor(fraction * side + 0.5), 1, side).astype(np.int64)
