"""Elastic distortion: a smooth random field of displacements, as used for the characters of MNIST."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from ...shared.types import Shape
from .base import (
    Bounds,
    Operation,
    Parameters,
    Range,
    between,
    by_image,
    to_image,
)
from .fill import REFLECT, Fill, FillRule, fill_number, with_fill
from .pixel_ranges import SideRule, in_pixels, size_factor
from .seeds import random_bytes, seeds

_ALPHAS, _SIGMAS = (0.0, 10_000.0), (0.0, 64.0)
"""Least and largest alpha and sigma, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Elastic(Operation):
    """Every pixel is sampled at (x + dx, y + dy), bilinear; dx and dy vary smoothly.

    Source: P. Simard, D. Steinkraus, J. Platt, "Best Practices for Convolutional Neural Networks Applied to Visual
    Document Analysis", ICDAR 2003. dx and dy are noise, uniform in [-1, 1] for each pixel, smoothed by a Gaussian of
    standard deviation `sigma` and multiplied by `alpha`, both in pixels. The root mean square of each is then about
    0.577 alpha / (2 sigma sqrt(pi)) = 0.163 alpha / sigma pixels. For 64 x 64, Simard's alpha 34 and sigma 4 on
    29 x 29 (1.4 pixels) become alpha 166 and sigma 8.8 (3.1 pixels): sigma grows with the side, alpha with its square.
    The default alpha is smaller, because the strokes of kanji are closer together than those of digits.

    Three box filters in each direction stand for the Gaussian (P. Kovesi, "Fast Almost-Gaussian Filtering", DICTA
    2010). Their widths are integers, chosen so that the sum of the variances (width^2 - 1) / 12 is close to sigma^2.
    The noise wraps around at the borders, so that the field is as strong there as elsewhere. With `pixels_at`, sigma
    grows with the shorter side of the image and alpha with its square.
    """

    name: ClassVar[str] = "elastic"
    takes_ink: ClassVar[bool] = True
    alpha: Annotated[Range, Bounds(*_ALPHAS)] = (40.0, 120.0)
    sigma: Annotated[Range, Bounds(*_SIGMAS)] = (8.0, 10.0)
    fill: Annotated[Fill, FillRule()] = "black"
    pixels_at: Annotated[int | None, SideRule()] = None

    def uniforms(self, shape: Shape) -> int:
        """Return 3, for alpha, sigma and seed."""
        return 3

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `alpha`, `sigma` (n,) float64, in pixels; `seed` (n,) int64, in [0, 2^53), of the noise.

        Also `fill` (n,) int64 unless it is black.
        """
        factor = size_factor(shape, self.pixels_at)
        drawn = {
            "alpha": in_pixels(between(uniform[:, 0], self.alpha), _ALPHAS, factor**2),
            "sigma": in_pixels(between(uniform[:, 1], self.sigma), _SIGMAS, factor),
            "seed": seeds(uniform[:, 2]),
        }
        return with_fill(drawn, self.fill, len(uniform))

    def apply(self, image: Image.Image, *, alpha: float, sigma: float, seed: int, fill: Fill = 0) -> Image.Image:
        """Sample every pixel where the displacement field points: bilinear in 1/256 pixel, rounded half up."""
        width, height = image.size
        pixels = np.asarray(image).reshape(height, width, -1)
        dx, dy = displacements((height, width, pixels.shape[2]), alpha, sigma, seed)
        # A border, two pixels wide at the right and bottom: a place just outside also has four neighbors.
        number, border = fill_number(fill), ((1, 2), (1, 2), (0, 0))
        if number >= 0:
            padded = np.pad(pixels.astype(np.int32), border, constant_values=number)
        else:
            padded = np.pad(pixels.astype(np.int32), border, "edge")
        x, y = _ONE * np.arange(width)[None, :] + dx, _ONE * np.arange(height)[:, None] + dy
        if number == REFLECT:
            x, y = _reflected(x, width), _reflected(y, height)
        x = np.clip(x, -_ONE, _ONE * width)[:, :, None] + _ONE
        y = np.clip(y, -_ONE, _ONE * height)[:, :, None] + _ONE
        (column, right), (row, below) = divmod(x, _ONE), divmod(y, _ONE)
        column, row = column[:, :, 0], row[:, :, 0]
        upper = padded[row, column] * (_ONE - right) + padded[row, column + 1] * right
        lower = padded[row + 1, column] * (_ONE - right) + padded[row + 1, column + 1] * right
        return to_image(((upper * (_ONE - below) + lower * below + _ONE * _ONE // 2) >> 16).astype(np.uint8))

    def ink(self, images: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Count the ink of a pixel as lost if (x - dx(x, y), y - dy(x, y)) is outside the frame.

        To first order, that is where the pixel moves to.
        """
        count, height, width, channels = images.shape
        result = np.empty((count, 2), np.int64)
        for number, one in enumerate(by_image(parameters, count)):
            dx, dy = displacements((height, width, channels), one["alpha"], one["sigma"], one["seed"])
            x = _ONE * np.arange(width)[None, :] + _ONE // 2 - dx
            y = _ONE * np.arange(height)[:, None] + _ONE // 2 - dy
            inside = (x >= 0) & (x < _ONE * width) & (y >= 0) & (y < _ONE * height)
            ink = images[number].sum(2, dtype=np.int64)
            result[number] = ink[inside].sum(), ink.sum()
        return result


