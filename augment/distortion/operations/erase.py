"""Random erasing: boxes of one gray value over the image."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image

from ...shared.types import Shape
from .base import Bounds, Operation, Parameters, Range, by_image, integer_between, is_number

_MAX_BOXES = 16


@dataclass(frozen=True, kw_only=True)
class Erase(Operation):
    """`boxes` boxes, a number drawn from a range, are filled with the gray value `fill`; each lies inside the frame.

    Sources: Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, a box of 0.02 to 0.4 of the area;
    T. DeVries and G. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017), a square
    of 0.25 to 0.63 of the side. The defaults are smaller, so that a character keeps most of its strokes. `width` and
    `height` are ranges in fractions of the side; each is drawn independently as whole pixels, at least 1.
    """

    name: ClassVar[str] = "erase"
    in_place: ClassVar[bool] = True
    takes_ink: ClassVar[bool] = True
    boxes: Annotated[tuple[int, int], Bounds(0, _MAX_BOXES)] = (1, 2)
    width: Annotated[Range, Bounds(0, 1)] = (0.1, 0.25)
    height: Annotated[Range, Bounds(0, 1)] = (0.1, 0.25)
    fill: int = 0

    def __post_init__(self) -> None:
        received = self.boxes
        super().__post_init__()
        if any(number != int(number) for number in self.boxes):
            raise ValueError(f"boxes = {received!r}; expected [fewest, most], whole numbers from 0 to {_MAX_BOXES}")
        object.__setattr__(self, "boxes", (int(self.boxes[0]), int(self.boxes[1])))
        if not is_number(self.fill) or not 0 <= self.fill <= 255 or self.fill != int(self.fill):
            raise ValueError(f"fill = {self.fill!r}; expected a whole number from 0 (black) to 255")
        object.__setattr__(self, "fill", int(self.fill))

    def uniforms(self, shape: Shape) -> int:
        """Return 1 for the number of boxes, and 4 for each possible box: width, height, left and top."""
        return 1 + 4 * self.boxes[1]

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `boxes` (n, most, 4) int64: left, top, width, height in pixels, all 0 for an unused box.

        Also `fill` (n,) int64: the gray value of every channel.
        """
        height, width, _ = shape
        count, most = len(uniform), self.boxes[1]
        drawn = integer_between(uniform[:, 0], *self.boxes)
        box_width, box_height, left, top = uniform[:, 1:].reshape(count, most, 4).transpose(2, 0, 1)
        boxes = np.empty((count, most, 4), np.int64)
        boxes[:, :, 2] = _sides(box_width, self.width, width)
        boxes[:, :, 3] = _sides(box_height, self.height, height)
        boxes[:, :, 0] = integer_between(left, 0, width - boxes[:, :, 2])
        boxes[:, :, 1] = integer_between(top, 0, height - boxes[:, :, 3])
        boxes[np.arange(most) >= drawn[:, None]] = 0
        return {"boxes": boxes, "fill": np.full(count, self.fill, np.int64)}

    def apply(self, image: Image.Image, *, boxes: np.ndarray, fill: int) -> Image.Image:
        """Paste `fill` over each of `boxes`, any sequence of (left, top, width, height)."""
        image = image.copy()
        for left, top, width, height in np.asarray(boxes, np.int64).reshape(-1, 4).tolist():
            image.paste(fill if image.mode == "L" else (fill, fill, fill), (left, top, left + width, top + height))
        return image

    def ink(self, images: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Count the ink under the boxes as lost, for any `fill`."""
        result = np.empty((len(images), 2), np.int64)
        for number, one in enumerate(by_image(parameters, len(images))):
            remaining = images[number].copy()
            for left, top, width, height in one["boxes"].tolist():
                remaining[top : top + height, left : left + width] = 0
            result[number] = remaining.sum(dtype=np.int64), images[number].sum(dtype=np.int64)
        return result


def _sides(uniform: np.ndarray, limits: Range, pixels: int) -> np.ndarray:
    """Draw sides of boxes, in whole pixels, for an image whose side has `pixels`."""
    low, high = (max(1, round(fraction * pixels)) for fraction in limits)
    return integer_between(uniform, low, high)
