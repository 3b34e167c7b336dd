"""Random erasing: boxes of one grey value over the picture."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from .base import (
    Operation,
    Parameters,
    Range,
    Shape,
    by_picture,
    check_range,
    integer_between,
    is_number,
)

_MOST = 16


@dataclass(frozen=True, kw_only=True)
class Erase(Operation):
    """A number of boxes, drawn from `boxes`, filled with the grey value `fill`; all of each lies in the frame.

    Sources: Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, a box of 0.02 to 0.4 of the area;
    T. DeVries and G. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017), a square
    of 0.25 to 0.63 of the side. The defaults are smaller, so that a character keeps most of its strokes. `width` and
    `height` are drawn independently as whole pixels, at least 1, between fractions of the side.
    """

    name: ClassVar[str] = "erase"
    takes_ink: ClassVar[bool] = True
    boxes: tuple[int, int] = (1, 2)
    width: Range = (0.1, 0.25)
    height: Range = (0.1, 0.25)
    fill: int = 0

    def __post_init__(self) -> None:
        received = self.boxes
        check_range(self, "boxes", 0, _MOST)
        if any(number != int(number) for number in self.boxes):
            raise ValueError(f"boxes = {received!r}; expected [fewest, most], whole numbers from 0 to {_MOST}")
        object.__setattr__(self, "boxes", (int(self.boxes[0]), int(self.boxes[1])))
        check_range(self, "width", 0, 1)
        check_range(self, "height", 0, 1)
        if not is_number(self.fill) or not 0 <= self.fill <= 255 or self.fill != int(self.fill):
            raise ValueError(f"fill = {self.fill!r}; expected a whole number from 0 (black) to 255")
        object.__setattr__(self, "fill", int(self.fill))

    def uniforms(self, shape: Shape) -> int:
        """How many boxes; and width, height, left and top of as many as there can be."""
        return 1 + 4 * self.boxes[1]

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`boxes` (n, most, 4) int64: left, top, width, height in pixels, all 0 for a box that is not there.

        `fill` (n,) int64: the grey value, of every channel.
        """
        height, width, _ = shape
        count, most = len(uniform), self.boxes[1]
        drawn = integer_between(uniform[:, 0], *self.boxes)
        across, down, left, top = uniform[:, 1:].reshape(count, most, 4).transpose(2, 0, 1)
        boxes = np.empty((count, most, 4), np.int64)
        boxes[:, :, 2] = _sides(across, self.width, width)
        boxes[:, :, 3] = _sides(down, self.height, height)
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

    def ink(self, pictures: np.ndarray, parameters: Parameters) -> np.ndarray:
        """The ink under the boxes is lost, whatever they are filled with."""
        result = np.empty((len(pictures), 2), np.int64)
        for number, one in enumerate(by_picture(parameters, len(pictures))):
            left = pictures[number].copy()
            for x, y, width, height in one["boxes"].tolist():
                left[y : y + height, x : x + width] = 0
            result[number] = left.sum(dtype=np.int64), pictures[number].sum(dtype=np.int64)
        return result


def _sides(uniform: np.ndarray, limits: Range, pixels: int) -> np.ndarray:
    """Drawn sides, in pixels, of boxes on a side of `pixels`."""
    low, high = (max(1, round(fraction * pixels)) for fraction in limits)
    return integer_between(uniform, low, high)
