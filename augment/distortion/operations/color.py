"""Brightness, saturation and hue of RGB images, as one matrix."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image

from ...shared.types import Shape
from .base import Bounds, Operation, Parameters, Range, between


@dataclass(frozen=True, kw_only=True)
class Color(Operation):
    """Brightness and saturation by a factor, hue by a fraction of a full turn (above 0: red to yellow); RGB only.

    One matrix, `Image.convert("RGB", matrix)`, scales and rotates the differences from luma and keeps luma, as
    `saturate` and `hueRotate` of the W3C's Filter Effects Module (feColorMatrix) do. The luma weights are Pillow's,
    those of ITU-R BT.601 instead of BT.709. The keys are those of torchvision's `ColorJitter`, whose default is no
    change. SimCLR (T. Chen et al., ICML 2020) has [0.2, 1.8] and hue 0.2 in both directions; BYOL (J.-B. Grill et al.,
    NeurIPS 2020) has brightness [0.6, 1.4], saturation [0.8, 1.2] and hue 0.1. Except for saturation, the defaults are
    no stronger than BYOL's.
    """

    name: ClassVar[str] = "color"
    brightness: Annotated[Range, Bounds(0, 2)] = (0.8, 1.2)
    saturation: Annotated[Range, Bounds(0, 2)] = (0.6, 1.4)
    hue: Annotated[Range, Bounds(-0.5, 0.5)] = (-0.05, 0.05)

    def uniforms(self, shape: Shape) -> int:
        """Return 3, for brightness, saturation and hue; raise `ValueError` for gray images."""
        if shape[2] != 3:
            raise ValueError(f"op = 'color' received gray images, {shape}; expected RGB, (H, W, 3)")
        return 3

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `brightness`, `saturation`, `hue` (a multiple of 1/1024), (n,) float64; `matrix` (n, 12) float64.

        The matrix has three rows of four numbers, as Pillow takes it; they are multiples of 1/4096, with which Pillow's
        float32 is exact.
        """
        self.uniforms(shape)  # Raises for gray images.
        brightness, saturation = between(uniform[:, 0], self.brightness), between(uniform[:, 1], self.saturation)
        hue = np.rint(between(uniform[:, 2], self.hue) * 1024) / 1024
        cos, sin = np.array([_cos_sin(one) for one in hue.tolist()]).reshape(-1, 2).T
        color = brightness * saturation
        gray, along, across = (part[:, None, None] for part in (brightness, color * cos, color * sin))
        matrix = np.zeros((len(uniform), 3, 4))
        matrix[:, :, :3] = np.rint((gray * _LUMA + along * (np.eye(3) - _LUMA) + across * _ROTATED) * 4096) / 4096
        return {"brightness": brightness, "saturation": saturation, "hue": hue, "matrix": matrix.reshape(-1, 12)}

    def apply(
        self, image: Image.Image, *, brightness: float, saturation: float, hue: float, matrix: np.ndarray
    ) -> Image.Image:
        """Convert by `matrix`, any sequence of 12 numbers; it was computed from the other three parameters."""
        return image.convert("RGB", tuple(np.asarray(matrix, np.float64).tolist()))


_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114

_LUMA = np.array([[_RED, _GREEN, _BLUE]] * 3)
"""Maps a color to gray: its luma in every channel."""

_ROTATED = np.array(
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
"""Maps a color to its differences from luma, rotated by a quarter turn: B - Y for R - Y, Y - R for B - Y, luma 0."""


@lru_cache(maxsize=1025)
def _cos_sin(hue: float) -> tuple[float, float]:
    """Return cosine and sine of `hue` full turns, rounded to 24 bits, a precision at which all machines agree."""
    angle = 2 * math.pi * hue
    return round(math.cos(angle) * 2**24) / 2**24, round(math.sin(angle) * 2**24) / 2**24
