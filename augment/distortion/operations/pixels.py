"""Operations on gray values, pixel by pixel: contrast and noise."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image

from ...shared.types import Shape
from .base import Bounds, Operation, Parameters, Range, between, is_number
from .seeds import random_bytes, seeds

GAMMAS = (0.125, 8.0)
"""Lowest and highest gamma."""


@dataclass(frozen=True, kw_only=True)
class Contrast(Operation):
    """Gamma, contrast and brightness, in this order, by a table of 256 gray values.

    v = (p / 255) ** gamma; v = (v - pivot) * contrast + pivot + brightness; then v is clipped to [0, 1], multiplied by
    255 and rounded half up. With `pivot` = 0 and no brightness, black stays black. `brightness` and `contrast` add and
    multiply as in Albumentations' `RandomBrightnessContrast` (its default is 0.2 in both directions; our brightness is
    half of that), and `gamma` is that of its `RandomGamma` (0.8 to 1.2).
    """

    name: ClassVar[str] = "contrast"
    in_place: ClassVar[bool] = True
    brightness: Annotated[Range, Bounds(-1, 1)] = (-0.1, 0.1)
    contrast: Annotated[Range, Bounds(0, 10)] = (0.8, 1.2)
    gamma: Annotated[Range, Bounds(*GAMMAS)] = (0.8, 1.25)
    pivot: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.pivot) or not 0 <= self.pivot <= 1:
            raise ValueError(f"pivot = {self.pivot!r}; expected a number from 0 (black) to 1 (white)")
        object.__setattr__(self, "pivot", float(self.pivot))

    def uniforms(self, shape: Shape) -> int:
        """Return 3, for brightness, contrast and gamma."""
        return 3

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `brightness`, `contrast`, `gamma` (a multiple of 1/256) and `pivot`, (n,) float64."""
        return {
            "brightness": between(uniform[:, 0], self.brightness),
            "contrast": between(uniform[:, 1], self.contrast),
            "gamma": np.rint(between(uniform[:, 2], self.gamma) * 256) / 256,
            "pivot": np.full(len(uniform), self.pivot),
        }

    def apply(
        self, image: Image.Image, *, brightness: float, contrast: float, gamma: float, pivot: float
    ) -> Image.Image:
        """Replace every gray value by its entry in the table."""
        numbers = {"brightness": brightness, "contrast": contrast, "gamma": gamma, "pivot": pivot}
        (table,) = contrast_tables({name: np.array([number], np.float64) for name, number in numbers.items()})
        return image.point(table.tolist() * len(image.getbands()))


def contrast_tables(parameters: Parameters) -> np.ndarray:
    """Return the new value of each of the 256 gray values, uint8 (n, 256), for both engines."""
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
    """Return (p / 255) ** gamma for p = 0, ..., 255, float64 (256,).

    It is rounded to 24 bits, a precision at which the `pow` of all machines agrees.
    """
    return np.rint(np.array([math.pow(gray / 255, gamma) for gray in range(256)]) * 2.0**24) / 2.0**24


@dataclass(frozen=True, kw_only=True)
class Noise(Operation):
    """Noise of standard deviation `amount`, in gray values, is added to every pixel and channel; rounded and clipped.

    The noise is nearly normal: the sum of four uniform bytes (an Irwin-Hall distribution), at most 3.45 standard
    deviations. The default range is ours; noise of 10 is clearly visible on a black background.
    """

    name: ClassVar[str] = "noise"
    amount: Annotated[Range, Bounds(0, 128)] = (0.0, 10.0)

    def uniforms(self, shape: Shape) -> int:
        """Return 2, for amount and seed."""
        return 2

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `amount` (n,) float64, in gray values; `seed` (n,) int64, in [0, 2^53), of the noise."""
        return {"amount": between(uniform[:, 0], self.amount), "seed": seeds(uniform[:, 1])}

    def apply(self, image: Image.Image, *, amount: float, seed: int) -> Image.Image:
        """Add the noise of `seed`: four bytes of its stream for each value, in the order of pixels and channels."""
        pixels = np.asarray(image)
        noise = random_bytes(seed, 4 * pixels.size).reshape(*pixels.shape, 4).sum(-1, dtype=np.int32) - NOISE_MEAN
        (factor,) = noise_factors(np.array([amount], np.float64))
        value = (pixels.astype(np.int32) * 65536 + noise * factor + 32768) >> 16
        return Image.fromarray(value.clip(0, 255).astype(np.uint8))


NOISE_MEAN = 4 * 255 // 2
"""Mean of the sum of four bytes; its variance is 4 (256^2 - 1) / 12."""


def noise_factors(amount: np.ndarray) -> np.ndarray:
    """Return the factors from sums of four bytes to noise of `amount` (float64 (n,)) in 1/65536 gray values; int32."""
    return np.rint(amount * (65536 / math.sqrt(4 * (256**2 - 1) / 12))).astype(np.int32)
