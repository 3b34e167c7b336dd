"""Elastic distortion: a smooth random field of displacements, as for the characters of MNIST."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from PIL import Image

from .base import Operation, Parameters, Range, Shape, between, by_picture, check_range
from .seeds import random_bytes, seeds


@dataclass(frozen=True, kw_only=True)
class Elastic(Operation):
    """Every pixel is fetched from (x + dx, y + dy), bilinear, black from outside; dx and dy vary smoothly.

    Source: P. Simard, D. Steinkraus, J. Platt, "Best Practices for Convolutional Neural Networks Applied to Visual
    Document Analysis", ICDAR 2003. dx and dy are noise, for each pixel uniform in [-1, 1], smoothed by a Gaussian
    of standard deviation `sigma` and multiplied by `alpha`, both in pixels. The root mean square of either is then
    about 0.577 alpha / (2 sigma sqrt(pi)) = 0.163 alpha / sigma pixels. For 64 x 64, Simard's alpha 34 and sigma 4 on
    29 x 29 (1.4 pixels) become alpha 166 and sigma 8.8 (3.1 pixels): sigma grows with the side, alpha with its square.
    The default alpha is smaller, for strokes that lie closer than those of digits.

    The Gaussian is three running means, one after another, in either direction (P. Kovesi, "Fast Almost-Gaussian
    Filtering", DICTA 2010): whole widths whose variances, (width^2 - 1) / 12, add up to sigma^2 as nearly as they can.
    The noise wraps round at the borders, so that the field is as strong there as elsewhere.
    """

    name: ClassVar[str] = "elastic"
    takes_ink: ClassVar[bool] = True
    alpha: Range = (40.0, 120.0)
    sigma: Range = (8.0, 10.0)

    def __post_init__(self) -> None:
        check_range(self, "alpha", 0, 10_000)
        check_range(self, "sigma", 0, 64)

    def uniforms(self, shape: Shape) -> int:
        """Three: alpha, sigma, seed."""
        return 3

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`alpha`, `sigma` (n,) float64, pixels; `seed` (n,) int64, in [0, 2^53): what the noise is made from."""
        return {
            "alpha": between(uniform[:, 0], self.alpha),
            "sigma": between(uniform[:, 1], self.sigma),
            "seed": seeds(uniform[:, 2]),
        }

    def apply(self, image: Image.Image, *, alpha: float, sigma: float, seed: int) -> Image.Image:
        """Fetch every pixel from where the field of `seed` points, bilinear in 1/256 pixel, rounded half up."""
        width, height = image.size
        pixels = np.asarray(image).reshape(height, width, -1)
        dx, dy = displacements((height, width, pixels.shape[2]), alpha, sigma, seed)
        # A black border, of two on the far sides: even what lies just outside has four neighbours.
        padded = np.zeros((height + 3, width + 3, pixels.shape[2]), np.int32)
        padded[1:-2, 1:-2] = pixels
        x = np.clip(_ONE * np.arange(width)[None, :] + dx, -_ONE, _ONE * width)[:, :, None] + _ONE
        y = np.clip(_ONE * np.arange(height)[:, None] + dy, -_ONE, _ONE * height)[:, :, None] + _ONE
        (column, right), (row, below) = divmod(x, _ONE), divmod(y, _ONE)
        column, row = column[:, :, 0], row[:, :, 0]
        upper = padded[row, column] * (_ONE - right) + padded[row, column + 1] * right
        lower = padded[row + 1, column] * (_ONE - right) + padded[row + 1, column + 1] * right
        result = ((upper * (_ONE - below) + lower * below + _ONE * _ONE // 2) >> 16).astype(np.uint8)
        return Image.fromarray(result[:, :, 0] if image.mode == "L" else result)

    def ink(self, pictures: np.ndarray, parameters: Parameters) -> np.ndarray:
        """The ink of a pixel is lost where its place less its displacement, (x - dx(x, y), y - dy(x, y)), is outside.

        That is where the pixel goes, to first order.
        """
        count, height, width, channels = pictures.shape
        result = np.empty((count, 2), np.int64)
        for number, one in enumerate(by_picture(parameters, count)):
            dx, dy = displacements((height, width, channels), **one)
            x = _ONE * np.arange(width)[None, :] + _ONE // 2 - dx
            y = _ONE * np.arange(height)[:, None] + _ONE // 2 - dy
            inside = (x >= 0) & (x < _ONE * width) & (y >= 0) & (y < _ONE * height)
            ink = pictures[number].sum(2, dtype=np.int64)
            result[number] = ink[inside].sum(), ink.sum()
        return result


_ONE = 256
"""A pixel in the fixed point of displacements."""

BOXES = 3
"""Running means in either direction."""


class Fields(NamedTuple):
    """How the fields of n pictures are made from noise in whole numbers."""

    widths: np.ndarray
    """int64 (n, BOXES): pixels under each running sum."""
    shift: np.ndarray
    """int64 (n,): the bits dropped between the two directions, rounding half up, so that all sums fit 32 bits."""
    scale: np.ndarray
    """float32 (n,): what makes 1/256 pixels of the last sums."""


def fields_of(alpha: np.ndarray, sigma: np.ndarray) -> Fields:
    """`Fields` from float64 (n,), for either engine; by + - * / and square roots alone, the same on every machine."""
    low = np.floor(np.sqrt(12 / BOXES * sigma * sigma + 1))
    # Boxes of width low + 1 instead of low; each adds 2 low + 1 to 12 times the variance.
    wider = np.rint((12 * sigma * sigma - BOXES * (low * low - 1)) / (2 * low + 1))
    widths = low[:, None].astype(np.int64) + (np.arange(BOXES) < wider[:, None])
    area = widths.prod(1)
    shift = np.array([max((256 * one * one).bit_length() - 31, 0) for one in area.tolist()], np.int64)
    scale = alpha * (1 << shift) / (area * area).astype(np.float64)
    return Fields(widths, shift, scale.astype(np.float32))


def displacements(shape: Shape, alpha: float, sigma: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """dx and dy, int32 (H, W) in 1/256 pixel: how far from each pixel that lies which it is fetched from."""
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
    """At each place of the first axis, the sum of it and the `width` - 1 that follow, wrapping round."""
    lines = len(field)
    sums = np.zeros((lines + width, *field.shape[1:]), np.int32)
    np.cumsum(field[np.arange(lines + width - 1) % lines], 0, np.int32, sums[1:])
    return sums[width:] - sums[:lines]
