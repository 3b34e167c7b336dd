"""The base class of the operations: ranges to draw from, a deterministic draw, and Pillow's arithmetic."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from ...shared.types import Shape

Range = tuple[float, float]
"""Lowest and highest value, both included."""

Parameters = dict[str, np.ndarray]
"""Drawn parameters by name; the first axis of every array runs over images."""


@dataclass(frozen=True)
class Bounds:
    """Annotation of a field that holds a range: its values must lie within these bounds, both included."""

    lowest: float
    highest: float

    def check(self, name: str, value: Any) -> Range:
        """Return `value` as a pair of floats; raise `ValueError` if it is not a range within the bounds."""
        expected = f"expected [low, high] with {self.lowest:g} <= low <= high <= {self.highest:g}"
        numbers = value if isinstance(value, (list, tuple)) else ()
        if len(numbers) != 2 or not all(is_number(number) for number in numbers):
            raise ValueError(f"{name} = {value!r}; {expected}")
        low, high = float(numbers[0]), float(numbers[1])
        if low > high:
            raise ValueError(f"{name} = {value!r} is upside down; {expected}")
        if low < self.lowest or high > self.highest:
            raise ValueError(f"{name} = {value!r} is out of bounds; {expected}")
        return low, high


@dataclass(frozen=True)
class OneOf:
    """Annotation of a field that holds one of a few names."""

    names: tuple[str, ...]

    def check(self, name: str, value: Any) -> str:
        """Return `value`; raise `ValueError` if it is not one of the names."""
        if not isinstance(value, str) or value not in self.names:
            raise ValueError(f"{name} = {value!r}; expected one of {', '.join(self.names)}")
        return value


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A distortion and the ranges of its parameters; immutable, and validated when created.

    The fields of a subclass are the keys that a recipe accepts. A field annotated with `Bounds` or `OneOf`, or of type
    `bool`, is checked here; a subclass checks any other field. An invalid field raises `ValueError`, whose text starts
    with the field's name.
    """

    name: ClassVar[str]
    takes_ink: ClassVar[bool] = False
    """Whether the operation can move foreground out of the frame or erase it; `ink` then measures how much."""
    compilable: ClassVar[bool] = True
    """Whether the compiled engine has a kernel for the operation; without one it calls `apply_many`."""
    in_place: ClassVar[bool] = False
    """Whether an engine may write the result over the image: no new pixel depends on another pixel."""
    apply: ClassVar[Callable[..., Image.Image]]
    """`apply(image, **parameters)` distorts one image (mode L or RGB); deterministic, and keeps size and mode."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type is bool and not isinstance(value, bool):
                raise ValueError(f"{one.name} = {value!r}; expected true or false")
            for rule in getattr(one.type, "__metadata__", ()):
                object.__setattr__(self, one.name, rule.check(one.name, value))

    def uniforms(self, shape: Shape) -> int:
        """Return how many uniform numbers the parameters of one image of `shape` need.

        Raises `ValueError` if the operation cannot be applied to images of `shape`.
        """
        raise NotImplementedError

    def parameters(self, uniform: np.ndarray, shape: Shape) -> Parameters:
        """Turn `uniform` (float64, (n, uniforms(shape)), in [0, 1)) into the parameters of n images."""
        raise NotImplementedError

    def apply_many(self, images: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Apply the operation to each of `images` (uint8 (n, H, W, C)) with its parameters; return a new array."""
        result = np.empty_like(images)
        for number, one in enumerate(by_image(parameters, len(images))):
            image = self.apply(to_image(images[number]), **one)
            result[number] = np.frombuffer(image.tobytes(), np.uint8).reshape(images.shape[1:])
        return result

    def ink(self, images: np.ndarray, parameters: Parameters) -> np.ndarray:
        """Return the ink (sum of pixel values) that each image keeps, and its ink before; int64 (n, 2).

        Called only if `takes_ink`. The base class handles geometric maps: a pixel is lost if `forward_maps` sends its
        center out of the frame.
        """
        return ink_inside(images, self.forward_maps(parameters, images.shape[1:]))

    def forward_maps(self, parameters: Parameters, shape: Shape) -> np.ndarray:
        """Return the maps from source to target of n images, int64 (n, 3, 3), as `homographies` returns them."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; defaults are included only for the fields of format 1."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        left_out = [name for name, default in self.younger_defaults().items() if plain[name] == default]
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in plain.items()
            if key not in left_out
        }

    def younger_defaults(self) -> dict[str, Any]:
        """Return the defaults of the fields that format 1 did not have, by name: those with a `younger` annotation."""
        rules = {one.name: getattr(one.type, "__metadata__", ()) for one in fields(self)}
        return {
            one.name: one.default
            for one in fields(self)
            if any(getattr(rule, "younger", False) for rule in rules[one.name])
        }


def to_image(image: np.ndarray) -> Image.Image:
    """Return a contiguous uint8 (H, W, C) array as a Pillow image, mode L or RGB, that shares its memory."""
    height, width, channels = image.shape
    mode = "L" if channels == 1 else "RGB"
    return Image.frombuffer(mode, (width, height), image, "raw", mode, 0, 1)


def by_image(parameters: Parameters, count: int) -> Iterator[dict[str, Any]]:
    """Iterate over the parameters of each of `count` images; numbers are Python numbers."""
    if not parameters:
        return iter([{}] * count)
    values = [column.tolist() if column.ndim == 1 else column for column in parameters.values()]
    return (dict(zip(parameters, one, strict=True)) for one in zip(*values, strict=True))


def is_number(value: object) -> bool:
    """Return whether `value` is a finite int or float; a bool is not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def between(uniform: np.ndarray, limits: Range) -> np.ndarray:
    """Scale uniform numbers in [0, 1) to the range `limits`; float64."""
    low, high = limits
    return low + uniform * (high - low)


