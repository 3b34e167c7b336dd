"""Brightness, saturation and hue of RGB pictures, as one matrix."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from PIL import Image

from .base import Operation, Parameters, Range, Shape, between, check_range


@dataclass(frozen=True, kw_only=True)
class Colour(Operation):
    """Brightness and saturation by a factor, hue by a fraction of a full turn (red to yellow above 0); RGB only.

    One matrix, `Image.convert("RGB", matrix)`: the differences from luma are scaled and turned, and luma stays, as by
    `saturate` and `hueRotate` of the W3C's Filter Effects Module (feColorMatrix), but with the luma weights of ITU-R
    BT.601, Pillow's, instead of BT.709. The keys are those of torchvision's `ColorJitter`, whose default is no change.
    SimCLR (T. Chen et al., ICML 2020) has [0.2, 1.8] and hue 0.2 either way; BYOL (J.-B. Grill et al., NeurIPS 2020)
    brightness [0.6, 1.4], saturation [0.8, 1.2], hue 0.1. The defaults are no stronger than BYOL's but in saturation.
    """

    name: ClassVar[str] = "colour"
    brightness: Range = (0.8, 1.2)
    saturation: Range = (0.6, 1.4)
    hue: Range = (-0.05, 0.05)

    def __post_init__(self) -> None:
        check_range(self, "brightness", 0, 2)
        check_range(self, "saturation", 0, 2)
        check_range(self, "hue", -0.5, 0.5)

    def uniforms(self, shape: Shape) -> int:
        """Three: brightness, saturation, hue. `ValueError` for grey pictures."""
        if shape[2] != 3:
            raise ValueError(f"op = 'colour' received grey pictures, {shape}; expected RGB, (H, W, 3)")
        return 3

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`brightness`, `saturation`, `hue`, a whole number of 1024ths, (n,) float64; `matrix` (n, 12) float64.

        The matrix has rows of four, as Pillow takes it, in whole numbers of 4096ths: its float32 is exact with those.
        """
        self.uniforms(shape)  # Refuses grey pictures.
        brightness, saturation = between(uniform[:, 0], self.brightness), between(uniform[:, 1], self.saturation)
        hue = np.rint(between(uniform[:, 2], self.hue) * 1024) / 1024
        cos, sin = np.array([_turn(one) for one in hue.tolist()]).reshape(-1, 2).T
        colour = brightness * saturation
        grey, along, across = (part[:, None, None] for part in (brightness, colour * cos, colour * sin))
        matrix = np.zeros((len(uniform), 3, 4))
        matrix[:, :, :3] = np.rint((grey * _LUMA + along * (np.eye(3) - _LUMA) + across * _TURNED) * 4096) / 4096
        return {"brightness": brightness, "saturation": saturation, "hue": hue, "matrix": matrix.reshape(-1, 12)}

    def apply(
        self, image: Image.Image, *, brightness: float, saturation: float, hue: float, matrix: np.ndarray
    ) -> Image.Image:
        """Convert by `matrix`, any sequence of 12 numbers; it says all that the other three do."""
        return image.convert("RGB", tuple(np.asarray(matrix, np.float64).tolist()))


_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114

_LUMA = np.array([[_RED, _GREEN, _BLUE]] * 3)
"""To grey: its luma in every channel."""

_TURNED = np.array(
    [
        [-_RED, -_GREEN, 1 - _BLUE],
        [
            (_RED * _RED + _BLUE * (1 - _RED)) / _GREEN,
            _RED - _BLUE,
            -(_RED * (1 - _BLUE) + _BLUE * _BLUE) / _GREEN,
        ],
        [_RED - 1, _GREEN, _BLUE],
    ]
)
"""To the differences from luma, a quarter turn on: B - Y for R - Y, Y - R for B - Y; their luma is 0."""


@lru_cache(maxsize=1025)
def _turn(hue: float) -> tuple[float, float]:
    """Cosine and sine of `hue` full turns, to 24 bits: so far all machines agree."""
    angle = 2 * math.pi * hue
    return round(math.cos(angle) * 2**24) / 2**24, round(math.sin(angle) * 2**24) / 2**24
