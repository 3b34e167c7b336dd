"""Operations that move pixels: rotate, shear, scale, sine. `fill` is the content of areas from outside the image."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

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
    homographies,
    integer_between,
    to_image,
)
from .fill import Fill, FillRule, fill_around, fill_color, fill_nearest, fill_number, with_fill


@dataclass(frozen=True, kw_only=True)
class Rotate(Operation):
    """`Image.rotate(degrees)`: counter-clockwise about the center, nearest neighbor, same size."""

    name: ClassVar[str] = "rotate"
    takes_ink: ClassVar[bool] = True
    degrees: Annotated[Range, Bounds(-360, 360)] = (-15.0, 15.0)
    fill: Annotated[Fill, FillRule()] = "black"

    def uniforms(self, shape: Shape) -> int:
        """Return 1, for the angle."""
        return 1

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `degrees` (n,) float64; `fill` (n,) int64 unless it is black."""
        return with_fill({"degrees": between(uniform[:, 0], self.degrees)}, self.fill, len(uniform))

    def apply(self, image: Image.Image, *, degrees: float, fill: Fill = 0) -> Image.Image:
        """Rotate by `degrees`."""
        number = fill_number(fill)
        rotated = image.rotate(degrees, fillcolor=fill_color(number, image.mode))
        if number >= 0:
            return rotated
        (matrix,) = rotations(np.array([degrees]), (image.height, image.width, 1))
        return fill_nearest(image, rotated, Image.new("L", image.size, 255).rotate(degrees), matrix, number)

    def forward_maps(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """Return the rotations about the center."""
        return homographies(rotations(parameters["degrees"], shape))


@dataclass(frozen=True, kw_only=True)
class Shear(Operation):
    """`Image.transform(size, AFFINE, (1, x, 0, y, 1, 0))`, nearest neighbor."""

    name: ClassVar[str] = "shear"
    takes_ink: ClassVar[bool] = True
    x: Annotated[Range, Bounds(-10, 10)] = (-0.2, 0.2)
    y: Annotated[Range, Bounds(-10, 10)] = (-0.2, 0.2)
    fill: Annotated[Fill, FillRule()] = "black"

    def uniforms(self, shape: Shape) -> int:
        """Return 2, for x and y, which are independent."""
        return 2

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `x`, `y` (n,) float64: source columns per row, source rows per column; `fill` unless it is black."""
        drawn = {"x": between(uniform[:, 0], self.x), "y": between(uniform[:, 1], self.y)}
        return with_fill(drawn, self.fill, len(uniform))

    def apply(self, image: Image.Image, *, x: float, y: float, fill: Fill = 0) -> Image.Image:
        """Shear by `x` and `y`."""
        number, how = fill_number(fill), (image.size, Image.Transform.AFFINE, (1, x, 0, y, 1, 0))
        sheared = image.transform(*how, fillcolor=fill_color(number, image.mode))
        if number >= 0:
            return sheared
        mask, (matrix,) = Image.new("L", image.size, 255).transform(*how), shears(np.array([x]), np.array([y]))
        return fill_nearest(image, sheared, mask, matrix, number)

    def forward_maps(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """Return the inverses of the matrices that Pillow gets."""
        return homographies(shears(parameters["x"], parameters["y"]))


def rotations(degrees: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the matrices of `Image.rotate`, target to source; float64 (n, 3, 3).

    As in Pillow, sines and cosines are C's, rounded to 15 digits, and terms are added in the same order.
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
    """Return Python's `round(value, 15)` of `values` (float64, in [-1, 1]): correctly rounded, halves to even.

    The product with 1e15 is computed exactly, as the sum of two numbers (T. Dekker, "A Floating-Point Technique for
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
    """Split `value` into two numbers of 26 bits (Veltkamp's splitting)."""
    scaled = value * 134217729.0  # 2^27 + 1
    high = scaled - (scaled - value)
    return high, value - high


def shears(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the matrices (1, x, 0, y, 1, 0), target to source; float64 (n, 3, 3)."""
    matrices = np.zeros((len(x), 3, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = matrices[:, 2, 2] = 1
    matrices[:, 0, 1], matrices[:, 1, 0] = x, y
    return matrices


@dataclass(frozen=True, kw_only=True)
class Scale(Operation):
    """`Image.resize((width, height))` pasted at (left, top) on `fill`: scale and translation in one step.

    `width` and `height` are ranges in fractions of the side; each is drawn as a whole number of pixels. `left` is drawn
    from [0, W - 1 - width] and `top` from [0, H - 1 - height]; each is 0 if its range is empty.
    """

    name: ClassVar[str] = "scale"
    width: Annotated[Range, Bounds(0, 1)] = (25 / 64, 62 / 64)
    height: Annotated[Range, Bounds(0, 1)] = (25 / 64, 62 / 64)
    fill: Annotated[Fill, FillRule()] = "black"

    def uniforms(self, shape: Shape) -> int:
        """Return 4, for width, height, left and top."""
        return 4

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `width`, `height`, `left`, `top` (n,) int64, in pixels; `fill` (n,) int64 unless it is black."""
        width, left = _side(uniform[:, 0], uniform[:, 2], self.width, shape[1])
        height, top = _side(uniform[:, 1], uniform[:, 3], self.height, shape[0])
        return with_fill({"width": width, "height": height, "left": left, "top": top}, self.fill, len(uniform))

    def apply(self, image: Image.Image, *, width: int, height: int, left: int, top: int, fill: Fill = 0) -> Image.Image:
        """Resize to `width` x `height` with Pillow's default filter and paste at (`left`, `top`)."""
        number = fill_number(fill)
        canvas = Image.new(image.mode, image.size, fill_color(number, image.mode) or 0)
        canvas.paste(image.resize((width, height)), (left, top))
        if number >= 0:
            return canvas
        pixels = np.array(canvas).reshape(1, image.height, image.width, -1)
        fill_around(pixels, left, top, width, height, number)
        return to_image(pixels[0])

    def apply_many(self, images: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Apply the operation, and copy each resized image directly to its place."""
        result = np.zeros_like(images)
        for number, one in enumerate(by_image(parameters, len(images))):
            width, height, left, top = one["width"], one["height"], one["left"], one["top"]
            inner = np.frombuffer(to_image(images[number]).resize((width, height)).tobytes(), np.uint8)
            result[number, top : top + height, left : left + width] = inner.reshape(height, width, -1)
            if "fill" in one:
                fill_around(result[number : number + 1], left, top, width, height, one["fill"])
        return result


def _side(
    size_uniform: np.ndarray, offset_uniform: np.ndarray, limits: Range, pixels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the size and the offset of one side, in pixels, for an image whose side has `pixels`."""
    low, high = (max(1, round(fraction * pixels)) for fraction in limits)
    size = integer_between(size_uniform, low, high)
    return size, integer_between(offset_uniform, 0, np.maximum(pixels - 1 - size, 0))


@dataclass(frozen=True, kw_only=True)
class Sine(Operation):
    """Column i is rolled down, with wrap-around, by `trunc(s * (H / 3) * sin(-2 pi i (2 / W)))` rows.

    The strength s is drawn once per image, or once per column with `per_column` (a ragged wave). With `random_sign`
    its sign is drawn too.
    """

    name: ClassVar[str] = "sine"
    strength: Annotated[Range, Bounds(-3, 3)] = (0.15, 0.2)
    random_sign: bool = True
    per_column: bool = False

    def uniforms(self, shape: Shape) -> int:
        """Return one for the strength and one for the sign, of the image or of each column."""
        return 2 * (shape[1] if self.per_column else 1)

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Return `shift` (n, W) int64: the rows by which each column is rolled down."""
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
        return to_image(self.apply_many(pixels, {"shift": np.asarray(shift)[None]})[0])

    def apply_many(self, images: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Roll all columns of an image with one gather."""
        count, height, width, channels = images.shape
        # NumPy gathers single bytes several times as fast along one flat axis.
        flat = images.reshape(count, -1) if channels == 1 else images.reshape(count, -1, channels)
        result = np.empty((count, height, width, *flat.shape[2:]), np.uint8)
        for number, shift in enumerate(parameters["shift"]):
            flat[number].take(_pixel_numbers(height, width) - shift * width, 0, result[number], "wrap")
        return result.reshape(images.shape)


@lru_cache(maxsize=8)
def _pixel_numbers(height: int, width: int) -> np.ndarray:
    """Return the index of each pixel in the flat image, int64 (H, W)."""
    return np.arange(height * width).reshape(height, width)
