"""Operations that warp by a random matrix: affine and perspective. `fill` is the content of areas from outside.

Matrices map target to source, as Pillow takes them, and are rounded to a grid on which Pillow's sums are exact. No
pixel depends on whether a processor fuses multiplication and addition.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from PIL import Image

from ...shared.types import Shape
from .base import Bounds, OneOf, Operation, Parameters, Range, between, homographies, log_between
from .fill import (
    BICUBIC,
    BILINEAR,
    NEAREST,
    Fill,
    FillRule,
    fill_color,
    fill_filtered,
    fill_nearest,
    fill_number,
    with_fill,
)

FILTERS = {"nearest": NEAREST, "bilinear": BILINEAR, "bicubic": BICUBIC}
"""Values of `resample`, with Pillow's numbers."""

GRID_BITS = 15
"""Affine matrices map the center of a pixel to multiples of 2^-15 pixels."""
_NUMERATOR_BITS, _DENOMINATOR_BITS = 30, 40
"""Binary digits that are kept of a perspective's numerators and of its denominator."""


@dataclass(frozen=True, kw_only=True)
class Affine(Operation):
    """`Image.transform(size, AFFINE, matrix, resample)`: shear, scale, rotation and shift, resampled once.

    About its center the image is, in this order: sheared by `shear_x` source columns per row and `shear_y` source rows
    per column; enlarged by `scale`; made `aspect` times as wide relative to its height, at the same area; rotated
    counter-clockwise by `degrees`; moved right by `shift_x` of its width and down by `shift_y` of its height. `aspect`
    is drawn on a logarithmic scale, so that wider and narrower are equally likely.

    The default ranges are about half of those that a search with held-out writers chose for characters (the recipe
    `handwriting`, docs/results.md). These are close to the ranges for MNIST in D. Ciresan et al., "Deep, Big, Simple
    Neural Nets for Handwritten Digit Recognition", 2010: 15 degrees, 15 to 20 % of the size.
    """

    name: ClassVar[str] = "affine"
    takes_ink: ClassVar[bool] = True
    degrees: Annotated[Range, Bounds(-360, 360)] = (-10.0, 10.0)
    shear_x: Annotated[Range, Bounds(-1, 1)] = (-0.1, 0.1)
    shear_y: Annotated[Range, Bounds(-1, 1)] = (-0.1, 0.1)
    scale: Annotated[Range, Bounds(0.1, 10)] = (0.9, 1.1)
    aspect: Annotated[Range, Bounds(0.1, 10)] = (1.0, 1.0)
    shift_x: Annotated[Range, Bounds(-1, 1)] = (-0.05, 0.05)
    shift_y: Annotated[Range, Bounds(-1, 1)] = (-0.05, 0.05)
    resample: Annotated[str, OneOf(tuple(FILTERS))] = "bilinear"
    fill: Annotated[Fill, FillRule()] = "black"

    def uniforms(self, shape: Shape) -> int:
        """Return 7, for degrees, shear_x, shear_y, scale, aspect, shift_x and shift_y."""
        return 7

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return the drawn numbers (n,) float64; `matrix` (n, 6) float64 and `resample` (n,) int64, as in Pillow.

        Also `fill` (n,) int64 unless it is black.
        """
        fields = ("degrees", "shear_x", "shear_y", "scale", "aspect", "shift_x", "shift_y")
        drawn = {field: between(uniform[:, at], getattr(self, field)) for at, field in enumerate(fields)}
        drawn["aspect"] = log_between(uniform[:, 4], self.aspect)
        drawn |= {"matrix": _affine_matrix(shape, **drawn), "resample": _filters(self.resample, len(uniform))}
        return with_fill(drawn, self.fill, len(uniform))

    def apply(
        self, image: Image.Image, *, matrix: np.ndarray, resample: int, fill: Fill = 0, **drawn: Any
    ) -> Image.Image:
        """Warp by `matrix`, six numbers; it was computed from the numbers in `drawn`."""
        number, six = fill_number(fill), np.array(matrix, np.float64)
        how = (image.size, Image.Transform.AFFINE, tuple(six.tolist()), resample)
        warped = image.transform(*how, fillcolor=fill_color(number, image.mode))
        if number >= 0:
            return warped
        if resample == NEAREST:
            mask = Image.new("L", image.size, 255).transform(*how)
            return fill_nearest(image, warped, mask, six.reshape(2, 3), number)
        return fill_filtered(image, warped, np.pad(six, (0, 2)), resample, number)

    def forward_maps(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """Return the inverses of the matrices."""
        return homographies(affine_matrices(parameters["matrix"]))


@dataclass(frozen=True, kw_only=True)
class Perspective(Operation):
    """`Image.transform(size, PERSPECTIVE, matrix, resample)`: each corner of the image moves independently.

    Each corner moves horizontally by a fraction of the width and vertically by a fraction of the height, both drawn
    from `shift`: above 0 towards the inside, below 0 away from it. The default reaches as far as the `scale` of
    (0.05, 0.1) of Albumentations' Perspective; a distortion of d in torchvision's RandomPerspective is
    `shift` = [0, d / 2].
    """

    name: ClassVar[str] = "perspective"
    takes_ink: ClassVar[bool] = True
    # Within these bounds the horizon, the points at infinity in the source, stays outside the image.
    shift: Annotated[Range, Bounds(-0.15, 0.15)] = (-0.1, 0.1)
    resample: Annotated[str, OneOf(tuple(FILTERS))] = "bilinear"
    fill: Annotated[Fill, FillRule()] = "black"

    def uniforms(self, shape: Shape) -> int:
        """Return 8: across and down, for the corners top left, top right, bottom right, bottom left."""
        return 8

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `corners` (n, 4, 2) float64; `matrix` (n, 8) float64 and `resample` (n,) int64, as in Pillow.

        The corners are the targets (x, y), in pixels, of the corners top left, top right, bottom right, bottom left.
        Also `fill` (n,) int64 unless it is black.
        """
        shift = between(uniform.reshape(-1, 4, 2), self.shift)
        units = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + shift * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        corners = units * np.array([shape[1], shape[0]], np.float64)
        drawn = {
            "corners": corners,
            "matrix": _perspective_matrix(corners, shape),
            "resample": _filters(self.resample, len(uniform)),
        }
        return with_fill(drawn, self.fill, len(uniform))

    def apply(
        self, image: Image.Image, *, matrix: np.ndarray, resample: int, fill: Fill = 0, **drawn: Any
    ) -> Image.Image:
        """Warp by `matrix`, eight numbers; it was computed from the corners in `drawn`."""
        number, eight = fill_number(fill), np.array(matrix, np.float64)
        how = (image.size, Image.Transform.PERSPECTIVE, tuple(eight.tolist()), resample)
        warped = image.transform(*how, fillcolor=fill_color(number, image.mode))
        return warped if number >= 0 else fill_filtered(image, warped, eight, resample, number)

    def forward_maps(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """Return the inverses of the matrices."""
        return homographies(np.pad(parameters["matrix"], ((0, 0), (0, 1)), constant_values=1.0).reshape(-1, 3, 3))


def affine_matrices(matrix: np.ndarray) -> np.ndarray:
    """Return Pillow's six numbers (float64 (n, 6)) as matrices, float64 (n, 3, 3)."""
    last = np.broadcast_to([0.0, 0.0, 1.0], (len(matrix), 3))
    return np.concatenate([matrix, last], 1).reshape(-1, 3, 3)


def _filters(resample: str, count: int) -> np.ndarray:
    return np.full(count, FILTERS[resample], np.int64)


def _on_grid(values: np.ndarray, bits: int) -> np.ndarray:
    """Round `values` to multiples of 2^-bits."""
    return np.floor(values * float(1 << bits) + 0.5) / float(1 << bits)


def _affine_matrix(
    shape: Shape,
    degrees: np.ndarray,
    shear_x: np.ndarray,
    shear_y: np.ndarray,
    scale: np.ndarray,
    aspect: np.ndarray,
    shift_x: np.ndarray,
    shift_y: np.ndarray,
) -> np.ndarray:
    """Return the maps from target to source, float64 (n, 6): the inverse steps of `Affine`, in reverse order."""
    height, width, _ = shape
    radians = [math.radians(angle) for angle in degrees.tolist()]
    cos, sin = np.array([math.cos(angle) for angle in radians]), np.array([math.sin(angle) for angle in radians])
    inverse_x, inverse_y = 1 / (scale * np.sqrt(aspect)), np.sqrt(aspect) / scale
    from_x, from_y = np.stack([cos * inverse_x, -sin * inverse_x]), np.stack([sin * inverse_y, cos * inverse_y])
    a, b = _on_grid(from_x + shear_x * from_y, GRID_BITS - 1)
    d, e = _on_grid(from_y + shear_y * from_x, GRID_BITS - 1)
    x, y = width / 2 + shift_x * width, height / 2 + shift_y * height
    c = _on_grid(width / 2 - (a * x + b * y), GRID_BITS)
    f = _on_grid(height / 2 - (d * x + e * y), GRID_BITS)
    return np.stack([a, b, c, d, e, f], 1)


def _perspective_matrix(corners: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the maps from `corners` (float64 (n, 4, 2)) to those of the image, float64 (n, 8).

    These are the maps from the unit square to the corners (P. Heckbert, "Fundamentals of Texture Mapping and Image
    Warping", 1989), inverted by their adjugates.
    """
    height, width, _ = shape
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners.transpose(1, 2, 0)
    x_sum, y_sum = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    area = (x1 - x2) * (y3 - y2) - (x3 - x2) * (y1 - y2)
    g = (x_sum * (y3 - y2) - (x3 - x2) * y_sum) / area
    h = ((x1 - x2) * y_sum - x_sum * (y1 - y2)) / area
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    numerators = [
        (e - f * h) * width,
        (c * h - b) * width,
        (b * f - c * e) * width,
        (f * g - d) * height,
        (a - c * g) * height,
        (c * d - a * f) * height,
    ]
    denominator = a * e - b * d
    rounded = [_on_grid(number / denominator, _NUMERATOR_BITS) for number in numerators]
    rounded += [_on_grid(number / denominator, _DENOMINATOR_BITS) for number in (d * h - e * g, b * g - a * h)]
    return np.stack(rounded, 1)
