"""Operations that move ink: rotate, shear, scale, sine. What moves in from outside is 0."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from PIL import Image

from .base import (
    Operation,
    Parameters,
    Range,
    Shape,
    between,
    by_picture,
    check_flag,
    check_range,
    homographies,
    integer_between,
    to_image,
)


@dataclass(frozen=True, kw_only=True)
class Rotate(Operation):
    """`Image.rotate(degrees)`: counter-clockwise about the centre, nearest neighbour, size kept."""

    name: ClassVar[str] = "rotate"
    takes_ink: ClassVar[bool] = True
    degrees: Range = (-15.0, 15.0)

    def __post_init__(self) -> None:
        check_range(self, "degrees", -360, 360)

    def uniforms(self, shape: Shape) -> int:
        """One: the angle."""
        return 1

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`degrees` (n,) float64."""
        return {"degrees": between(uniform[:, 0], self.degrees)}

    def apply(self, image: Image.Image, *, degrees: float) -> Image.Image:
        """Rotate by `degrees`."""
        return image.rotate(degrees)

    def outward(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """The turn back about the centre."""
        return homographies(rotations(parameters["degrees"], shape))


@dataclass(frozen=True, kw_only=True)
class Shear(Operation):
    """`Image.transform(size, AFFINE, (1, x, 0, y, 1, 0))`, nearest neighbour."""

    name: ClassVar[str] = "shear"
    takes_ink: ClassVar[bool] = True
    x: Range = (-0.2, 0.2)
    y: Range = (-0.2, 0.2)

    def __post_init__(self) -> None:
        check_range(self, "x", -10, 10)
        check_range(self, "y", -10, 10)

    def uniforms(self, shape: Shape) -> int:
        """Two: x and y, independent."""
        return 2

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`x`, `y` (n,) float64: source columns per row, source rows per column."""
        return {"x": between(uniform[:, 0], self.x), "y": between(uniform[:, 1], self.y)}

    def apply(self, image: Image.Image, *, x: float, y: float) -> Image.Image:
        """Shear by `x` and `y`."""
        return image.transform(image.size, Image.Transform.AFFINE, (1, x, 0, y, 1, 0))

    def outward(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """The inverse of the shear."""
        return homographies(shears(parameters["x"], parameters["y"]))


def rotations(degrees: np.ndarray, shape: Shape) -> np.ndarray:
    """The matrices, target to source, float64 (n, 3, 3), that `Image.rotate` computes.

    Sines and cosines are C's, rounded to 15 digits, and terms are added in Pillow's very order.
    """
    height, width, _ = shape
    x, y = width / 2, height / 2
    radians = [-math.radians(angle % 360.0) for angle in degrees.tolist()]
    cos = _round_15(np.array([math.cos(angle) for angle in radians]))
    sin = _round_15(np.array([math.sin(angle) for angle in radians]))
    matrices = np.zeros((len(degrees), 3, 3))
    matrices[:, 0] = np.stack([cos, sin, cos * -x + sin * -y + 0.0 + x], 1)
    matrices[:, 1] = np.stack([-sin, cos, -sin * -x + cos * -y + 0.0 + y], 1)
    matrices[:, 2, 2] = 1
    return matrices


def _round_15(values: np.ndarray) -> np.ndarray:
    """Python's `round(value, 15)` for each of `values` (float64, in [-1, 1]): correctly rounded, halves to even.

    The product with 1e15 is had exactly, as the sum of two numbers (T. Dekker, "A Floating-Point Technique for
    Extending the Available Precision", 1971, section 5).
    """
    product = values * 1e15
    high, low = _halves(values)
    high_scale, low_scale = _halves(np.float64(1e15))
    error = ((high * high_scale - product) + high * low_scale + low * high_scale) + low * low_scale
    whole = np.rint(product)
    rest = (product - whole) + error
    return (whole + (rest > 0.5) - (rest < -0.5)) / 1e15


def _halves(value: np.ndarray | np.float64) -> tuple[np.ndarray | np.float64, np.ndarray | np.float64]:
    """Two numbers of 26 bits whose sum is `value` (Veltkamp's splitting)."""
    scaled = value * 134217729.0  # 2^27 + 1
    high = scaled - (scaled - value)
    return high, value - high


def shears(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The matrices (1, x, 0, y, 1, 0), target to source, float64 (n, 3, 3)."""
    matrices = np.zeros((len(x), 3, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = matrices[:, 2, 2] = 1
    matrices[:, 0, 1], matrices[:, 1, 0] = x, y
    return matrices


@dataclass(frozen=True, kw_only=True)
class Scale(Operation):
    """`Image.resize((width, height))` pasted at (left, top) on black: scale and translation in one.

    `width` and `height` are drawn independently as whole pixels between fractions of the side;
    left in [0, W - 1 - width] and top in [0, H - 1 - height], 0 where that is empty.
    """

    name: ClassVar[str] = "scale"
    width: Range = (25 / 64, 62 / 64)
    height: Range = (25 / 64, 62 / 64)

    def __post_init__(self) -> None:
        check_range(self, "width", 0, 1)
        check_range(self, "height", 0, 1)

    def uniforms(self, shape: Shape) -> int:
        """Four: width, height, left, top."""
        return 4

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`width`, `height`, `left`, `top` (n,) int64, pixels."""
        width, left = _side(uniform[:, 0], uniform[:, 2], self.width, shape[1])
        height, top = _side(uniform[:, 1], uniform[:, 3], self.height, shape[0])
        return {"width": width, "height": height, "left": left, "top": top}

    def apply(self, image: Image.Image, *, width: int, height: int, left: int, top: int) -> Image.Image:
        """Resize to `width` x `height` with Pillow's default filter and paste at (`left`, `top`)."""
        canvas = Image.new(image.mode, image.size)
        canvas.paste(image.resize((width, height)), (left, top))
        return canvas

    def apply_many(self, pictures: np.ndarray, parameters: Parameters) -> np.ndarray:
        """The same, each resized picture copied straight to its place."""
        result = np.zeros_like(pictures)
        for number, one in enumerate(by_picture(parameters, len(pictures))):
            width, height, left, top = one["width"], one["height"], one["left"], one["top"]
            inner = np.frombuffer(to_image(pictures[number]).resize((width, height)).tobytes(), np.uint8)
            result[number, top : top + height, left : left + width] = inner.reshape(height, width, -1)
        return result


def _side(
    size_uniform: np.ndarray, place_uniform: np.ndarray, limits: Range, pixels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Drawn size and offset of one side, in pixels, of a picture whose side has `pixels`."""
    low, high = (max(1, round(fraction * pixels)) for fraction in limits)
    size = integer_between(size_uniform, low, high)
    return size, integer_between(place_uniform, 0, np.maximum(pixels - 1 - size, 0))


@dataclass(frozen=True, kw_only=True)
class Sine(Operation):
    """Column i is rolled down, wrapping round, by `trunc(s * (H / 3) * sin(-2 pi i (2 / W)))` rows.

    The strength s is drawn once for the picture, or anew for every column (`per_column`: a ragged
    wave), and its sign too where `random_sign`.
    """

    name: ClassVar[str] = "sine"
    strength: Range = (0.15, 0.2)
    random_sign: bool = True
    per_column: bool = False

    def __post_init__(self) -> None:
        check_range(self, "strength", -3, 3)
        check_flag(self, "random_sign")
        check_flag(self, "per_column")

    def uniforms(self, shape: Shape) -> int:
        """One strength and one sign, for the picture or for each of its columns."""
        return 2 * (shape[1] if self.per_column else 1)

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """`shift` (n, W) int64: rows by which each column is rolled down."""
        height, width, _ = shape
        half = uniform.shape[1] // 2
        strength = between(uniform[:, :half], self.strength)
        if self.random_sign:
            strength = np.where(uniform[:, half:] < 0.5, -strength, strength)
        wave = np.array([math.sin(-2 * math.pi * column * (2 / width)) for column in range(width)])
        return {"shift": np.trunc(strength * (height / 3) * wave).astype(np.int64)}

    def apply(self, image: Image.Image, *, shift: np.ndarray) -> Image.Image:
        """Roll column i down by `shift[i]` rows; `shift` is any sequence of W integers."""
        width, height = image.size
        pixels = np.asarray(image).reshape(1, height, width, -1)
        rolled = self.apply_many(pixels, {"shift": np.asarray(shift)[None]})[0]
        return Image.fromarray(rolled[:, :, 0] if image.mode == "L" else rolled)

    def apply_many(self, pictures: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Roll the columns of every picture, each in one gather."""
        count, height, width, channels = pictures.shape
        # One flat axis for grey: NumPy gathers single bytes several times as fast so.
        flat = pictures.reshape(count, -1) if channels == 1 else pictures.reshape(count, -1, channels)
        result = np.empty((count, height, width, *flat.shape[2:]), np.uint8)
        for number, shift in enumerate(parameters["shift"]):
            flat[number].take(_places(height, width) - shift * width, 0, result[number], "wrap")
        return result.reshape(pictures.shape)


@lru_cache(maxsize=8)
def _places(height: int, width: int) -> np.ndarray:
    """The place of each pixel in the flat picture, int64 (H, W)."""
    return np.arange(height * width).reshape(height, width)
