"""What every operation is: ranges to draw from, a pure draw, and Pillow's own arithmetic."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from PIL import Image

Shape = tuple[int, int, int]
"""(H, W, C) of one picture."""

Range = tuple[float, float]
"""Lowest and highest value, both included."""

Parameters = dict[str, np.ndarray]
"""Drawn parameters by name; the first axis of every array runs over pictures."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A distortion with the ranges that its parameters are drawn from; immutable, and checked when made.

    The fields of a subclass are the keys that a recipe may give. `ValueError` is raised for a field
    that is not what the operation allows; its text starts with the field's name.
    """

    name: ClassVar[str]
    takes_ink: ClassVar[bool] = False
    """Whether it can take ink away, over the edge or by erasing: what `ink` measures."""
    compilable: ClassVar[bool] = True
    """Whether the compiled engine has a kernel for it; an operation of one's own has none."""
    apply: ClassVar[Callable[..., Image.Image]]
    """`apply(image, **parameters)` distorts one picture (mode L or RGB): same size and mode; deterministic."""

    def uniforms(self, shape: Shape) -> int:
        """How many uniform numbers in [0, 1) the parameters of one picture take; 0 for an operation without any."""
        raise NotImplementedError

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Turn `uniform` (float64, (n, uniforms(shape)), in [0, 1)) into the parameters of n pictures."""
        raise NotImplementedError

    def apply_many(self, pictures: np.ndarray, parameters: Parameters) -> np.ndarray:
        """`apply` for pictures uint8 (n, H, W, C), each with parameters of its own; a new array."""
        result = np.empty_like(pictures)
        for number, one in enumerate(by_picture(parameters, len(pictures))):
            image = self.apply(to_image(pictures[number]), **one)
            result[number] = np.frombuffer(image.tobytes(), np.uint8).reshape(pictures.shape[1:])
        return result

    def ink(self, pictures: np.ndarray, parameters: Parameters) -> np.ndarray:
        """int64 (n, 2): the ink (sum of pixel values) that stays in the frame of each picture, and all of it.

        Asked for only where `takes_ink`. Here for an operation with a map: pixels whose centre `outward` sends
        outside are lost.
        """
        return ink_inside(pictures, self.outward(parameters, pictures.shape[1:]))

    def outward(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """The map from source to target of n pictures, int64 (n, 3, 3), as `homographies` makes it."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """The fields as plain JSON values: what a recipe file would say, defaults included."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


def to_image(picture: np.ndarray) -> Image.Image:
    """A contiguous uint8 (H, W, C) picture as a Pillow image, mode L or RGB, that shares its memory."""
    height, width, channels = picture.shape
    mode = "L" if channels == 1 else "RGB"
    return Image.frombuffer(mode, (width, height), picture, "raw", mode, 0, 1)


def by_picture(parameters: Parameters, count: int) -> Iterator[dict[str, Any]]:
    """The parameters of each of `count` pictures, numbers as Python's own."""
    if not parameters:
        return iter([{}] * count)
    values = [column.tolist() if column.ndim == 1 else column for column in parameters.values()]
    return (dict(zip(parameters, one, strict=True)) for one in zip(*values, strict=True))


def check_range(operation: Operation, field: str, lowest: float, highest: float) -> None:
    """Make `field` of a frozen `operation` a pair of floats, or raise `ValueError` saying what is allowed."""
    value = getattr(operation, field)
    expected = f"expected [low, high] with {lowest:g} <= low <= high <= {highest:g}"
    numbers = value if isinstance(value, (list, tuple)) else ()
    if len(numbers) != 2 or not all(is_number(number) for number in numbers):
        raise ValueError(f"{field} = {value!r}; {expected}")
    low, high = float(numbers[0]), float(numbers[1])
    if low > high:
        raise ValueError(f"{field} = {value!r} is upside down; {expected}")
    if low < lowest or high > highest:
        raise ValueError(f"{field} = {value!r} is out of bounds; {expected}")
    object.__setattr__(operation, field, (low, high))


def check_flag(operation: Operation, field: str) -> None:
    """Raise `ValueError` unless `field` is true or false."""
    if not isinstance(getattr(operation, field), bool):
        raise ValueError(f"{field} = {getattr(operation, field)!r}; expected true or false")


def is_number(value: object) -> bool:
    """True for a finite int or float (bool is none)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def between(uniform: np.ndarray, limits: Range) -> np.ndarray:
    """Uniform numbers in [0, 1) to `limits`, float64."""
    low, high = limits
    return low + uniform * (high - low)


def integer_between(uniform: np.ndarray, low: np.ndarray | int, high: np.ndarray | int) -> np.ndarray:
    """Uniform numbers in [0, 1) to the integers low, ..., high, each equally likely, int64."""
    span = np.asarray(high, np.int64) - np.asarray(low, np.int64) + 1
    return np.asarray(low, np.int64) + np.floor(uniform * span).astype(np.int64)


_MAP_ONE = 1 << 30
"""1 in the fixed point of `homographies`."""


def homographies(matrices: np.ndarray) -> np.ndarray:
    """Maps source -> target in fixed point, int64 (n, 3, 3), from those target -> source (float64 (n, 3, 3)) of Pillow.

    By adjugates, scaled so that the largest of the first two columns is 2^30: whole numbers, so that every engine
    finds the same pixels inside.
    """
    a, b, c = matrices[:, 0].T
    d, e, f = matrices[:, 1].T
    g, h, i = matrices[:, 2].T
    adjugate = np.stack(
        [
            np.stack([e * i - f * h, c * h - b * i, b * f - c * e], 1),
            np.stack([f * g - d * i, a * i - c * g, c * d - a * f], 1),
            np.stack([d * h - e * g, b * g - a * h, a * e - b * d], 1),
        ],
        1,
    )
    determinant = (a * adjugate[:, 0, 0] + b * adjugate[:, 1, 0] + c * adjugate[:, 2, 0])[:, None, None]
    adjugate *= np.sign(determinant)
    largest = np.abs(adjugate[:, :, :2]).max((1, 2), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.rint(adjugate * (_MAP_ONE / largest))
    # A map that flattens the picture sends nothing inside: its last row, the denominator, is 0.
    return np.where(np.isfinite(scaled) & (determinant != 0), scaled, 0).astype(np.int64)


def ink_inside(pictures: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """int64 (n, 2): the ink of the pixels (of uint8 (n, H, W, C)) whose centre `outward` sends into the frame; and all.

    A pixel's centre in half pixels, (2x + 1, 2y + 1, 2), goes to (X, Y, Z); inside is 0 <= X < W Z and 0 <= Y < H Z.
    """
    count, height, width, _ = pictures.shape
    x, y = 2 * np.arange(width)[None, None, :] + 1, 2 * np.arange(height)[None, :, None] + 1
    result = np.empty((count, 2), np.int64)
    for start in range(0, count, _AT_A_TIME):
        few = slice(start, start + _AT_A_TIME)
        ink, at = pictures[few].sum(3, dtype=np.int64), outward[few, :, :, None, None]
        across, down, depth = (at[:, row, 0] * x + at[:, row, 1] * y + 2 * at[:, row, 2] for row in range(3))
        inside = (across >= 0) & (across < width * depth) & (down >= 0) & (down < height * depth)
        result[few, 0], result[few, 1] = (ink * inside).sum((1, 2)), ink.sum((1, 2))
    return result


_AT_A_TIME = 8
