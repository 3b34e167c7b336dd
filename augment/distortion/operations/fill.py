"""What fills the areas that an operation brings in from outside the image: a gray value, the edge, or a reflection.

Coordinates outside the image are folded into it, and sampled there with the operation's own filter. `edge` repeats the
outermost pixels, and `reflect` mirrors the image at its border (`symmetric` of `numpy.pad`).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from .base import Parameters, is_number

EDGE, REFLECT = -1, -2
"""Numbers of the fills that depend on the image; 0 to 255 are gray values."""
_NAMES = {"black": 0, "edge": EDGE, "reflect": REFLECT}

NEAREST, BILINEAR, BICUBIC = (int(Image.Resampling[name]) for name in ("NEAREST", "BILINEAR", "BICUBIC"))

Fill = str | int
"""Value of `fill` in a recipe: `black`, `edge`, `reflect`, or a gray value from 1 to 255."""


@dataclass(frozen=True)
class FillRule:
    """Annotation of the field `fill`."""

    younger: ClassVar[bool] = True

    def check(self, name: str, value: Any) -> Fill:
        """Return `value`, and `black` for 0; raise `ValueError` if it is not a fill."""
        if isinstance(value, str) and value in _NAMES:
            return value
        if is_number(value) and 0 <= value <= 255 and value == int(value):
            return int(value) or "black"
        raise ValueError(f"{name} = {value!r}; expected one of {', '.join(_NAMES)}, or a whole number from 0 to 255")


def fill_number(fill: Fill) -> int:
    """Return the number of a fill: 0 to 255 for a gray value, `EDGE` or `REFLECT`."""
    return _NAMES[fill] if isinstance(fill, str) else fill


def fill_name(number: int) -> Fill:
    """Return `edge` or `reflect` for their numbers, and a gray value as it is."""
    return {EDGE: "edge", REFLECT: "reflect"}.get(number, number)


def with_fill(parameters: Parameters, fill: Fill, count: int) -> Parameters:
    """Return `parameters` of `count` images with `fill` (count,) int64; unchanged for black, as in format 1."""
    return parameters if fill == "black" else {**parameters, "fill": np.full(count, fill_number(fill), np.int64)}


def fill_of(parameters: Parameters) -> int:
    """Return the number of the fill, which all images of an operation share."""
    column = parameters.get("fill")
    return 0 if column is None or not len(column) else int(column[0])


def fill_color(number: int, mode: str) -> int | tuple[int, ...] | None:
    """Return the color that Pillow fills an image of `mode` with; None, for black, if the fill depends on the image."""
    if number <= 0:
        return None
    return number if mode == "L" else (number,) * 3


def fold_pixels(index: np.ndarray, count: int, fill: int) -> np.ndarray:
    """Return pixel numbers (int64) along a side of `count` pixels, those outside folded into [0, count)."""
    if fill == EDGE:
        return index.clip(0, count - 1)
    index = index % (2 * count)
    return np.minimum(index, 2 * count - 1 - index)


def fold_coordinates(x: np.ndarray, count: int, fill: int) -> np.ndarray:
    """Return coordinates (float64) along a side of `count` pixels, those outside folded into [0, count)."""
    if fill == EDGE:
        return np.where(x < 0, 0.5, np.where(x >= count, count - 0.5, x))
    x = x - 2 * count * np.floor(x / (2 * count))
    x = np.where(x < count, x, 2 * count - x)
    return np.where(x < count, x, count - 0.5)


def sample(pixels: np.ndarray, x: np.ndarray, y: np.ndarray, resample: int) -> np.ndarray:
    """Return the pixels (uint8 (k, C)) of an image (uint8 (H, W, C)) at k places inside it, as Pillow filters them.

    `x` and `y` are float64 (k,), with pixel i between i and i + 1. The arithmetic is that of Pillow's
    `libImaging/Geometry.c`.
    """
    height, width, _ = pixels.shape
    if resample == NEAREST:
        return pixels[np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)]
    x, y = x - 0.5, y - 0.5
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, below = (x - column)[:, None], (y - row)[:, None]

    def at(down: int, across: int) -> np.ndarray:
        return pixels[(row + down).clip(0, height - 1), (column + across).clip(0, width - 1)].astype(np.float64)

    if resample == BILINEAR:
        lines = [at(down, 0) + (at(down, 1) - at(down, 0)) * right for down in (0, 1)]
        return (lines[0] + (lines[1] - lines[0]) * below).astype(np.uint8)
    lines = [_cubic([at(down, across) for across in range(-1, 3)], right) for down in range(-1, 3)]
    return _cubic(lines, below).clip(0, 255).astype(np.uint8)


def _cubic(four: list[np.ndarray], part: np.ndarray) -> np.ndarray:
    """Return Pillow's `BICUBIC` between the second and the third of four values."""
    a, b, c, d = four
    cubic: np.ndarray = (2.0 * (a - b) + c - d) + part * (b - a - c + d)
    return b + part * ((c - a) + part * cubic)


