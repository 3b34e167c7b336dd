"""Operations that change the frame: flip, shift and crop."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image

from ...shared.types import Shape
from .base import Bounds, Operation, Parameters, Range, between, homographies, integer_between, log_between, to_image
from .fill import Fill, FillRule, fill_color, fill_number, fold_pixels, with_fill


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
class Shift(Operation):
    """Move the image right by `x` and down by `y`, in whole pixels, so that no pixel is interpolated.

    The ranges are fractions of the width and the height; each whole number of pixels in them is equally likely. The
    default is 3 pixels of 64.
    """

    name: ClassVar[str] = "shift"
    takes_ink: ClassVar[bool] = True
    x: Annotated[Range, Bounds(-1, 1)] = (-0.05, 0.05)
    y: Annotated[Range, Bounds(-1, 1)] = (-0.05, 0.05)
    fill: Annotated[Fill, FillRule()] = "black"

    def uniforms(self, shape: Shape) -> int:
        """Return 2, for x and y."""
        return 2

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `x`, `y` (n,) int64, in pixels; `fill` (n,) int64 unless it is black."""
        drawn = {}
        for at, (field, side) in enumerate((("x", shape[1]), ("y", shape[0]))):
            low, high = (math.floor(fraction * side + 0.5) for fraction in getattr(self, field))
            drawn[field] = integer_between(uniform[:, at], low, high)
        return with_fill(drawn, self.fill, len(uniform))

    def apply(self, image: Image.Image, *, x: int, y: int, fill: Fill = 0) -> Image.Image:
        """Paste the image at (`x`, `y`) of a new one, and fill the rest."""
        number = fill_number(fill)
        if number >= 0:
            moved = Image.new(image.mode, image.size, fill_color(number, image.mode) or 0)
            moved.paste(image, (x, y))
            return moved
        width, height = image.size
        rows, columns = (fold_pixels(np.arange(side) - by, side, number) for side, by in ((height, y), (width, x)))
        pixels = np.asarray(image).reshape(height, width, -1)
        return to_image(np.ascontiguousarray(pixels[rows][:, columns]))

    def forward_maps(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """Return the translations."""
        matrices = np.zeros((len(parameters["x"]), 3, 3)) + np.eye(3)
        matrices[:, 0, 2], matrices[:, 1, 2] = -parameters["x"], -parameters["y"]
        return homographies(matrices)


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
