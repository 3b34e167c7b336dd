"""Operations that warp by a drawn matrix: affine and perspective. What moves in from outside is 0.

Matrices map target to source, as Pillow takes them, and are rounded to a grid on which the sums that Pillow forms
with them are exact: no pixel depends on whether a processor fuses multiplication and addition.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from .base import Operation, Parameters, Range, Shape, between, check_range, homographies

NEAREST, BILINEAR, BICUBIC = (int(Image.Resampling[name]) for name in ("NEAREST", "BILINEAR", "BICUBIC"))
FILTERS = {"nearest": NEAREST, "bilinear": BILINEAR, "bicubic": BICUBIC}
"""What `resample` may say, and Pillow's numbers for it."""

GRID_BITS = 15
"""Affine matrices send the centre of a pixel to whole multiples of 2^-15 pixels."""
_FINE_BITS, _DEPTH_BITS = 30, 40
"""Binary digits kept of a perspective's numerators and of its denominator."""


@dataclass(frozen=True, kw_only=True)
class Affine(Operation):
    """`Image.transform(size, AFFINE, matrix, resample)`: shear, scale, turn and shift, resampled once.

    About its centre the picture is, in this order, sheared as by `shear` (`shear_x` source columns per row, `shear_y`
    source rows per column); enlarged by `scale`, and made `aspect` times as wide for its height, its area kept; turned
    counter-clockwise by `degrees`; moved by `shift_x` of its width to the right and `shift_y` of its height down.
    `aspect` is drawn on a logarithmic scale: wider is as likely as narrower.

    The default ranges are about half of those that a search by held-out hands chose for characters (the recipe
    `handwriting`, docs/results.md), which are near to those for the digits of MNIST in D. Ciresan et al., "Deep, Big,
    Simple Neural Nets for Handwritten Digit Recognition", 2010: 15 degrees, 15 to 20 % of the size.
    """

    name: ClassVar[str] = "affine"
    takes_ink: ClassVar[bool] = True
    degrees: Range = (-10.0, 10.0)
    shear_x: Range = (-0.1, 0.1)
    shear_y: Range = (-0.1, 0.1)
    scale: Range = (0.9, 1.1)
    aspect: Range = (1.0, 1.0)
    shift_x: Range = (-0.05, 0.05)
    shift_y: Range = (-0.05, 0.05)
    resample: str = "bilinear"

    def __post_init__(self) -> None:
        check_range(self, "degrees", -360, 360)
        for field in ("shear_x", "shear_y", "shift_x", "shift_y"):
            check_range(self, field, -1, 1)
        for field in ("scale", "aspect"):
            check_range(self, field, 0.1, 10)
        check_filter(self)

    def uniforms(self, shape: Shape) -> int:
        """Seven: degrees, shear_x, shear_y, scale, aspect, shift_x, shift_y."""
        return 7

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """The drawn numbers (n,) float64; `matrix` (n, 6) float64 and `resample` (n,) int64, as Pillow takes them."""
        fields = ("degrees", "shear_x", "shear_y", "scale", "aspect", "shift_x", "shift_y")
        drawn = {field: between(uniform[:, at], getattr(self, field)) for at, field in enumerate(fields)}
        drawn["aspect"] = log_between(uniform[:, 4], self.aspect)
        return drawn | {"matrix": _affine_matrix(shape, **drawn), "resample": _filters(self.resample, len(uniform))}

    def apply(self, image: Image.Image, *, matrix: np.ndarray, resample: int, **drawn: Any) -> Image.Image:
        """Warp by `matrix`, six numbers; those `drawn`, of which it was made, are not looked at."""
        return image.transform(image.size, Image.Transform.AFFINE, tuple(map(float, matrix)), resample)

    def outward(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """The inverse of the matrix."""
        return homographies(affine_matrices(parameters["matrix"]))


@dataclass(frozen=True, kw_only=True)
class Perspective(Operation):
    """`Image.transform(size, PERSPECTIVE, matrix, resample)`: each corner of the picture moves by itself.

    Across by a drawn fraction of the width and down by one of the height, each drawn anew from `shift` for each corner:
    above 0 towards the inside, below 0 away from it. The default reaches as far as the `scale` of (0.05, 0.1) of
    Albumentations' Perspective; the distortion d of torchvision's RandomPerspective is `shift` = [0, d / 2].
    """

    name: ClassVar[str] = "perspective"
    takes_ink: ClassVar[bool] = True
    shift: Range = (-0.1, 0.1)
    resample: str = "bilinear"

    def __post_init__(self) -> None:
        # So far the horizon, which comes from infinitely far away in the source, stays outside the picture.
        check_range(self, "shift", -0.15, 0.15)
        check_filter(self)

    def uniforms(self, shape: Shape) -> int:
        """Eight: across and down, for the corners top left, top right, bottom right, bottom left."""
        return 8

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`corners` (n, 4, 2) float64; `matrix` (n, 8) float64 and `resample` (n,) int64, as Pillow takes them.

        The corners are (x, y) in pixels: where those top left, top right, bottom right, bottom left go.
        """
        shift = between(uniform.reshape(-1, 4, 2), self.shift)
        units = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + shift * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
        corners = units * np.array([shape[1], shape[0]], np.float64)
        return {
            "corners": corners,
            "matrix": _perspective_matrix(corners, shape),
            "resample": _filters(self.resample, len(uniform)),
        }

    def apply(self, image: Image.Image, *, matrix: np.ndarray, resample: int, **drawn: Any) -> Image.Image:
        """Warp by `matrix`, eight numbers; `corners`, of which it was made, are not looked at."""
        return image.transform(image.size, Image.Transform.PERSPECTIVE, tuple(map(float, matrix)), resample)

    def outward(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """The inverse of the matrix."""
        return homographies(np.pad(parameters["matrix"], ((0, 0), (0, 1)), constant_values=1.0).reshape(-1, 3, 3))


def affine_matrices(matrix: np.ndarray) -> np.ndarray:
    """Pillow's six numbers (float64 (n, 6)) as float64 (n, 3, 3)."""
    last = np.broadcast_to([0.0, 0.0, 1.0], (len(matrix), 3))
    return np.concatenate([matrix, last], 1).reshape(-1, 3, 3)


def check_filter(operation: Operation) -> None:
    """Raise `ValueError` unless `resample` names a filter."""
    value = getattr(operation, "resample", None)
    if not isinstance(value, str) or value not in FILTERS:
        raise ValueError(f"resample = {value!r}; expected one of {', '.join(FILTERS)}")


def log_between(uniform: np.ndarray, limits: Range) -> np.ndarray:
    """Uniform numbers in [0, 1) to `limits`, evenly on a logarithmic scale, float64."""
    low, high = (math.log(limit) for limit in limits)
    powers = [math.exp(power) for power in (low + uniform * (high - low)).tolist()]
    return np.clip(np.array(powers), *limits)


def _filters(resample: str, count: int) -> np.ndarray:
    return np.full(count, FILTERS[resample], np.int64)


def _on_grid(values: np.ndarray, bits: int) -> np.ndarray:
    """`values` rounded to multiples of 2^-bits."""
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
    """Target to source, float64 (n, 6): the steps of `Affine` undone, the last one first."""
    height, width, _ = shape
    radians = [math.radians(angle) for angle in degrees.tolist()]
    cos, sin = np.array([math.cos(angle) for angle in radians]), np.array([math.sin(angle) for angle in radians])
    narrow, low = 1 / (scale * np.sqrt(aspect)), np.sqrt(aspect) / scale
    turned_x, turned_y = np.stack([cos * narrow, -sin * narrow]), np.stack([sin * low, cos * low])
    a, b = _on_grid(turned_x + shear_x * turned_y, GRID_BITS - 1)
    d, e = _on_grid(turned_y + shear_y * turned_x, GRID_BITS - 1)
    x, y = width / 2 + shift_x * width, height / 2 + shift_y * height
    c = _on_grid(width / 2 - (a * x + b * y), GRID_BITS)
    f = _on_grid(height / 2 - (d * x + e * y), GRID_BITS)
    return np.stack([a, b, c, d, e, f], 1)


def _perspective_matrix(corners: np.ndarray, shape: Shape) -> np.ndarray:
    """The map that sends `corners` (float64 (n, 4, 2)) to those of the picture, float64 (n, 8).

    The map of the unit square to the corners (P. Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989),
    inverted by its adjugate.
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
    rounded = [_on_grid(number / denominator, _FINE_BITS) for number in numerators]
    rounded += [_on_grid(number / denominator, _DEPTH_BITS) for number in (d * h - e * g, b * g - a * h)]
    return np.stack(rounded, 1)