def log_between(uniform: np.ndarray, limits: Range) -> np.ndarray:
    """Scale uniform numbers in [0, 1) to the range `limits`, evenly on a logarithmic scale; float64."""
    low, high = (math.log(limit) for limit in limits)
    powers = [math.exp(power) for power in (low + uniform * (high - low)).tolist()]
    return np.clip(np.array(powers), *limits)


def integer_between(uniform: np.ndarray, low: np.ndarray | int, high: np.ndarray | int) -> np.ndarray:
    """Turn uniform numbers in [0, 1) into the integers low, ..., high, each equally likely; int64."""
    span = np.asarray(high, np.int64) - np.asarray(low, np.int64) + 1
    return np.asarray(low, np.int64) + np.floor(uniform * span).astype(np.int64)


_MAP_ONE = 1 << 30
"""The number 1 in the fixed point of `homographies`."""
_BLOCK = 8
"""Images that `ink_inside` measures at a time, so that they stay in the processor's cache."""


def homographies(matrices: np.ndarray) -> np.ndarray:
    """Invert Pillow's maps (target to source, float64 (n, 3, 3)); return source to target in fixed point, int64.

    The result is the adjugate, scaled so that the largest number of its first two columns is 2^30. With integers,
    every engine finds the same pixels inside the frame.
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
    # A singular map keeps no pixel: its last row, the denominator, becomes 0.
    return np.where(np.isfinite(scaled) & (determinant != 0), scaled, 0).astype(np.int64)


def ink_inside(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return the ink of the pixels whose center stays in the frame, and the ink of all pixels; int64 (n, 2).

    `images` is uint8 (n, H, W, C); `maps`, int64 (n, 3, 3), go from source to target. A pixel's center in half pixels,
    (2x + 1, 2y + 1, 2), goes to (X, Y, Z); it is inside if 0 <= X < W Z and 0 <= Y < H Z.
    """
    count, height, width, _ = images.shape
    x, y = 2 * np.arange(width)[None, None, :] + 1, 2 * np.arange(height)[None, :, None] + 1
    result = np.empty((count, 2), np.int64)
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        ink, m = images[block].sum(3, dtype=np.int64), maps[block, :, :, None, None]
        target_x, target_y, target_z = (m[:, row, 0] * x + m[:, row, 1] * y + 2 * m[:, row, 2] for row in range(3))
        inside = (target_x >= 0) & (target_x < width * target_z) & (target_y >= 0) & (target_y < height * target_z)
        result[block, 0], result[block, 1] = (ink * inside).sum((1, 2)), ink.sum((1, 2))
    return result