def fill_around(images: np.ndarray, left: int, top: int, width: int, height: int, fill: int) -> None:
    """Fill the pixels of `images` (uint8 (n, H, W, C)) that are outside a box, in place."""
    if fill >= 0:
        inner = images[:, top : top + height, left : left + width].copy()
        images[:] = fill
        images[:, top : top + height, left : left + width] = inner
        return
    rows = top + fold_pixels(np.arange(images.shape[1]) - top, height, fill)
    columns = left + fold_pixels(np.arange(images.shape[2]) - left, width, fill)
    images[:] = images[:, rows][:, :, columns]


def fill_nearest(
    image: Image.Image, warped: Image.Image, mask: Image.Image, matrix: np.ndarray, fill: int
) -> Image.Image:
    """Return `warped` with the pixels that came from outside `image` filled.

    `mask` is a white image after the same warp, black where pixels came from outside. `matrix` (float64 (3, 3)) maps
    target to source; as in Pillow, coordinates are computed in 16.16 fixed point.
    """
    width, height = image.size
    result = np.array(warped).reshape(height, width, -1)
    rows, columns = np.nonzero(np.asarray(mask) == 0)
    (a, b, c), (d, e, f) = matrix[:2].tolist()
    steps = np.floor(np.array([a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5]) * 65536 + 0.5)
    a, b, c, d, e, f = steps.astype(np.int64)
    x, y = (c + columns * a + rows * b) >> 16, (f + columns * d + rows * e) >> 16
    pixels = np.asarray(image).reshape(height, width, -1)
    result[rows, columns] = pixels[fold_pixels(y, height, fill), fold_pixels(x, width, fill)]
    return Image.fromarray(result[:, :, 0] if image.mode == "L" else result)


def fill_filtered(image: Image.Image, warped: Image.Image, matrix: np.ndarray, resample: int, fill: int) -> Image.Image:
    """Return `warped` with the pixels that came from outside `image` filled by the same filter.

    `matrix` is Pillow's eight numbers, float64 (8,); for an affine map the last two are 0.
    """
    width, height = image.size
    x, y = _sources(matrix, width, height)
    rows, columns = np.nonzero(~((x >= 0) & (x < width) & (y >= 0) & (y < height)))
    x, y = fold_coordinates(x[rows, columns], width, fill), fold_coordinates(y[rows, columns], height, fill)
    result = np.array(warped).reshape(height, width, -1)
    result[rows, columns] = sample(np.asarray(image).reshape(height, width, -1), x, y, resample)
    return Image.fromarray(result[:, :, 0] if image.mode == "L" else result)


def _sources(matrix: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source coordinates of every pixel, float64 (H, W), with the terms added in Pillow's order."""
    a, b, c, d, e, f, g, h = matrix.tolist()
    x, y = np.arange(width)[None, :] + 0.5, np.arange(height)[:, None] + 0.5
    to_x, to_y = a * x + b * y + c, d * x + e * y + f
    if g == 0 and h == 0:
        return to_x, to_y
    divisor = g * x + h * y + 1.0
    return to_x / divisor, to_y / divisor
