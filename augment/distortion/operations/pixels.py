"""Operations on grey values, pixel by pixel: contrast and noise."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from PIL import Image

from .base import Operation, Parameters, Range, Shape, between, check_range, is_number
from .seeds import random_bytes, seeds


@dataclass(frozen=True, kw_only=True)
class Contrast(Operation):
    """Gamma, contrast and brightness, in this order, by a table of 256 grey values.

    v = (p / 255) ** gamma; v = (v - pivot) * contrast + pivot + brightness; cut to [0, 1], times 255, rounded half up.
    With `pivot` = 0 and no brightness, black stays black. `brightness` and `contrast` add and multiply as
    in Albumentations' `RandomBrightnessContrast` (its default: 0.2 either way; ours is half of that for brightness),
    `gamma` is that of its `RandomGamma` (0.8 to 1.2).
    """

    name: ClassVar[str] = "contrast"
    brightness: Range = (-0.1, 0.1)
    contrast: Range = (0.8, 1.2)
    gamma: Range = (0.8, 1.25)
    pivot: float = 0.5

    def __post_init__(self) -> None:
        check_range(self, "brightness", -1, 1)
        check_range(self, "contrast", 0, 10)
        check_range(self, "gamma", *GAMMAS)
        if not is_number(self.pivot) or not 0 <= self.pivot <= 1:
            raise ValueError(f"pivot = {self.pivot!r}; expected a number from 0 (black) to 1 (white)")
        object.__setattr__(self, "pivot", float(self.pivot))

    def uniforms(self, shape: Shape) -> int:
        """Three: brightness, contrast, gamma."""
        return 3

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`brightness`, `contrast`, `gamma`, a whole number of 256ths, and `pivot` (n,) float64."""
        return {
            "brightness": between(uniform[:, 0], self.brightness),
            "contrast": between(uniform[:, 1], self.contrast),
            "gamma": np.rint(between(uniform[:, 2], self.gamma) * 256) / 256,
            "pivot": np.full(len(uniform), self.pivot),
        }

    def apply(
        self, image: Image.Image, *, brightness: float, contrast: float, gamma: float, pivot: float
    ) -> Image.Image:
        """Look every pixel up in the table."""
        numbers = {"brightness": brightness, "contrast": contrast, "gamma": gamma, "pivot": pivot}
        (table,) = contrast_tables({name: np.array([number], np.float64) for name, number in numbers.items()})
        return image.point(table.tolist() * len(image.getbands()))


GAMMAS = (0.125, 8.0)
"""Lowest and highest gamma."""


def contrast_tables(parameters: Parameters) -> np.ndarray:
    """The grey value for each of 256, uint8 (n, 256), for either engine."""
    brightness, contrast, gamma, pivot = (
        parameters[name][:, None] for name in ("brightness", "contrast", "gamma", "pivot")
    )
    table = np.stack([_power(one) for one in gamma[:, 0].tolist()]) if len(gamma) else np.empty((0, 256))
    table -= pivot
    table *= contrast
    table += pivot
    table += brightness
    table *= 255
    table += 0.5
    return np.floor(table, out=table).clip(0, 255, out=table).astype(np.uint8)


@lru_cache(maxsize=4096)
def _power(gamma: float) -> np.ndarray:
    """(p / 255) ** gamma for p = 0, ..., 255, float64 (256,), to 24 bits: so far every machine's `pow` agrees."""
    return np.rint(np.array([math.pow(grey / 255, gamma) for grey in range(256)]) * 2.0**24) / 2.0**24


@dataclass(frozen=True, kw_only=True)
class Noise(Operation):
    """Noise of standard deviation `amount`, in grey values, added to every pixel and channel; rounded half up, cut.

    Nearly normal: the sum of four uniform numbers (of Irwin and Hall), bytes here. It reaches 3.45 standard deviations.
    The default range is ours; at 10, noise is plain to see on a black ground.
    """

    name: ClassVar[str] = "noise"
    amount: Range = (0.0, 10.0)

    def __post_init__(self) -> None:
        check_range(self, "amount", 0, 128)

    def uniforms(self, shape: Shape) -> int:
        """Two: amount and seed."""
        return 2

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`amount` (n,) float64, grey values; `seed` (n,) int64, in [0, 2^53): what the noise is made from."""
        return {"amount": between(uniform[:, 0], self.amount), "seed": seeds(uniform[:, 1])}

    def apply(self, image: Image.Image, *, amount: float, seed: int) -> Image.Image:
        """Add the noise of `seed`: four bytes of its stream for each value, in the order of pixels and channels."""
        pixels = np.asarray(image)
        noise = random_bytes(seed, 4 * pixels.size).reshape(*pixels.shape, 4).sum(-1, dtype=np.int32) - NOISE_MEAN
        (factor,) = noise_factors(np.array([amount], np.float64))
        value = (pixels.astype(np.int32) * 65536 + noise * factor + 32768) >> 16
        return Image.fromarray(value.clip(0, 255).astype(np.uint8))


NOISE_MEAN = 4 * 255 // 2
"""Of the sum of four bytes, which has the variance 4 (256^2 - 1) / 12."""


def noise_factors(amount: np.ndarray) -> np.ndarray:
    """What makes noise of `amount` (float64 (n,)), in 65536ths of a grey value, of sums of four bytes; int32 (n,)."""
    return np.rint(amount * (65536 / math.sqrt(4 * (256**2 - 1) / 12))).astype(np.int32)