_ONE = 256
"""A pixel in the fixed point of displacements."""

BOXES = 3
"""Box filters in each direction."""


def _reflected(x: np.ndarray, count: int) -> np.ndarray:
    """Mirror coordinates (int, 1/256 pixel, pixel i at 256 i) at the borders of a side of `count` pixels."""
    x = (x + _ONE // 2) % (2 * _ONE * count)
    return np.minimum(x, 2 * _ONE * count - x) - _ONE // 2


class Fields(NamedTuple):
    """How the displacement fields of n images are computed from noise, in integers."""

    widths: np.ndarray
    """int64 (n, BOXES): widths of the box filters, in pixels."""
    shift: np.ndarray
    """int64 (n,): bits dropped between the two directions, rounding half up, so that all sums fit in 32 bits."""
    scale: np.ndarray
    """float32 (n,): factor from the last sums to 1/256 pixels."""


def fields_of(alpha: np.ndarray, sigma: np.ndarray) -> Fields:
    """Return the `Fields` of `alpha` and `sigma` (float64 (n,)), for both engines.

    It uses only + - * / and square roots, which give the same result on every machine.
    """
    low = np.floor(np.sqrt(12 / BOXES * sigma * sigma + 1))
    # The number of boxes that are low + 1 instead of low wide; each adds 2 low + 1 to 12 times the variance.
    wider = np.rint((12 * sigma * sigma - BOXES * (low * low - 1)) / (2 * low + 1))
    widths = low[:, None].astype(np.int64) + (np.arange(BOXES) < wider[:, None])
    area = widths.prod(1)
    shift = np.array([max((256 * one * one).bit_length() - 31, 0) for one in area.tolist()], np.int64)
    scale = alpha * (1 << shift) / (area * area).astype(np.float64)
    return Fields(widths, shift, scale.astype(np.float32))


def displacements(shape: Shape, alpha: float, sigma: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return dx and dy, int32 (H, W) in 1/256 pixel: the offset from each pixel to the place it is sampled at."""
    height, width, _ = shape
    (widths,), (shift,), (scale,) = fields_of(np.array([alpha], np.float64), np.array([sigma], np.float64))
    field = random_bytes(seed, 2 * height * width).reshape(width, 2, height).astype(np.int32)
    field = 2 * field - 255  # Odd numbers of 256ths.
    for boxes in widths:
        field = _running_sum(field, boxes)
    field = (field.transpose(2, 1, 0) + np.int32(1 << shift >> 1)) >> np.int32(shift)
    for boxes in widths:
        field = _running_sum(field, boxes)
    field = (field.astype(np.float32) * scale).astype(np.int32)
    return field[:, 0], field[:, 1]


def _running_sum(field: np.ndarray, width: int) -> np.ndarray:
    """Sum each line of the first axis and the `width` - 1 lines after it, with wrap-around."""
    lines = len(field)
    sums = np.zeros((lines + width, *field.shape[1:]), np.int32)
    np.cumsum(field[np.arange(lines + width - 1) % lines], 0, np.int32, sums[1:])
    return sums[width:] - sums[:lines]
